//! OpenAPI: v3 with one document for each group and version, and v2 with all in one. Both are made from the schema
//! data and the definitions of custom resources when they are asked for.
//! Source: k8s.io/kube-openapi/pkg/{handler,handler3,builder3}.

mod custom;
mod paths;
mod schemas;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::answer::Reply;
use super::negotiate::Media;
use crate::api::schema::Schema;
use crate::api::{Json, JsonMap, Resource, Status};
use crate::state::State;
use schemas::{Dialect, Schemas};

/// Answers what is below `/openapi`.
pub(crate) fn answer(state: &State, resources: &[Arc<Resource>], path: &[String], media: Media) -> Result<Reply, Status> {
    let words: Vec<&str> = path.iter().map(String::as_str).collect();
    let found = match words.as_slice() {
        ["v2"] => Some(v2(state, resources)),
        ["v3"] => Some(index(state, resources)),
        ["v3", "version"] => Some(version()),
        ["v3", "api", "v1"] => document(state, resources, "", "v1"),
        ["v3", "apis", group, version] => document(state, resources, group, version),
        ["v3", ..] => return Ok(Reply::text(404, "")),
        _ => return Ok(Reply::text(404, "404 page not found\n")),
    };
    Ok(match found {
        Some(tree) => Reply::tree(200, media, &tree),
        None => Reply::text(404, ""),
    })
}

/// Each group and version with its resources.
fn grouped(resources: &[Arc<Resource>]) -> BTreeMap<(&str, &str), Vec<&Resource>> {
    let mut found: BTreeMap<(&str, &str), Vec<&Resource>> = BTreeMap::new();
    for resource in resources {
        found.entry((&resource.group, &resource.version)).or_default().push(resource);
    }
    found
}

fn place(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// The documents that there are, each with a hash that changes when it does.
fn index(state: &State, resources: &[Arc<Resource>]) -> Json {
    let mut paths = JsonMap::new();
    for (group, version) in grouped(resources).keys() {
        let place = place(group, version);
        let mut hash = Sha256::new();
        hash.update(format!("{} {} {place}", env!("CARGO_PKG_VERSION"), Schema::get().version));
        for definition in custom::definitions(state, group) {
            hash.update(format!(" {} {}", definition.uid(), definition.resource_version()));
        }
        let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02X}")).collect();
        let url = format!("/openapi/v3/{place}?hash={hash}");
        paths.insert(place, json!({"serverRelativeURL": url}));
    }
    paths.insert("version".into(), json!({"serverRelativeURL": "/openapi/v3/version?hash=1"}));
    json!({"paths": paths})
}

fn head(tree: &mut Json, dialect: Dialect) {
    tree["info"] = json!({"title": "Kubernetes", "version": Schema::get().version});
    match dialect {
        Dialect::V2 => tree["swagger"] = "2.0".into(),
        Dialect::V3 => tree["openapi"] = "3.0.0".into(),
    }
}

fn version() -> Json {
    let operation = json!({
        "description": "get the version information for this server", "operationId": "getCodeVersion", "tags": ["version"],
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": {"type": "object"}}}}},
    });
    let mut tree = json!({"paths": {"/version/": {"get": operation}}, "components": {"schemas": {}}});
    head(&mut tree, Dialect::V3);
    tree
}

/// The v3 document of one group and version.
fn document(state: &State, resources: &[Arc<Resource>], group: &str, version: &str) -> Option<Json> {
    let grouped = grouped(resources);
    let of_version = grouped.get(&(group, version))?;
    let mut schemas = Schemas::new(Dialect::V3);
    let mut paths = JsonMap::new();
    for resource in of_version {
        paths::add(&mut paths, resource, &mut schemas);
    }
    custom::add(state, group, version, &mut schemas);
    let mut tree = json!({"paths": paths, "components": {"schemas": schemas.finish()}});
    head(&mut tree, Dialect::V3);
    Some(tree)
}

/// The v2 document of everything.
fn v2(state: &State, resources: &[Arc<Resource>]) -> Json {
    let mut schemas = Schemas::new(Dialect::V2);
    let mut paths = JsonMap::new();
    for ((group, version), of_version) in grouped(resources) {
        for resource in of_version {
            paths::add(&mut paths, resource, &mut schemas);
        }
        custom::add(state, group, version, &mut schemas);
    }
    let mut tree = json!({"paths": paths, "definitions": schemas.finish()});
    head(&mut tree, Dialect::V2);
    tree
}
