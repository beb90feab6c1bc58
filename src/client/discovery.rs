//! What a server offers, as its discovery documents tell (aggregated ones, or group by group).
//! Source: k8s.io/client-go/discovery.

use std::sync::Arc;

use super::{Ask, Client, ClientError};
use crate::api::{GroupResource, Gvk, Json};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// One resource of one group and version.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub group: String,
    pub version: String,
    pub resource: String,
    pub kind: String,
    pub namespaced: bool,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub verbs: Vec<String>,
    pub subresources: Vec<String>,
}

impl Found {
    pub fn gvk(&self) -> Gvk {
        Gvk { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() }
    }

    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(&self.group, &self.resource)
    }

    pub fn api_version(&self) -> String {
        self.gvk().api_version()
    }

    pub fn supports(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    /// `pods`, `deployments.apps`.
    pub fn qualified(&self) -> String {
        self.group_resource().to_string()
    }

    /// `pod`, `deployment.apps`: what names stand behind in answers (`pod/web`).
    pub fn singular_qualified(&self) -> String {
        GroupResource::new(&self.group, &self.kind.to_lowercase()).to_string()
    }

    /// Where the objects live. An empty `namespace` means all of them, an empty `name` the collection.
    pub fn path(&self, namespace: &str, name: &str) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if self.namespaced && !namespace.is_empty() {
            path.push_str("/namespaces/");
            path.push_str(&super::segment(namespace));
        }
        path.push('/');
        path.push_str(&self.resource);
        if !name.is_empty() {
            path.push('/');
            path.push_str(&super::segment(name));
        }
        path
    }
}

/// Everything a server offers, groups in its order, the preferred version of each first.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    pub resources: Vec<Arc<Found>>,
    /// Each group with its versions, in the server's order; the preferred version stands first.
    pub groups: Vec<(String, Vec<String>)>,
}

impl Discovery {
    pub(super) async fn fetch(client: &Client) -> Result<Self, ClientError> {
        let mut discovery = Discovery::default();
        for root in ["/api", "/apis"] {
            let document = client.send(Ask::get(root).accept(AGGREGATED)).await?.json()?;
            if document.get("kind").and_then(Json::as_str) == Some("APIGroupDiscoveryList") {
                discovery.add_aggregated(&document);
            } else {
                discovery.add_plain(client, root, &document).await?;
            }
        }
        Ok(discovery)
    }

    /// Adds what an `APIGroupDiscoveryList` names.
    pub fn add_aggregated(&mut self, document: &Json) {
        for group in list(document, "items") {
            let name = text(&group["metadata"], "name");
            let mut versions = Vec::new();
            for version in list(group, "versions") {
                let version_name = text(version, "version");
                for resource in list(version, "resources") {
                    self.resources.push(Arc::new(aggregated(&name, &version_name, resource)));
                }
                versions.push(version_name);
            }
            self.groups.push((name, versions));
        }
    }

    async fn add_plain(&mut self, client: &Client, root: &str, document: &Json) -> Result<(), ClientError> {
        let groups: Vec<(String, Vec<String>)> = if root == "/api" {
            vec![(String::new(), strings(document, "versions"))]
        } else {
            list(document, "groups")
                .iter()
                .map(|group| {
                    let preferred = text(&group["preferredVersion"], "version");
                    let mut versions: Vec<String> = list(group, "versions").iter().map(|v| text(v, "version")).collect();
                    versions.sort_by_key(|v| *v != preferred);
                    (text(group, "name"), versions)
                })
                .collect()
        };
        for (group, versions) in groups {
            for version in &versions {
                let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
                let resources = client.get(&path).await?;
                self.add_resource_list(&group, version, &resources);
            }
            self.groups.push((group, versions));
        }
        Ok(())
    }

    fn add_resource_list(&mut self, group: &str, version: &str, document: &Json) {
        let resources = list(document, "resources");
        let subresources = |name: &str| -> Vec<String> {
            let names = resources.iter().map(|r| text(r, "name"));
            names.filter_map(|n| Some(n.strip_prefix(name)?.strip_prefix('/')?.to_owned())).collect()
        };
        for resource in resources {
            let name = text(resource, "name");
            if name.contains('/') {
                continue;
            }
            self.resources.push(Arc::new(Found {
                group: group.into(),
                version: version.into(),
                kind: text(resource, "kind"),
                namespaced: resource.get("namespaced").and_then(Json::as_bool).unwrap_or(false),
                singular: text(resource, "singularName"),
                short_names: strings(resource, "shortNames"),
                categories: strings(resource, "categories"),
                verbs: strings(resource, "verbs"),
                subresources: subresources(&name),
                resource: name,
            }));
        }
    }

    /// Each resource once, in the version its group prefers.
    pub fn preferred(&self) -> impl Iterator<Item = &Arc<Found>> {
        let mut seen = std::collections::HashSet::new();
        self.resources.iter().filter(move |r| seen.insert(r.group_resource()))
    }

    /// The resource of a kind, in the version its group prefers.
    pub fn preferred_kind(&self, group: &str, kind: &str) -> Option<&Arc<Found>> {
        self.preferred().find(|r| r.group == group && r.kind == kind)
    }

    /// The resource of a kind in exactly this version.
    pub fn of_gvk(&self, gvk: &Gvk) -> Option<&Arc<Found>> {
        self.resources.iter().find(|r| r.kind == gvk.kind && r.group == gvk.group && r.version == gvk.version)
    }
}

fn aggregated(group: &str, version: &str, resource: &Json) -> Found {
    Found {
        group: group.into(),
        version: version.into(),
        resource: text(resource, "resource"),
        kind: text(&resource["responseKind"], "kind"),
        namespaced: text(resource, "scope") == "Namespaced",
        singular: text(resource, "singularResource"),
        short_names: strings(resource, "shortNames"),
        categories: strings(resource, "categories"),
        verbs: strings(resource, "verbs"),
        subresources: list(resource, "subresources").iter().map(|s| text(s, "subresource")).collect(),
    }
}

fn list<'a>(json: &'a Json, key: &str) -> &'a [Json] {
    json.get(key).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn text(json: &Json, key: &str) -> String {
    json.get(key).and_then(Json::as_str).unwrap_or("").to_owned()
}

fn strings(json: &Json, key: &str) -> Vec<String> {
    list(json, key).iter().filter_map(Json::as_str).map(str::to_owned).collect()
}
