//! Which fields differ between two states of an object, as short paths with old and new values.

use crate::api::schema::{Field, Schema, Type};
use crate::api::{Gvk, Json};

/// One field that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldChange {
    /// From the object's root, list items by their key: `spec.template.spec.containers[web].image`.
    pub path: String,
    /// `None`: the field is new.
    pub before: Option<Json>,
    /// `None`: the field goes.
    pub after: Option<Json>,
    /// The values must not be shown.
    pub sensitive: bool,
}

impl FieldChange {
    /// The path without what is the same for all changes of a workload: `containers[web].image`, `replicas`.
    pub fn short_path(&self) -> &str {
        ["spec.jobTemplate.spec.template.spec.", "spec.template.spec.", "spec.template.", "spec."]
            .iter()
            .find_map(|prefix| self.path.strip_prefix(prefix))
            .unwrap_or(&self.path)
    }
}

/// Metadata that the server keeps; no user means it.
const SERVER_METADATA: &[&str] = &[
    "managedFields",
    "resourceVersion",
    "generation",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
];

/// All fields that differ, `status` and the server's own metadata left out, in order of path.
pub fn changes(gvk: &Gvk, before: &Json, after: &Json) -> Vec<FieldChange> {
    let schema = Schema::get();
    let mut walk = Walk { schema, secret: gvk.group.is_empty() && gvk.kind == "Secret", found: Vec::new() };
    walk.maps("", schema.type_of(gvk), None, before, after);
    walk.found
}

struct Walk<'s> {
    schema: &'s Schema,
    secret: bool,
    found: Vec<FieldChange>,
}

impl<'s> Walk<'s> {
    fn value(&mut self, path: &str, field: Option<&'s Field>, before: Option<&Json>, after: Option<&Json>) {
        match (before, after) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a @ Json::Object(_)), Some(b @ Json::Object(_))) => {
                let kind = field.and_then(|f| f.reference.as_deref()).and_then(|r| self.schema.type_named(r));
                self.maps(path, kind, field.and_then(|f| f.values.as_deref()), a, b);
            }
            (Some(Json::Array(a)), Some(Json::Array(b))) => self.lists(path, field, a, b),
            (a, b) => self.note(path, a, b),
        }
    }

    fn note(&mut self, path: &str, before: Option<&Json>, after: Option<&Json>) {
        let sensitive = self.secret && (path.starts_with("data") || path.starts_with("stringData"));
        self.found.push(FieldChange { path: path.to_owned(), before: before.cloned(), after: after.cloned(), sensitive });
    }

    fn maps(&mut self, path: &str, kind: Option<&'s Type>, values: Option<&'s Field>, before: &Json, after: &Json) {
        let (Json::Object(a), Json::Object(b)) = (before, after) else { return };
        let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            if path.is_empty() && matches!(key.as_str(), "status" | "apiVersion" | "kind") {
                continue;
            }
            if path == "metadata" && SERVER_METADATA.contains(&key.as_str()) {
                continue;
            }
            let field = kind.and_then(|t| t.fields.as_ref()?.get(key));
            let step = if field.is_some() || kind.is_some() { dotted(path, key) } else { quoted(path, key) };
            self.value(&step, field.or(values), a.get(key), b.get(key));
        }
    }

    fn lists(&mut self, path: &str, field: Option<&'s Field>, before: &[Json], after: &[Json]) {
        let key = field.and_then(|f| f.patch_merge_key.as_deref().or(f.list_map_keys.first().map(String::as_str)));
        let items = field.and_then(|f| f.items.as_deref());
        match key.filter(|key| before.iter().chain(after).all(|i| i.get(*key).is_some())) {
            Some(key) => self.keyed(path, key, items, before, after),
            None if before.len() == after.len() && before.iter().chain(after).all(Json::is_object) => {
                for (index, (a, b)) in before.iter().zip(after).enumerate() {
                    self.value(&format!("{path}[{index}]"), items, Some(a), Some(b));
                }
            }
            None => self.note(path, Some(&Json::from(before)), Some(&Json::from(after))),
        }
    }

    fn keyed(&mut self, path: &str, key: &str, items: Option<&'s Field>, before: &[Json], after: &[Json]) {
        let find = |list: &'_ [Json], value: &Json| list.iter().position(|i| i.get(key) == Some(value));
        for a in before {
            let b = find(after, &a[key]).map(|at| &after[at]);
            self.value(&bracket(path, &a[key]), items, Some(a), b);
        }
        for b in after {
            if find(before, &b[key]).is_none() {
                self.value(&bracket(path, &b[key]), items, None, Some(b));
            }
        }
    }
}

fn dotted(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A key of a free map: `data["app.ini"]`.
fn quoted(path: &str, key: &str) -> String {
    format!("{path}[{key:?}]")
}

fn bracket(path: &str, key: &Json) -> String {
    match key.as_str() {
        Some(text) => format!("{path}[{text}]"),
        None => format!("{path}[{key}]"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(kind: &str, before: Json, after: Json) -> Vec<String> {
        let version = if kind == "Deployment" { "apps/v1" } else { "v1" };
        changes(&Gvk::of(version, kind), &before, &after).into_iter().map(|c| c.path).collect()
    }

    #[test]
    fn items_of_keyed_lists_are_named_by_their_key() {
        let deployment = |image: &str, replicas: i64| {
            json!({"metadata": {"generation": replicas}, "spec": {"replicas": replicas, "template": {"spec": {
                "containers": [{"name": "side", "image": "s"}, {"name": "web", "image": image}]}}}})
        };
        assert_eq!(
            paths("Deployment", deployment("a", 1), deployment("b", 2)),
            ["spec.replicas", "spec.template.spec.containers[web].image"]
        );
    }

    #[test]
    fn keys_of_free_maps_are_quoted() {
        let before = json!({"data": {"app.ini": "x", "old": "1"}, "metadata": {"labels": {"a/b": "1"}}});
        let after = json!({"data": {"app.ini": "y"}, "metadata": {"labels": {"a/b": "2"}}});
        assert_eq!(
            paths("ConfigMap", before, after),
            ["data[\"app.ini\"]", "data[\"old\"]", "metadata.labels[\"a/b\"]"]
        );
    }

    #[test]
    fn values_of_secrets_are_marked() {
        let found = changes(&Gvk::of("v1", "Secret"), &json!({"data": {"p": "MQ=="}}), &json!({"data": {"p": "Mg=="}}));
        assert!(found[0].sensitive);
    }

    #[test]
    fn equal_objects_and_what_the_server_keeps_make_no_change() {
        let object = |rv: &str| json!({"metadata": {"name": "x", "resourceVersion": rv}, "status": {"a": rv}});
        assert!(paths("Pod", object("1"), object("2")).is_empty());
    }
}
