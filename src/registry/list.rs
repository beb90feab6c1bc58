//! What a list, a watch or a deletecollection selects.

use std::sync::Arc;

use super::selection::{FieldSelector, LabelSelector};
use crate::api::{GroupResource, Json, Object, Resource, Status};
use crate::state::State;

/// Label and field selectors.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    /// Reads both selectors; the fields that may be selected are the kind's.
    pub fn parse(resource: &Resource, labels: &str, fields: &str) -> Result<Selection, Status> {
        Ok(Selection {
            labels: LabelSelector::parse(labels).map_err(Status::bad_request)?,
            fields: FieldSelector::parse(resource, fields).map_err(Status::bad_request)?,
        })
    }

    pub fn require_name(&mut self, name: &str) {
        self.fields.require("metadata.name", name);
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub fn matches(&self, object: &Object) -> bool {
        (self.labels.is_empty() || self.labels.matches(|key| object.label(key))) && self.fields.matches(object)
    }
}

/// The objects of a resource, of all namespaces where `namespace` is empty.
pub fn objects<'a>(
    state: &'a State,
    kept_as: &'a GroupResource,
    namespace: &'a str,
) -> Box<dyn Iterator<Item = &'a Arc<Object>> + Send + 'a> {
    if namespace.is_empty() { Box::new(state.all(kept_as)) } else { Box::new(state.in_namespace(kept_as, namespace)) }
}

/// An object as an item of a list: without kind and apiVersion.
pub fn item(resource: &Resource, object: &Object) -> Json {
    let mut tree = super::conversion::shown(resource, object.json()).into_owned();
    if let Some(map) = tree.as_object_mut() {
        map.remove("kind");
        map.remove("apiVersion");
    }
    tree
}
