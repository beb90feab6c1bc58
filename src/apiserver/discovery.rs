//! What the server offers: groups, versions, resources; one by one and aggregated.
//! Source: k8s.io/apiserver/pkg/endpoints/discovery.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::answer::Reply;
use super::negotiate::{self, As, Endpoint};
use super::route::{self, Discovery, subresource_text};
use super::{Call, Server, catalog};
use crate::api::{Json, JsonMap, Resource, Status};

pub(crate) fn answer(server: &Server, call: &Call, what: &Discovery) -> Result<Reply, Status> {
    let groups = matches!(what, Discovery::Api | Discovery::Apis);
    let accepted = negotiate::accept(&call.headers, if groups { Endpoint::Groups } else { Endpoint::Plain })?;
    let state = server.store.snapshot();
    let resources = catalog::all(&state);
    if accepted.what == As::Discovery {
        let core = matches!(what, Discovery::Api);
        let media = format!("{};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", accepted.media.name());
        return Ok(Reply::bytes(200, media, accepted.media.write(&aggregated(&resources, core))));
    }
    let tree = match what {
        Discovery::Root => json!({"paths": paths(&resources)}),
        Discovery::Api => json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "localhost"}],
        }),
        Discovery::Apis => {
            let groups: Vec<Json> = names(&resources).iter().map(|name| group(&resources, name, false)).collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        }
        Discovery::Group(name) => group(&resources, name, true),
        Discovery::Version { group, version } => version_list(&resources, group, version)?,
        Discovery::OpenApi(path) => return super::openapi::answer(&state, &resources, path, accepted.media),
    };
    Ok(Reply::tree(200, accepted.media, &tree))
}

/// The groups in order of their first resource.
fn names(resources: &[Arc<Resource>]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for resource in resources.iter().filter(|r| !r.group.is_empty()) {
        if !found.contains(&resource.group) {
            found.push(resource.group.clone());
        }
    }
    found
}

/// A group's versions, the preferred first.
pub(super) fn versions(resources: &[Arc<Resource>], group: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for resource in resources.iter().filter(|r| r.group == group) {
        if !found.contains(&resource.version) {
            found.push(resource.version.clone());
        }
    }
    found
}

fn group(resources: &[Arc<Resource>], name: &str, alone: bool) -> Json {
    let entry = |version: &String| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let versions: Vec<Json> = versions(resources, name).iter().map(entry).collect();
    let mut group = json!({"name": name, "preferredVersion": versions.first(), "versions": versions});
    if alone {
        group["kind"] = "APIGroup".into();
        group["apiVersion"] = "v1".into();
    }
    group
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn version_list(resources: &[Arc<Resource>], group: &str, version: &str) -> Result<Json, Status> {
    let mut list = Vec::new();
    let mut of_version: Vec<&Arc<Resource>> =
        resources.iter().filter(|r| r.group == group && r.version == version).collect();
    if of_version.is_empty() {
        return Err(route::not_found());
    }
    of_version.sort_by(|a, b| a.resource.cmp(&b.resource));
    for resource in of_version {
        list.push(resource_entry(resource));
        list.extend(resource.subresources.iter().map(|sub| subresource_entry(resource, sub)));
    }
    let mut body = json!({
        "kind": "APIResourceList", "groupVersion": group_version(group, version), "resources": list,
    });
    if !group.is_empty() {
        body["apiVersion"] = "v1".into();
    }
    Ok(body)
}

fn resource_entry(resource: &Resource) -> Json {
    let mut entry = json!({
        "name": resource.resource, "singularName": resource.singular, "namespaced": resource.namespaced,
        "kind": resource.kind, "verbs": resource.verbs,
    });
    add_names(&mut entry, resource);
    if resource.verbs.iter().any(|verb| verb == "watch") {
        entry["storageVersionHash"] = storage_hash(resource).into();
    }
    entry
}

fn add_names(entry: &mut Json, resource: &Resource) {
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
}

/// Tells clients when the kept form of a kind changes (endpoints/discovery/storageversionhash.go).
fn storage_hash(resource: &Resource) -> String {
    let (group, version) = match (resource.group.as_str(), resource.resource.as_str()) {
        ("events.k8s.io", "events") => ("", "v1"),
        ("autoscaling", "horizontalpodautoscalers") => ("autoscaling", "v2"),
        _ => (resource.group.as_str(), resource.version.as_str()),
    };
    let hash = Sha256::digest(format!("{group}/{version}/{}", resource.kind));
    STANDARD.encode(&hash[..8])
}

fn subresource_entry(resource: &Resource, sub: &Json) -> Json {
    let text = |key: &str| subresource_text(sub, key);
    let mut entry = json!({
        "name": format!("{}/{}", resource.resource, text("name")), "singularName": "",
        "namespaced": resource.namespaced, "kind": text("kind"), "verbs": sub.get("verbs"),
    });
    if !text("version").is_empty() {
        entry["group"] = text("group").into();
        entry["version"] = text("version").into();
    }
    entry
}

fn aggregated(resources: &[Arc<Resource>], core: bool) -> Json {
    let groups = if core { vec![String::new()] } else { names(resources) };
    let items: Vec<Json> = groups.iter().map(|group| aggregated_group(resources, group)).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_group(resources: &[Arc<Resource>], group: &str) -> Json {
    let versions: Vec<Json> = versions(resources, group)
        .iter()
        .map(|version| {
            let mut of_version: Vec<&Arc<Resource>> =
                resources.iter().filter(|r| r.group == group && r.version == *version).collect();
            of_version.sort_by(|a, b| a.resource.cmp(&b.resource));
            let list: Vec<Json> = of_version.iter().map(|resource| aggregated_resource(resource)).collect();
            json!({"version": version, "resources": list, "freshness": "Current"})
        })
        .collect();
    let mut metadata = JsonMap::new();
    if !group.is_empty() {
        metadata.insert("name".into(), group.into());
    }
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(resource: &Resource) -> Json {
    let mut entry = json!({
        "resource": resource.resource,
        "responseKind": {"group": "", "version": "", "kind": resource.kind},
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular, "verbs": resource.verbs,
    });
    add_names(&mut entry, resource);
    if !resource.subresources.is_empty() {
        let subs: Vec<Json> = resource
            .subresources
            .iter()
            .map(|sub| {
                let text = |key: &str| subresource_text(sub, key);
                json!({
                    "subresource": text("name"), "verbs": sub.get("verbs"),
                    "responseKind": {"group": text("group"), "version": text("version"), "kind": text("kind")},
                })
            })
            .collect();
        entry["subresources"] = subs.into();
    }
    entry
}

fn paths(resources: &[Arc<Resource>]) -> Vec<String> {
    let mut paths: Vec<String> = ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
        .map(str::to_owned)
        .to_vec();
    for group in names(resources) {
        paths.push(format!("/apis/{group}"));
        paths.extend(versions(resources, &group).iter().map(|version| format!("/apis/{group}/{version}")));
    }
    paths.sort();
    paths
}
