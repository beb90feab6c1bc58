//! From what a user typed (`po`, `Pod`, `deployments.apps`, `deploy.v1.apps`, `all`) to a resource.
//! Source: k8s.io/client-go/restmapper/shortcut.go, k8s.io/apimachinery/pkg/api/meta/restmapper.go and
//! k8s.io/cli-runtime/pkg/resource/builder.go (`mappingFor`).

use std::sync::Arc;

use super::discovery::{Discovery, Found};

/// A resource found by name, and what to say about the name.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup {
    pub found: Arc<Found>,
    pub warnings: Vec<String>,
}

impl Discovery {
    /// The resource that `argument` names, in the version asked for or preferred.
    pub fn lookup(&self, argument: &str) -> Option<Lookup> {
        let mut parts = argument.splitn(3, '.');
        let (first, second, third) = (parts.next().unwrap_or(""), parts.next(), parts.next());
        if let (Some(version), Some(group)) = (second, third) {
            let (resource, warnings) = self.expand(first, Some(group));
            if let Some(found) = self.find(&resource.0, resource.1.as_deref().or(Some(group)), Some(version)) {
                return Some(Lookup { found, warnings });
            }
        }
        let group = argument.split_once('.').map(|(_, group)| group);
        let ((resource, expanded), warnings) = self.expand(first, group);
        let found = self.find(&resource, expanded.as_deref().or(group), None)?;
        Some(Lookup { found, warnings })
    }

    /// The names (`pods`, `deployments.apps`) of a category's resources, in the server's order.
    pub fn category(&self, name: &str) -> Option<Vec<String>> {
        let members: Vec<String> =
            self.preferred().filter(|r| r.categories.iter().any(|c| c == name)).map(|r| r.qualified()).collect();
        (!members.is_empty()).then_some(members)
    }

    /// Short name → resource and group.
    fn expand(&self, name: &str, group: Option<&str>) -> ((String, Option<String>), Vec<String>) {
        let as_it_is = ((name.to_owned(), None), Vec::new());
        let in_group = |r: &Found| group.is_none_or(|g| g == r.group);
        if self.resources.iter().any(|r| in_group(r) && (r.resource == name || r.singular == name)) {
            return as_it_is;
        }
        let mut hits = self.preferred().filter(|r| r.short_names.iter().any(|s| s == name));
        let exact: Vec<&Arc<Found>> = hits.by_ref().filter(|r| in_group(r)).collect();
        if let Some((first, others)) = exact.split_first() {
            let warnings = others
                .iter()
                .map(|r| {
                    format!("short name \"{name}\" could also match lower priority resource {}", r.qualified())
                })
                .collect();
            return ((first.resource.clone(), Some(first.group.clone())), warnings);
        }
        let prefixed = group.and_then(|g| {
            self.preferred().find(|r| r.group.starts_with(g) && r.short_names.iter().any(|s| s == name))
        });
        match prefixed {
            Some(r) => ((r.resource.clone(), Some(r.group.clone())), Vec::new()),
            None => as_it_is,
        }
    }

    fn find(&self, name: &str, group: Option<&str>, version: Option<&str>) -> Option<Arc<Found>> {
        let name = name.to_lowercase();
        let named = |r: &&Arc<Found>| {
            (r.resource == name || r.singular == name || r.kind.to_lowercase() == name)
                && version.is_none_or(|v| v == r.version)
        };
        let Some(group) = group else {
            return self.resources.iter().find(named).cloned();
        };
        let exact = self.resources.iter().filter(named).find(|r| r.group == group);
        exact.or_else(|| self.resources.iter().filter(named).find(|r| r.group.starts_with(group))).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn discovery() -> Discovery {
        let resource = |name: &str, kind: &str, short: &[&str], categories: &[&str]| {
            json!({"resource": name, "responseKind": {"kind": kind}, "scope": "Namespaced",
                   "singularResource": kind.to_lowercase(), "verbs": ["get"], "shortNames": short, "categories": categories})
        };
        let group = |name: &str, versions: serde_json::Value| json!({"metadata": {"name": name}, "versions": versions});
        let mut discovery = Discovery::default();
        discovery.add_aggregated(&json!({"items": [
            group("", json!([{"version": "v1", "resources": [
                resource("pods", "Pod", &["po"], &["all"]), resource("events", "Event", &["ev"], &[])]}])),
            group("apps", json!([{"version": "v1", "resources": [resource("deployments", "Deployment", &["deploy"], &["all"])]}])),
            group("events.k8s.io", json!([{"version": "v1", "resources": [resource("events", "Event", &["ev"], &[])]}])),
        ]}));
        discovery
    }

    #[test]
    fn names_of_every_kind_are_found() {
        let discovery = discovery();
        for (name, expected) in [
            ("po", "pods"),
            ("Pod", "pods"),
            ("pods", "pods"),
            ("pods.v1.", "pods"),
            ("deploy", "deployments.apps"),
            ("deployments.apps", "deployments.apps"),
            ("deployment.v1.apps", "deployments.apps"),
            ("deploy.ap", "deployments.apps"),
            ("events", "events"),
            ("events.events.k8s.io", "events.events.k8s.io"),
        ] {
            let found = discovery.lookup(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(found.found.qualified(), expected, "{name}");
        }
        for name in ["nosuch", "pods.apps", "deployments.v1beta1.apps"] {
            assert_eq!(discovery.lookup(name), None, "{name}");
        }
    }

    #[test]
    fn a_short_name_of_two_resources_warns() {
        let hit = discovery().lookup("ev").unwrap();
        assert_eq!(hit.found.qualified(), "events");
        assert_eq!(hit.warnings, ["short name \"ev\" could also match lower priority resource events.events.k8s.io"]);
    }

    #[test]
    fn a_category_names_its_members_in_order() {
        assert_eq!(discovery().category("all").unwrap(), ["pods", "deployments.apps"]);
        assert_eq!(discovery().category("none"), None);
    }
}
