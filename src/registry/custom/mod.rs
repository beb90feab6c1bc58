//! Custom resources: their definitions as the registry needs them, and how their objects are read.
//! Source: k8s.io/apiextensions-apiserver/pkg/apiserver/customresource_handler.go.

pub(crate) mod settle;

use std::sync::Arc;

use serde_json::json;

use super::run::Run;
use crate::api::decode::{self, Decoded};
use crate::api::tree::Tree;
use crate::api::{GroupResource, Gvk, Json, Key, Object, Resource, custom, status::quote};
use crate::apply::typed::CustomTypes;
use crate::state::State;

/// What CustomResourceDefinitions are kept under.
pub fn definitions() -> GroupResource {
    GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions")
}

/// The definition of a custom resource.
pub fn definition<'s>(state: &'s State, resource: &Resource) -> Option<&'s Arc<Object>> {
    state.get(&Key::new(definitions(), "", &format!("{}.{}", resource.resource, resource.group)))
}

/// What the definition says of the resource's version.
pub(crate) fn version(state: &State, resource: &Resource) -> Option<Json> {
    let versions = definition(state, resource)?.json().field("spec").list("versions");
    versions.iter().find(|version| version.text("name") == resource.version).cloned()
}

/// The schema of the resource's version.
pub(crate) fn schema(state: &State, resource: &Resource) -> Option<Json> {
    let version = version(state, resource)?;
    Some(version.field("schema").field("openAPIV3Schema").clone())
}

/// What the lists and maps of a custom resource's objects are; `None`: the resource is Kubernetes' own.
pub(crate) fn types(state: &State, resource: &Resource) -> Option<CustomTypes> {
    if !resource.custom {
        return None;
    }
    Some(definition(state, resource).map(|definition| CustomTypes::of(definition.json())).unwrap_or_default())
}

/// Reads a tree as `gvk`: by its Go type, or by the schema of its definition.
pub(crate) fn decode(run: &Run<'_, '_>, gvk: &Gvk, mut tree: Json) -> Result<Decoded, String> {
    let resource = &run.request.resource;
    let schema = if resource.custom && *gvk == resource.gvk() { schema(run.state, resource) } else { None };
    let Some(schema) = schema else { return decode::decode(gvk, tree) };
    let mut strict = Vec::new();
    if let Some(metadata) = tree.get_mut("metadata") {
        // Metadata is the same for all kinds.
        let mut decoded = decode::decode(&Gvk::of("v1", "ConfigMap"), json!({"metadata": metadata.take()}))?;
        *metadata = decoded.tree["metadata"].take();
        strict.append(&mut decoded.strict);
    }
    if schema.is_object() {
        custom::fill(&schema, &mut tree);
        let dropped = custom::prune(&schema, &mut tree);
        strict.extend(dropped.into_iter().map(|path| format!("unknown field {}", quote(&path))));
    }
    Ok(Decoded { tree, strict })
}
