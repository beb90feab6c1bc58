use serde_json::json;

use super::columns::JsonPath;
use super::*;
use crate::api::validation::field::Path;

fn schema() -> Json {
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "required": ["size"], "properties": {
            "size": {"type": "integer", "minimum": 1, "maximum": 5},
            "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
            "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 4},
            "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "tags": {"type": "object", "additionalProperties": {"type": "string"}},
            "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "hosts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "n": {"type": "integer"}}}},
        }},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }})
}

fn errors(spec: Json) -> Vec<String> {
    let tree = json!({"spec": spec});
    check(&schema(), &tree, None, &Path::root()).iter().map(|e| format!("{}: {}", e.field, e.message)).collect()
}

#[test]
fn values_that_fit_pass() {
    let spec = json!({"size": 3, "mode": "b", "name": "abc", "port": "http", "tags": {"x": "y"}, "any": {"z": [1]},
        "hosts": [{"name": "a"}, {"name": "b", "n": 2}]});
    assert_eq!(errors(spec), Vec::<String>::new());
    assert_eq!(errors(json!({"size": 1, "port": 80})), Vec::<String>::new());
}

#[test]
fn each_misfit_is_named() {
    assert_eq!(errors(json!({})), ["spec.size: Required value"]);
    assert_eq!(
        errors(json!({"size": "x"})),
        ["spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\""]
    );
    assert_eq!(
        errors(json!({"size": 9})),
        ["spec.size: Invalid value: 9: spec.size in body should be less than or equal to 5"]
    );
    assert_eq!(
        errors(json!({"size": 1, "mode": "c"})),
        ["spec.mode: Unsupported value: \"c\": supported values: \"a\", \"b\""]
    );
    assert_eq!(
        errors(json!({"size": 1, "name": "A1"})),
        ["spec.name: Invalid value: \"A1\": spec.name in body should match '^[a-z]+$'"]
    );
    assert_eq!(errors(json!({"size": 1, "name": "abcde"})), ["spec.name: Too long: may not be more than 4 bytes"]);
    assert_eq!(
        errors(json!({"size": 1, "hosts": [{"name": "a"}, {"name": "a"}]})),
        ["spec.hosts[1]: Duplicate value: {\"name\":\"a\"}"]
    );
    assert_eq!(
        errors(json!({"size": 1, "tags": {"x": 1}})),
        ["spec.tags[x]: Invalid value: \"integer\": spec.tags[x] in body must be of type string: \"integer\""]
    );
}

#[test]
fn what_stays_is_not_looked_at_again() {
    let (old, new) = (json!({"spec": {"size": 9, "mode": "c"}}), json!({"spec": {"size": 9, "mode": "b"}}));
    assert!(check(&schema(), &new, Some(&old), &Path::root()).is_empty());
    let new = json!({"spec": {"size": 8, "mode": "c"}});
    assert_eq!(check(&schema(), &new, Some(&old), &Path::root()).len(), 1);
}

#[test]
fn unknown_fields_go_and_defaults_come() {
    let mut tree = json!({"kind": "K", "metadata": {"x": 1}, "no": 1, "spec": {"size": 1, "no": {"a": 1}, "tags": {"a": "b"},
        "any": {"kept": {"deep": 1}}, "hosts": [{"name": "a", "no": 1}], "name": null}, "status": {"free": 1}});
    fill(&schema(), &mut tree);
    let dropped = prune(&schema(), &mut tree);
    assert_eq!(dropped, ["no", "spec.hosts[0].no", "spec.no"]);
    assert_eq!(
        tree,
        json!({"kind": "K", "metadata": {"x": 1}, "spec": {"size": 1, "mode": "a", "tags": {"a": "b"},
            "any": {"kept": {"deep": 1}}, "hosts": [{"name": "a"}]}, "status": {"free": 1}})
    );
}

#[test]
fn schemas_are_structural() {
    let problems = |schema: Json| -> Vec<String> {
        let path = Path::new("schema");
        structural::check(&schema, &path).iter().map(|e| format!("{}: {}", e.field, e.message)).collect()
    };
    assert_eq!(problems(schema()), Vec::<String>::new());
    assert_eq!(problems(json!({})), ["schema.type: Required value: must not be empty at the root"]);
    assert_eq!(
        problems(json!({"type": "object", "properties": {"a": {"description": "x"}}})),
        ["schema.properties[a].type: Required value: must not be empty for specified object fields"]
    );
    assert_eq!(
        problems(json!({"type": "object", "properties": {"a": {"type": "array"}}})),
        ["schema.properties[a].items: Required value: must be specified"]
    );
    assert_eq!(
        problems(json!({"type": "object", "anyOf": [{"required": ["a"]}, {"properties": {"b": {"minimum": 1}}}]})),
        ["schema.properties[b]: Required value: because it is defined in schema.anyOf[1].properties[b]"]
    );
    let default = json!({"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}});
    assert_eq!(problems(default).len(), 1);
}

#[test]
fn columns_follow_simple_paths() {
    let tree = json!({"spec": {"list": [{"n": 1}, {"n": 2}], "a.b": 3}, "metadata": {"annotations": {"x.io/y": "z"}},
        "status": {"conditions": [{"type": "A", "status": "False"}, {"type": "Ready", "status": "True"}]}});
    let first = |path: &str| JsonPath::parse(path).and_then(|p| p.first(&tree).cloned());
    assert_eq!(first(".spec.list[1].n"), Some(json!(2)));
    assert_eq!(first(".spec.list[-1].n"), Some(json!(2)));
    assert_eq!(first(".spec.list[*].n"), Some(json!(1)));
    assert_eq!(first("{.spec['a.b']}"), Some(json!(3)));
    assert_eq!(first(r".metadata.annotations.x\.io/y"), Some(json!("z")));
    assert_eq!(first(r#".status.conditions[?(@.type=="Ready")].status"#), Some(json!("True")));
    assert_eq!(first(".status.nothing"), None);
    assert_eq!(first("spec"), None);
}
