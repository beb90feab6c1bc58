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
        errors(json!({"size": 1, "tags": {"x": 1}})),
        ["spec.tags[x]: Invalid value: \"integer\": spec.tags[x] in body must be of type string: \"integer\""]
    );
}

#[test]
fn items_that_come_again_are_told_once() {
    let tree = |hosts: Json| json!({"spec": {"hosts": hosts}});
    let told = |hosts: Json| -> Vec<String> {
        lists(&schema(), &tree(hosts), &Path::root()).iter().map(|e| format!("{}: {}", e.field, e.message)).collect()
    };
    assert_eq!(told(json!([{"name": "a"}, {"name": "b"}])), Vec::<String>::new());
    assert_eq!(
        told(json!([{"name": "a"}, {"name": "a", "n": 1}, {"name": "a"}])),
        ["spec.hosts[1]: Duplicate value: {\"name\":\"a\"}"]
    );
    assert_eq!(told(json!([{}, {}])), ["spec.hosts[1]: Duplicate value: {}"]);
    assert_eq!(
        told(json!([1])),
        ["spec.hosts[0]: Invalid value: 1: must be an object for an array of list-type map"]
    );
}

#[test]
fn objects_inside_say_what_they_are() {
    let inner = json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"type": "object", "properties": {"a": inner}});
    let told = |value: Json| -> Vec<String> {
        let all = embedded(&schema, &json!({"a": value}), &Path::root());
        all.iter().map(|e| format!("{}: {}", e.field, e.message)).collect()
    };
    assert_eq!(told(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}})), Vec::<String>::new());
    assert_eq!(told(json!({"kind": ""})), ["a.apiVersion: Required value", "a.kind: Invalid value: \"\": must not be empty"]);
    let named = json!({"apiVersion": "a/b/c", "kind": "Pod", "metadata": {"name": "a/b"}});
    assert_eq!(
        told(named),
        [
            "a.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
            "a.metadata.name: Invalid value: \"a/b\": may not contain '/'",
        ]
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

fn problems(schema: Json) -> Vec<String> {
    let path = Path::new("schema");
    openapi::check(&schema, &path).iter().map(|e| format!("{}: {}", e.field, e.message)).collect()
}

fn of_a(property: Json) -> Json {
    json!({"type": "object", "properties": {"a": property}})
}

#[test]
fn schemas_are_structural() {
    assert_eq!(problems(schema()), Vec::<String>::new());
    assert_eq!(problems(json!({})), ["schema.type: Required value: must not be empty at the root"]);
    assert_eq!(
        problems(of_a(json!({"description": "x"}))),
        ["schema.properties[a].type: Required value: must not be empty for specified object fields"]
    );
    assert_eq!(
        problems(of_a(json!({"type": "array"}))),
        ["schema.properties[a].items: Required value: must be specified"]
    );
    assert_eq!(
        problems(json!({"type": "object", "anyOf": [{"required": ["a"]}, {"properties": {"b": {"minimum": 1}}}]})),
        ["schema.properties[b]: Required value: because it is defined in schema.anyOf[1].properties[b]"]
    );
    assert_eq!(
        problems(json!({"type": "object", "additionalProperties": {"type": "string"}})),
        ["schema.additionalProperties: Forbidden: must not be used at the root"]
    );
    assert_eq!(
        problems(of_a(json!({"type": "string", "oneOf": [{"type": "string", "description": "x"}, {"pattern": "y"}]}))),
        [
            "schema.properties[a].oneOf[0].description: Forbidden: must be empty to be structural",
            "schema.properties[a].oneOf[0].type: Forbidden: must be empty to be structural",
        ]
    );
    let either = json!([{"type": "integer"}, {"type": "string"}]);
    assert!(problems(of_a(json!({"x-kubernetes-int-or-string": true, "anyOf": either}))).is_empty());
    let first = json!({"x-kubernetes-int-or-string": true, "allOf": [{"anyOf": either}, {"pattern": "x"}]});
    assert!(problems(of_a(first)).is_empty());
    assert_eq!(
        problems(of_a(json!({"x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true}))),
        ["schema.properties[a].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if \
          x-kubernetes-int-or-string is true"]
    );
}

#[test]
fn metadata_is_as_everywhere() {
    let problems = |metadata: Json| problems(json!({"type": "object", "properties": {"metadata": metadata}}));
    assert!(problems(json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 9}}})).is_empty());
    assert_eq!(
        problems(json!({"type": "object", "properties": {"labels": {"type": "object"}}})),
        ["schema.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is \
          implicitly specified"]
    );
    assert_eq!(
        problems(json!({"type": "object", "properties": {"name": {"type": "string", "default": "x"}}})),
        ["schema.properties[metadata].properties[name].default: Forbidden: must not be set in top-level metadata"]
    );
}

#[test]
fn defaults_fit_and_are_pruned() {
    assert_eq!(
        problems(of_a(json!({"type": "integer", "default": "x"}))),
        ["schema.properties[a].default: Invalid value: \"string\": schema.properties[a].default in body must be of type \
          integer: \"string\""]
    );
    assert_eq!(
        problems(of_a(json!({"type": "object", "default": {"b": 1}}))),
        ["schema.properties[a].default: Invalid value: {\"b\":1}: must not have unknown fields"]
    );
}

#[test]
fn words_that_are_not_taken_are_named_alone() {
    assert_eq!(
        problems(of_a(json!({"$ref": "#/x", "uniqueItems": true}))),
        [
            "schema.properties[a].$ref: Forbidden: $ref is not supported",
            "schema.properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity \
             becomes quadratic",
        ]
    );
    assert_eq!(
        problems(json!({"type": "object", "$schema": "x"})),
        ["schema: Invalid value: \"\": OpenAPIV3Schema 'schema' is not supported"]
    );
    assert_eq!(
        problems(of_a(json!({"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": false}))),
        ["schema.properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"]
    );
}

#[test]
fn lists_have_the_types_and_keys_that_they_name() {
    let list = |more: Json, items: Json| {
        let mut list = json!({"type": "array", "items": items});
        list.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        problems(of_a(list))
    };
    let object = |more: Json| {
        let mut object = json!({"type": "object", "properties": {"k": {"type": "string"}, "o": {"type": "object"}}});
        object.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        object
    };
    let at = "schema.properties[a]";
    let map = |keys: Json| json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys});
    assert!(list(map(json!(["k"])), object(json!({"required": ["k"]}))).is_empty());
    let must = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
    assert_eq!(list(map(json!(["k"])), object(json!({}))), [format!("{at}.items.properties[k].default: Required value: {must}")]);
    assert_eq!(
        list(map(json!(["x"])), object(json!({}))),
        [format!("{at}.x-kubernetes-list-map-keys: Invalid value: [\"x\"]: entries must all be names of item properties")]
    );
    let scalar = "must be a scalar type if parent array's x-kubernetes-list-type is map";
    assert_eq!(
        list(map(json!(["o"])), object(json!({"required": ["o"]}))),
        [format!("{at}.items.properties[o].type: Invalid value: \"object\": {scalar}")]
    );
    let nonempty = "must be map if x-kubernetes-list-map-keys is non-empty";
    assert_eq!(
        list(json!({"x-kubernetes-list-map-keys": ["k"]}), object(json!({}))),
        [format!("{at}.x-kubernetes-list-type: Required value: {nonempty}")]
    );
    assert_eq!(
        list(json!({"x-kubernetes-list-type": "bag"}), object(json!({}))),
        [format!("{at}.x-kubernetes-list-type: Unsupported value: \"bag\": supported values: \"atomic\", \"set\", \"map\"")]
    );
    let atomic = "must be atomic as item of a list with x-kubernetes-list-type=set";
    assert_eq!(
        list(json!({"x-kubernetes-list-type": "set"}), object(json!({}))),
        [format!("{at}.items.x-kubernetes-map-type: Invalid value: null: {atomic}")]
    );
    assert!(list(json!({"x-kubernetes-list-type": "set"}), object(json!({"x-kubernetes-map-type": "atomic"}))).is_empty());
}

#[test]
fn formats_that_say_nothing_are_known() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "string", "format": "date-time"}, "b": {"type": "integer", "format": "int16"},
        "c": {"type": "string", "format": "k8s-short-name"}, "d": {"type": "array", "items": {"type": "string", "format": "odd"}},
    }});
    assert_eq!(formats::unrecognized(&schema), ["int16", "odd"]);
}

#[test]
fn fields_are_found_by_their_paths() {
    let (schema, find) = (schema(), field_path::resolve);
    let path = |text: &str| find(&schema, text, true).map(|(path, schema)| (path, schema["type"].clone()));
    assert_eq!(path(".spec.mode"), Ok(("spec.mode".into(), json!("string"))));
    assert_eq!(path(".spec['mode']"), Ok(("spec.mode".into(), json!("string"))));
    assert_eq!(path(".spec.tags.x"), Ok(("spec.tags[x]".into(), json!("string"))));
    assert_eq!(path("spec"), Err("expected [ or . but got: spec".into()));
    assert_eq!(path(".spec.nothing"), Err("does not refer to a valid field".into()));
    assert_eq!(path(".spec["), Err("unexpected end of JSON path".into()));
    assert_eq!(find(&schema, ".spec['mode']", false), Err("array notation is not allowed".into()));
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
