//! What a request wants to do, as authorisers see it.

use serde_json::json;

use crate::api::{GroupResource, Status, status::quote};
use crate::registry::User;

/// One wish: a verb on a resource, or on a path outside of all resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub verb: String,
    pub namespace: String,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    /// Set where no resource is meant.
    pub path: Option<String>,
}

impl Attributes {
    /// The resource with its subresource: `pods/log`.
    pub fn combined(&self) -> String {
        if self.subresource.is_empty() { self.resource.clone() } else { format!("{}/{}", self.resource, self.subresource) }
    }

    /// 403 (k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go: Forbidden).
    pub fn refusal(&self, user: &User, reason: &str) -> Status {
        let mut why = format!("User {} cannot {} ", quote(&user.name), self.verb);
        match &self.path {
            Some(path) => why.push_str(&format!("path {}", quote(path))),
            None => {
                let scope = match self.namespace.as_str() {
                    "" => "at the cluster scope".to_owned(),
                    namespace => format!("in the namespace {}", quote(namespace)),
                };
                let (resource, group) = (quote(&self.combined()), quote(&self.group));
                why.push_str(&format!("resource {resource} in API group {group} {scope}"));
            }
        }
        if !reason.is_empty() {
            why.push_str(&format!(": {reason}"));
        }
        if self.path.is_some() {
            return Status::new(403, "Forbidden", format!("forbidden: {why}")).with_details(json!({}));
        }
        Status::forbidden(&GroupResource::new(&self.group, &self.resource), &self.name, &why)
    }
}
