//! Kinds that are offered in two versions or groups and kept once: Events as core/v1 has them,
//! HorizontalPodAutoscalers as autoscaling/v2 has them.

mod autoscaler;
mod event;
mod metrics;

use std::borrow::Cow;

use crate::api::{GroupResource, Json, Resource};

/// The resource under which the objects of `resource` are kept.
pub fn kept_as(resource: &Resource) -> GroupResource {
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("events.k8s.io", "events") => GroupResource::new("", "events"),
        _ => resource.group_resource(),
    }
}

/// The group that an invalid object of `resource` is said to be of: that of the kind inside the server.
pub fn internal_group(resource: &Resource) -> &str {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("events.k8s.io", "Event") => "",
        (group, _) => group,
    }
}

/// A kept tree as `resource` shows it.
pub fn shown<'a>(resource: &Resource, tree: &'a Json) -> Cow<'a, Json> {
    match at_version(tree, &resource.api_version()) {
        Some(converted) => Cow::Owned(converted),
        None => Cow::Borrowed(tree),
    }
}

/// A decoded tree of `resource` as it is kept.
pub fn kept(resource: &Resource, tree: Json) -> Json {
    let version = match (resource.group.as_str(), resource.kind.as_str()) {
        ("events.k8s.io", "Event") => "v1",
        ("autoscaling", "HorizontalPodAutoscaler") => "autoscaling/v2",
        _ => return tree,
    };
    at_version(&tree, version).unwrap_or(tree)
}

fn same_group(a: &str, b: &str) -> bool {
    matches!((a.split_once('/'), b.split_once('/')), (Some((a, _)), Some((b, _))) if a == b)
}

/// A tree as another version of its kind shows it. `None`: it is of that version, or there is no such version.
pub fn at_version(tree: &Json, version: &str) -> Option<Json> {
    let text = |key: &str| tree.get(key).and_then(Json::as_str).unwrap_or("");
    match (text("kind"), text("apiVersion"), version) {
        ("Event", "v1", "events.k8s.io/v1") => Some(event::to_events(tree)),
        ("Event", "events.k8s.io/v1", "v1") => Some(event::to_core(tree)),
        ("HorizontalPodAutoscaler", "autoscaling/v2", "autoscaling/v1") => Some(autoscaler::to_v1(tree)),
        ("HorizontalPodAutoscaler", "autoscaling/v1", "autoscaling/v2") => Some(autoscaler::to_v2(tree)),
        // Versions of custom resources differ in nothing but their names.
        (_, found, wanted) if found != wanted && same_group(found, wanted) => {
            let mut tree = tree.clone();
            tree["apiVersion"] = wanted.into();
            Some(tree)
        }
        _ => None,
    }
}
