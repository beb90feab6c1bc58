//! Patches of a kustomization. Strategic ones put the items of their lists before the others, which the API's own do not.
//! Source: sigs.k8s.io/kustomize/api/internal/builtins/PatchTransformer.go, kyaml/yaml/merge2.

use std::path::Path;

use regex_lite::Regex;

use super::Resource;
use super::file::{Ids, Patch};
use crate::api::schema::{Field, Schema, Type};
use crate::api::selector::LabelSelector;
use crate::api::status::quote;
use crate::api::{Json, JsonMap, Object};
use crate::apply::json_patch;
use crate::cli::CliError;
use crate::cli::print::flags::go_error;
use crate::manifest;

/// A patch of `patches` or `patchesJson6902`.
pub fn apply(root: &Path, patch: &Patch, resources: &mut Vec<Resource>) -> Result<(), CliError> {
    let (text, source) = match (patch.text.is_empty(), patch.path.is_empty()) {
        (true, true) => return Err(CliError::message("must specify one of patch and path in\n")),
        (false, false) => return Err(CliError::message("patch and path can't be set at the same time\n")),
        (false, true) => (patch.text.clone(), format!("[patch: {}]", quote(&patch.text))),
        (true, false) => (read(root, &patch.path)?, format!("[path: {}]", quote(&patch.path))),
    };
    let first = manifest::first_document(text.as_bytes()).map(|first| first.tree);
    if let Ok(operations @ Json::Array(_)) = &first {
        let Some(target) = &patch.target else {
            return Err(CliError::message(format!("must specify a target for JSON patch {source}")));
        };
        for at in select(resources, target)? {
            resources[at].remember();
            resources[at].tree = json_patch(&resources[at].tree, operations).map_err(|e| CliError::message(e.to_string()))?;
        }
        return Ok(());
    }
    let parsed = manifest::parse("patch", text.as_bytes());
    if !parsed.problems.is_empty() || parsed.documents.is_empty() {
        return Err(CliError::message(format!("unable to parse SM or JSON patch from {source}")));
    }
    let patches: Vec<Json> = parsed.documents.iter().map(manifest::Document::json).collect();
    let Some(target) = &patch.target else {
        patches.iter().try_for_each(|tree| strategic(tree, patch, resources))?;
        resources.retain(is_left);
        return Ok(());
    };
    let [tree] = patches.as_slice() else {
        return Err(CliError::message(format!(
            "Multiple Strategic-Merge Patches in one `patches` entry is not allowed to set `patches.target` field: {source}"
        )));
    };
    for at in select(resources, target)? {
        merge_into(&mut resources[at], tree, patch);
    }
    resources.retain(is_left);
    Ok(())
}

/// `ConfigMap.v1.[noGrp]/settings.[noNs]`. Source: sigs.k8s.io/kustomize/kyaml/resid.
pub fn id_of(object: &Object) -> String {
    let gvk = object.gvk();
    id_text(&gvk.kind, &gvk.version, &gvk.group, object.name(), object.namespace())
}

/// The same of what an id may say.
pub fn id_text(kind: &str, version: &str, group: &str, name: &str, namespace: &str) -> String {
    let or = |text: &str, none: &str| if text.is_empty() { format!("[no{none}]") } else { text.to_owned() };
    format!("{}.{}.{}/{}.{}", or(kind, "Kind"), or(version, "Ver"), or(group, "Grp"), or(name, "Name"), or(namespace, "Ns"))
}

/// Whether no patch has deleted the whole object.
fn is_left(resource: &Resource) -> bool {
    !resource.tree.is_null()
}

/// A patch of `patchesStrategicMerge`: a file, or the patch itself.
pub fn strategic_of_text(root: &Path, text: &str, resources: &mut Vec<Resource>) -> Result<(), CliError> {
    let is_file = !text.contains('\n') && root.join(text).is_file();
    let patch = if is_file { Patch { path: text.into(), ..Patch::default() } } else { Patch { text: text.into(), ..Patch::default() } };
    apply(root, &patch, resources)
}

fn read(root: &Path, path: &str) -> Result<String, CliError> {
    let bytes = std::fs::read(root.join(path)).map_err(|e| {
        let full = root.join(path);
        CliError::message(format!("failed to get the patch file from path({path}): open {}: {}", full.display(), go_error(&e)))
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A patch that names its object itself, by the name it has in its file.
fn strategic(tree: &Json, patch: &Patch, resources: &mut [Resource]) -> Result<(), CliError> {
    let wanted = Object::new(tree.clone());
    let hit = resources.iter_mut().find(|r| {
        let namespace = r.first_namespace();
        r.object().gvk() == wanted.gvk()
            && r.first_name() == wanted.name()
            && (namespace == wanted.namespace() || (wanted.namespace().is_empty() && namespace == "default"))
    });
    let Some(resource) = hit else {
        let id = id_of(&wanted);
        return Err(CliError::message(format!(
            "no resource matches strategic merge patch \"{id}\": no matches for Id {id}; failed to find unique target for patch {id}"
        )));
    };
    merge_into(resource, tree, patch);
    Ok(())
}

fn merge_into(resource: &mut Resource, patch: &Json, how: &Patch) {
    resource.remember();
    let gvk = resource.object().gvk();
    let old = resource.tree.clone();
    let schema = Schema::get();
    resource.tree = merge(Some(old.clone()), patch, schema.type_of(&gvk)).unwrap_or(Json::Null);
    if resource.tree.is_null() {
        return;
    }
    // Who an object is does not change by a patch, unless that was asked for.
    for field in ["name", "namespace"] {
        if !how.may_rename
            && let Some(value) = old["metadata"].get(field)
        {
            resource.tree["metadata"][field] = value.clone();
        }
    }
    for field in ["apiVersion", "kind"].into_iter().filter(|_| !how.may_change_kind) {
        resource.tree[field] = old[field].clone();
    }
}

/// A map with a patch on it; nothing where the patch deletes it.
fn merge(old: Option<Json>, patch: &Json, kind: Option<&Type>) -> Option<Json> {
    let Json::Object(patch) = patch else { return Some(patch.clone()) };
    let directive = patch.get("$patch").and_then(Json::as_str).unwrap_or("merge");
    let mut map = match (directive, old) {
        ("delete", _) => return None,
        ("replace", _) => JsonMap::new(),
        (_, Some(Json::Object(map))) => map,
        _ => JsonMap::new(),
    };
    for (key, value) in patch.iter().filter(|(key, _)| *key != "$patch") {
        let field = kind.and_then(|k| k.fields.as_ref()?.get(key));
        let merged = match value {
            Json::Null => None,
            Json::Array(items) => merge_list(map.remove(key), items, field),
            Json::Object(_) => merge(map.remove(key), value, field.and_then(type_of)),
            other => Some(other.clone()),
        };
        match merged {
            Some(value) => map.insert(key.clone(), value),
            None => map.remove(key),
        };
    }
    Some(Json::Object(map))
}

fn type_of(field: &Field) -> Option<&'static Type> {
    Schema::get().type_named(field.reference.as_deref()?)
}

/// Lists whose items have keys are merged item by item, those of the patch first, in its order; others are replaced.
fn merge_list(old: Option<Json>, items: &[Json], field: Option<&Field>) -> Option<Json> {
    let replaces = items.iter().any(|item| item.get("$patch").and_then(Json::as_str) == Some("replace"));
    let keys = field.map(keys).unwrap_or_default();
    let merges = field.is_some_and(|f| f.patch_strategy.as_deref().is_some_and(|s| s.split(',').any(|s| s == "merge")));
    let kind = field.and_then(|f| type_of(f.items.as_deref()?));
    let plain = |item: &Json| merge(None, item, kind);
    if keys.is_empty() || !merges || replaces {
        let kept = items.iter().filter(|item| item.get("$patch").is_none());
        return Some(Json::Array(kept.filter_map(plain).collect()));
    }
    let mut all = match old {
        Some(Json::Array(items)) => items,
        _ => Vec::new(),
    };
    let mut first = Vec::new();
    for item in items {
        // What the patch does not say of a key does not tell items apart.
        let said: Vec<&str> = keys.iter().copied().filter(|key| item.get(key).is_some()).collect();
        let at = all.iter().position(|o| !said.is_empty() && said.iter().all(|key| o.get(key) == item.get(key)));
        match at {
            Some(at) => first.extend(merge(Some(all.remove(at)), item, kind)),
            None => first.extend(plain(item)),
        }
    }
    first.extend(all);
    Some(Json::Array(first))
}

fn keys(field: &Field) -> Vec<&str> {
    if !field.list_map_keys.is_empty() {
        return field.list_map_keys.iter().map(String::as_str).collect();
    }
    field.patch_merge_key.as_deref().into_iter().collect()
}

/// The resources that a target means.
fn select(resources: &[Resource], target: &Ids) -> Result<Vec<usize>, CliError> {
    let text = |key: &str| target.get(key);
    let selector = |key: &str| LabelSelector::parse(text(key)).map_err(CliError::message);
    let (labels, annotations) = (selector("labelSelector")?, selector("annotationSelector")?);
    let mut hits = Vec::new();
    for (at, resource) in resources.iter().enumerate() {
        let gvk = resource.object().gvk();
        let is = |key: &str, value: &str| text(key).is_empty() || text(key) == value;
        let mut fits = is("group", &gvk.group) && is("version", &gvk.version) && is("kind", &gvk.kind);
        let ids = resource.before.iter().map(|(ns, name)| (ns.as_str(), name.as_str()));
        let mut called = false;
        for (namespace, name) in ids.chain([(resource.namespace(), resource.name())]) {
            called |= matches(text("name"), name)? && matches(text("namespace"), namespace)?;
        }
        fits &= called && labels.matches_map(resource.tree.pointer("/metadata/labels"));
        if fits && annotations.matches_map(resource.tree.pointer("/metadata/annotations")) {
            hits.push(at);
        }
    }
    Ok(hits)
}

/// Whether the whole of a text is what a pattern says. Source: `NewSelectorRegex` in sigs.k8s.io/kustomize/api/types/selector.go.
fn matches(pattern: &str, text: &str) -> Result<bool, CliError> {
    let regex = Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|why| CliError::message(format!("the pattern {} of a patch's target is none: {why}", quote(pattern))))?;
    Ok(pattern.is_empty() || regex.is_match(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(containers: Json) -> Json {
        json!({"spec": {"template": {"spec": {"containers": containers}}}})
    }

    fn check(old: Json, patch: Json, expect: Json) {
        let gvk = crate::api::Gvk::of("apps/v1", "Deployment");
        assert_eq!(merge(Some(old), &patch, Schema::get().type_of(&gvk)), Some(expect));
    }

    #[test]
    fn items_of_the_patch_come_first() {
        check(
            deployment(json!([{"name": "a"}, {"name": "b"}, {"name": "c"}])),
            deployment(json!([{"name": "x"}, {"name": "c", "image": "y"}, {"name": "a"}])),
            deployment(json!([{"name": "x"}, {"name": "c", "image": "y"}, {"name": "a"}, {"name": "b"}])),
        );
        check(
            deployment(json!([{"name": "a", "image": "x"}])),
            deployment(json!([{"name": "b"}, {"name": "a", "image": "y"}])),
            deployment(json!([{"name": "b"}, {"name": "a", "image": "y"}])),
        );
    }

    #[test]
    fn directives_delete_and_replace() {
        check(
            deployment(json!([{"name": "a"}, {"name": "b"}])),
            deployment(json!([{"name": "a", "$patch": "delete"}])),
            deployment(json!([{"name": "b"}])),
        );
        check(
            deployment(json!([{"name": "a"}])),
            deployment(json!([{"name": "c"}, {"$patch": "replace"}])),
            deployment(json!([{"name": "c"}])),
        );
        check(json!({"spec": {"paused": true, "replicas": 1}}), json!({"spec": {"paused": null}}), json!({"spec": {"replicas": 1}}));
    }

    #[test]
    fn a_target_may_leave_letters_open() {
        for (pattern, text, expect) in [
            ("", "a", true),
            ("web", "web", true),
            ("we.*", "web", true),
            ("^web$", "web", true),
            ("web", "web2", false),
            ("a|web", "web", true),
            ("a|web", "web2", false),
            ("web-[0-9]+", "web-12", true),
        ] {
            assert_eq!(matches(pattern, text).unwrap(), expect, "{pattern} {text}");
        }
        assert!(matches("a(", "a").is_err());
    }
}
