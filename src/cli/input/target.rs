//! From a document to the resource it is for: kind, namespace, name.
//! Source of the texts: k8s.io/cli-runtime/pkg/resource/{mapper,visitor}.go.

use std::sync::Arc;

use crate::api::Json;
use crate::api::status::quote;
use crate::client::{Discovery, Found};
use crate::manifest::Document;

/// A document and where it goes.
#[derive(Clone, Debug)]
pub struct Target {
    pub document: Document,
    pub found: Arc<Found>,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    /// Empty where the server makes the name.
    pub name: String,
    /// With the namespace filled in.
    pub tree: Json,
}

impl Target {
    /// `deployment.apps/web`, as kubectl names what it did something to.
    pub fn label(&self) -> String {
        format!("{}/{}", self.found.singular_qualified(), self.name)
    }

    /// The object's path.
    pub fn path(&self) -> String {
        self.found.path(&self.namespace, &self.name)
    }
}

/// Why a document is for nothing: kubectl's sentence, and the field it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    pub message: String,
    pub field: &'static str,
    pub help: Option<String>,
}

/// Finds the resource of a document. `asked`: the namespace that `-n` names, if it was given.
pub fn resolve(document: &Document, discovery: &Discovery, asked: Option<&str>) -> Result<Target, Unresolved> {
    let mut tree = document.json();
    let text = |pointer: &str| tree.pointer(pointer).and_then(Json::as_str).unwrap_or("").to_owned();
    let (version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    let missing = |field: &'static str| Unresolved { message: format!("{field} not set"), field, help: None };
    if version.is_empty() {
        return Err(missing("apiVersion"));
    }
    if kind.is_empty() {
        return Err(missing("kind"));
    }
    let gvk = document.gvk();
    let found = discovery.resources.iter().find(|r| r.gvk() == gvk).cloned();
    let Some(found) = found else {
        let near = discovery.resources.iter().filter(|r| r.kind.eq_ignore_ascii_case(&kind)).map(|r| r.api_version());
        let near: Vec<String> = near.collect();
        return Err(Unresolved {
            message: format!("no matches for kind {} in version {}", quote(&kind), quote(&version)),
            field: "kind",
            help: if near.is_empty() {
                Some("a kind of your own needs its CustomResourceDefinition first".into())
            } else {
                Some(format!("there is {kind} in {}", near.join(", ")))
            },
        });
    };
    let own = text("/metadata/namespace");
    let namespace = match (found.namespaced, own.as_str(), asked) {
        (false, ..) => String::new(),
        (true, "", asked) => asked.unwrap_or("default").to_owned(),
        (true, own, Some(asked)) if own != asked => {
            return Err(Unresolved {
                message: format!(
                    "the namespace from the provided object {} does not match the namespace {}. You must pass '--namespace={own}' to perform this operation.",
                    quote(own),
                    quote(asked)
                ),
                field: "metadata.namespace",
                help: None,
            });
        }
        (true, own, _) => own.to_owned(),
    };
    if found.namespaced && tree.get("metadata").is_some_and(Json::is_object) {
        tree["metadata"]["namespace"] = Json::from(namespace.clone());
    }
    Ok(Target { document: document.clone(), found, namespace, name, tree })
}
