//! Why an apply is refused.
//! Source: conflict.go of k8s.io/apimachinery/pkg/util/managedfields/internal.

use std::collections::BTreeMap;

use serde_json::json;

use super::entries::{ManagerId, Operation};
use crate::api::status::quote;
use crate::api::{Json, Status};
use crate::apply::fields::{Path, show};

/// A field that the apply would change and another manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub owner: ManagerId,
    pub path: Path,
}

/// Why an apply is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ApplyError {
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
    /// The request is wrong: another kind, `managedFields` in the body.
    #[error("{0}")]
    BadRequest(String),
    /// The body does not fit the kind.
    #[error("{0}")]
    Untyped(String),
}

impl From<ApplyError> for Status {
    fn from(error: ApplyError) -> Status {
        let message = error.to_string();
        match error {
            ApplyError::Conflicts(conflicts) => {
                let causes: Vec<Json> = conflicts.iter().map(cause).collect();
                Status::new(409, "Conflict", message).with_details(json!({"causes": causes}))
            }
            ApplyError::BadRequest(_) => Status::bad_request(message),
            ApplyError::Untyped(_) => Status::new(500, "", message),
        }
    }
}

fn cause(conflict: &Conflict) -> Json {
    json!({
        "reason": "FieldManagerConflict",
        "message": format!("conflict with {}", owner(&conflict.owner)),
        "field": show(&conflict.path),
    })
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", owner(&one.owner), show(&one.path));
    }
    let mut by_owner: BTreeMap<&ManagerId, Vec<&Path>> = BTreeMap::new();
    for conflict in conflicts {
        by_owner.entry(&conflict.owner).or_default().push(&conflict.path);
    }
    let mut lines = Vec::new();
    for (id, paths) in by_owner {
        lines.push(format!("conflicts with {}:", owner(id)));
        lines.extend(paths.into_iter().map(|p| format!("- {}", show(p))));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

fn owner(id: &ManagerId) -> String {
    let mut text = quote(&id.manager);
    if !id.subresource.is_empty() {
        text += &format!(" with subresource {}", quote(&id.subresource));
    }
    if id.operation == Operation::Update {
        text += &format!(" using {}", id.api_version);
    }
    text
}
