//! Kinds that are offered in two versions or groups and kept once.

use std::borrow::Cow;

use crate::api::{GroupResource, Json, Resource};

/// The resource under which the objects of `resource` are kept.
pub fn kept_as(resource: &Resource) -> GroupResource {
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("events.k8s.io", "events") => GroupResource::new("", "events"),
        _ => resource.group_resource(),
    }
}

/// A kept tree as `resource` shows it.
pub fn shown<'a>(resource: &Resource, tree: &'a Json) -> Cow<'a, Json> {
    let _ = resource;
    Cow::Borrowed(tree)
}

/// A decoded tree of `resource` as it is kept.
pub fn kept(resource: &Resource, tree: Json) -> Json {
    let _ = resource;
    tree
}

/// A tree as another version of its kind shows it. `None`: there is no such version.
pub fn at_version(tree: &Json, version: &str) -> Option<Json> {
    let _ = (tree, version);
    None
}
