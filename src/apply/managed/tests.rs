use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::Status;
use crate::apply::typed::{self, CustomTypes, Duplicates};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_600_000_000 + second).unwrap()
}

fn configmap() -> FieldManager<'static> {
    FieldManager::new(&Gvk::of("v1", "ConfigMap"), "")
}

fn map(data: Json) -> Json {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data})
}

fn stored(mut object: Json) -> Json {
    object["metadata"]["uid"] = json!("u");
    object
}

fn managers(object: &Json) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    entries.iter().map(|e| format!("{} {}", e["manager"].as_str().unwrap(), e["fieldsV1"])).collect()
}

#[test]
fn what_is_no_longer_applied_goes_and_what_others_set_stays() {
    let fm = configmap();
    let first = stored(fm.apply(None, &map(json!({"a": "1", "b": "2"})), "one", false, at(0)).unwrap());
    let mut edited = first.clone();
    edited["data"]["theirs"] = json!("3");
    let edited = fm.update(Some(&first), edited, "editor", at(1));
    let second = fm.apply(Some(&edited), &map(json!({"a": "1"})), "one", false, at(2)).unwrap();
    assert_eq!(second["data"], json!({"a": "1", "theirs": "3"}));
    assert_eq!(managers(&second), [r#"one {"f:data":{"f:a":{}}}"#, r#"editor {"f:data":{"f:theirs":{}}}"#]);
}

/// A kind whose hosts have names, whose tags are a set, and whose arguments are one whole.
fn lamps(has_status: bool) -> CustomTypes {
    let host = json!({"type": "object", "properties": {"name": {"type": "string"}, "port": {"type": "integer", "default": 80}}});
    let spec = json!({"type": "object", "properties": {
        "hosts": {"type": "array", "items": host, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "port"]},
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "args": {"type": "array", "items": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "port": {"x-kubernetes-int-or-string": true},
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
    }});
    let status = json!({"type": "object", "properties": {"lit": {"type": "boolean"}}});
    let schema = json!({"type": "object", "properties": {"spec": spec, "status": status}});
    let mut version = json!({"name": "v1", "schema": {"openAPIV3Schema": schema}});
    if has_status {
        version["subresources"] = json!({"status": {}});
    }
    CustomTypes::of(&json!({"spec": {"group": "example.com", "versions": [version]}}))
}

fn lamp(spec: Json) -> Json {
    json!({"apiVersion": "example.com/v1", "kind": "Lamp", "metadata": {"name": "x"}, "spec": spec})
}

fn of_lamps<'a>(types: &'a CustomTypes, subresource: &str) -> FieldManager<'a> {
    FieldManager::new(&Gvk::of("example.com/v1", "Lamp"), subresource).with_types(types)
}

#[test]
fn lists_of_a_custom_kind_are_shared_as_its_definition_says() {
    let types = lamps(true);
    let fm = of_lamps(&types, "");
    let one = json!({"hosts": [{"name": "a"}], "tags": ["x"], "args": ["1"], "port": "http", "whole": {"a": "1"}});
    let first = stored(fm.apply(None, &lamp(one), "one", false, at(0)).unwrap());
    let whose = [
        r#"one {"f:spec":{"f:args":{},"f:hosts":{"k:{\"name\":\"a\",\"port\":80}":{".":{},"f:name":{}}},"f:port":{},"#,
        r#""f:tags":{"v:\"x\"":{}},"f:whole":{}}}"#,
    ];
    assert_eq!(managers(&first), [whose.concat()]);
    let two = json!({"hosts": [{"name": "b", "port": 1}], "tags": ["y"], "free": {"any": {"thing": [1]}}});
    let second = fm.apply(Some(&first), &lamp(two.clone()), "two", false, at(1)).unwrap();
    assert_eq!(second["spec"]["hosts"], json!([{"name": "a"}, {"name": "b", "port": 1}]));
    assert_eq!(second["spec"]["tags"], json!(["x", "y"]));
    assert_eq!(second["spec"]["free"], two["free"]);
    let third = fm.apply(Some(&second), &lamp(json!({"args": ["1"]})), "one", false, at(2)).unwrap();
    assert_eq!(third["spec"], json!({"args": ["1"], "free": two["free"], "hosts": two["hosts"], "tags": ["y"]}));
    let error = fm.apply(Some(&third), &lamp(json!({"args": ["2"]})), "two", false, at(3)).unwrap_err();
    assert_eq!(error.to_string(), "Apply failed with 1 conflict: conflict with \"one\": .spec.args");
}

#[test]
fn a_custom_kind_takes_what_its_definition_declares() {
    let types = lamps(true);
    let refused = |spec: Json| of_lamps(&types, "").apply(None, &lamp(spec), "one", false, at(0)).unwrap_err().to_string();
    let head = "failed to create typed patch object (/x; example.com/v1, Kind=Lamp): ";
    assert_eq!(refused(json!({"none": 1})), format!("{head}.spec.none: field not declared in schema"));
    assert_eq!(
        refused(json!({"tags": ["a", "a"]})),
        format!("{head}.spec.tags: duplicate entries for key [=\"a\"]")
    );
    assert_eq!(
        refused(json!({"args": "a"})),
        format!("{head}.spec.args: expected list, got &{{a}}")
    );
}

#[test]
fn a_status_is_written_apart_where_the_definition_says_so() {
    let with_status = |has_status: bool, subresource: &str| {
        let types = lamps(has_status);
        let mut tree = lamp(json!({"args": []}));
        tree["status"] = json!({"lit": true});
        managers(&of_lamps(&types, subresource).apply(None, &tree, "one", false, at(0)).unwrap()).concat()
    };
    assert_eq!(with_status(true, ""), r#"one {"f:spec":{"f:args":{}}}"#);
    assert_eq!(with_status(true, "status"), r#"one {"f:status":{"f:lit":{}}}"#);
    assert_eq!(with_status(false, ""), r#"one {"f:spec":{"f:args":{}},"f:status":{"f:lit":{}}}"#);
}

#[test]
fn a_conflict_names_the_owner_and_force_takes_over() {
    let fm = configmap();
    let live = stored(fm.update(None, map(json!({"a": "1"})), "creator", at(0)));
    let error = fm.apply(Some(&live), &map(json!({"a": "2"})), "one", false, at(1)).unwrap_err();
    assert_eq!(error.to_string(), "Apply failed with 1 conflict: conflict with \"creator\" using v1: .data.a");
    assert_eq!(Status::from(error).code, 409);
    let forced = fm.apply(Some(&live), &map(json!({"a": "2"})), "one", true, at(1)).unwrap();
    assert_eq!(managers(&forced), [r#"one {"f:data":{"f:a":{}}}"#, r#"creator {"f:data":{}}"#]);
}

#[test]
fn applying_the_same_again_keeps_the_time() {
    let fm = configmap();
    let first = stored(fm.apply(None, &map(json!({"a": "1"})), "one", false, at(0)).unwrap());
    let again = fm.apply(Some(&first), &map(json!({"a": "1"})), "one", false, at(9)).unwrap();
    assert_eq!(again["metadata"]["managedFields"], first["metadata"]["managedFields"]);
}

#[test]
fn a_write_that_moves_only_times_is_undone() {
    let fm = configmap();
    let old = stored(fm.update(None, map(json!({"a": "1"})), "one", at(0)));
    let mut new = old.clone();
    new["metadata"]["managedFields"][0]["time"] = json!("2030-01-01T00:00:00Z");
    new["metadata"]["labels"] = json!({});
    keep_times_of_unchanged(&mut new, &old);
    assert_eq!(new["metadata"]["managedFields"], old["metadata"]["managedFields"]);
    new["metadata"]["managedFields"][0]["time"] = json!("2030-01-01T00:00:00Z");
    new["data"]["a"] = json!("2");
    keep_times_of_unchanged(&mut new, &old);
    assert_ne!(new["metadata"]["managedFields"], old["metadata"]["managedFields"]);
}

#[test]
fn the_oldest_updaters_are_merged_beyond_ten() {
    let fm = configmap();
    let mut object = stored(fm.update(None, map(json!({"k": "0"})), "m00", at(0)));
    for i in 1..=11_i64 {
        let mut next = object.clone();
        next["data"][format!("k{i:02}")] = json!("1");
        object = fm.update(Some(&object), next, &format!("m{i:02}"), at(i));
    }
    let names: Vec<_> = managers(&object).iter().map(|m| m.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(names.len(), 10);
    assert_eq!(names[0], "ancient-changes");
    assert_eq!(
        managers(&object)[0],
        r#"ancient-changes {"f:data":{".":{},"f:k":{},"f:k01":{},"f:k02":{}}}"#
    );
}

#[test]
fn an_object_of_nobody_stays_so_until_it_is_applied() {
    let fm = configmap();
    let live = stored(map(json!({"a": "1"})));
    let mut next = live.clone();
    next["data"]["a"] = json!("2");
    assert!(managers(&fm.update(Some(&live), next, "editor", at(0))).is_empty());
    let applied = fm.apply(Some(&live), &map(json!({"b": "1"})), "one", false, at(0)).unwrap();
    assert_eq!(
        managers(&applied),
        [r#"one {"f:data":{"f:b":{}}}"#, r#"before-first-apply {"f:data":{".":{},"f:a":{}}}"#]
    );
}

#[test]
fn a_scale_shows_and_changes_only_who_owns_the_replicas() {
    let fm = FieldManager::new(&Gvk::of("apps/v1", "Deployment"), "");
    let body = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}}});
    let live = fm.apply(None, &body, "one", false, at(0)).unwrap();
    let parent = live["metadata"]["managedFields"].as_array().unwrap();
    let scale = scale_entries_to_scale(parent, "apps/v1").unwrap();
    assert_eq!(scale[0]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(scale[0]["apiVersion"], json!("autoscaling/v1"));
    let object = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 2},
        "metadata": {"name": "x", "uid": "u", "managedFields": scale}});
    let patch = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "x"}, "spec": {"replicas": 4}});
    let fm = FieldManager::new(&Gvk::of("autoscaling/v1", "Scale"), "scale");
    let error = fm.apply(Some(&object), &patch, "two", false, at(1)).unwrap_err();
    assert_eq!(error.to_string(), "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas");
    let forced = fm.apply(Some(&object), &patch, "two", true, at(1)).unwrap();
    let scale = forced["metadata"]["managedFields"].as_array().unwrap();
    let back = scale_entries_to_parent(parent, scale, "apps/v1").unwrap();
    let text: Vec<_> = back.iter().map(|e| format!("{} {}", e["manager"], e["fieldsV1"])).collect();
    assert_eq!(text, [r#""one" {"f:spec":{"f:selector":{}}}"#, r#""two" {"f:spec":{"f:replicas":{}}}"#]);
}

#[test]
fn names_of_clients_become_names_of_managers() {
    assert_eq!(manager_name(None, "kubectl/v1.36 (linux)"), "kubectl");
    assert_eq!(manager_name(Some(""), "other tool 9"), "other tool 9");
    assert_eq!(manager_name(Some("me"), "x"), "me");
    assert_eq!(manager_name(None, "a\u{7}b\u{200b}c"), "abc");
    assert_eq!(manager_name(None, &"x".repeat(300)).len(), 128);
}

/// Any JSON, small.
pub(crate) fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "[a-c$/~.-]{0,4}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let key = prop_oneof![
            "[a-c]{1}",
            Just("metadata".to_owned()),
            Just("spec".to_owned()),
            Just("template".to_owned()),
            Just("containers".to_owned()),
            Just("name".to_owned()),
            Just("finalizers".to_owned()),
            Just("managedFields".to_owned()),
            Just("$patch".to_owned()),
            Just("$retainKeys".to_owned()),
            Just("$setElementOrder/containers".to_owned()),
            Just("$deleteFromPrimitiveList/finalizers".to_owned()),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            prop::collection::vec((key, inner), 0..5).prop_map(|e| Json::Object(e.into_iter().collect())),
        ]
    })
}

/// A Pod with containers in any order, environment, ports, selectors, labels, finalizers; nothing in it is empty.
pub(crate) fn any_pod() -> impl Strategy<Value = Json> {
    let env = prop::collection::btree_map("[A-C]", "[0-2]", 0..3)
        .prop_map(|m| m.into_iter().map(|(k, v)| json!({"name": k, "value": v})).collect::<Json>());
    let ports = prop::collection::btree_map(80..83_i32, prop::option::of("[pq]"), 0..3).prop_map(|m| {
        m.into_iter().map(|(k, v)| json!({"containerPort": k, "name": v, "protocol": "TCP"})).collect::<Json>()
    });
    let container = (env, ports, "[xyz]", prop::collection::vec("[ab]", 0..3));
    let containers = prop::collection::btree_map("[abc]", container, 1..4)
        .prop_map(|m| m.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
        .prop_map(|list| {
            let one = |(name, (env, ports, image, args)): (String, (Json, Json, String, Vec<String>))| {
                json!({"name": name, "image": image, "env": env, "ports": ports, "args": args})
            };
            list.into_iter().map(one).collect::<Json>()
        });
    let labels = prop::collection::btree_map("[abc]", "[0-2]", 0..4);
    let finalizers = prop::collection::btree_set("[a-c]/f", 0..3);
    let parts = (containers, labels.clone(), labels, finalizers, prop::option::of(0..3_i32));
    parts.prop_map(|(containers, labels, selector, finalizers, grace)| {
        without_empty(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "x", "labels": labels, "finalizers": finalizers},
            "spec": {"containers": containers, "nodeSelector": selector, "terminationGracePeriodSeconds": grace}}))
    })
}

fn without_empty(value: Json) -> Json {
    let empty = |v: &Json| v.is_null() || v == &json!([]) || v == &json!({});
    match value {
        Json::Object(map) => {
            map.into_iter().map(|(k, v)| (k, without_empty(v))).filter(|(_, v)| !empty(v)).collect()
        }
        Json::Array(items) => items.into_iter().map(without_empty).collect(),
        other => other,
    }
}

fn pods() -> FieldManager<'static> {
    FieldManager::new(&Gvk::of("v1", "Pod"), "")
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(a in any_pod(), b in any_pod()) {
        let fm = pods();
        // What reading an object of its kind makes of it.
        let read = |mut object: Json| {
            object["spec"] = without_empty(object["spec"].take());
            stored(fm.structured(object))
        };
        let first = read(fm.apply(None, &a, "one", false, at(0)).unwrap());
        let second = read(fm.apply(Some(&first), &b, "one", false, at(1)).unwrap());
        let third = fm.apply(Some(&second), &b, "one", false, at(2)).unwrap();
        prop_assert!(typed::same(&second["spec"], &third["spec"]));
        prop_assert_eq!(&second["metadata"]["managedFields"], &third["metadata"]["managedFields"]);
    }

    #[test]
    fn what_is_equal_says_nothing_of_what_differs(a in any_pod(), b in any_pod()) {
        let fm = pods();
        let whole = typed::compare(&fm.structured(a.clone()), &fm.structured(b.clone()), fm.kind);
        let (a, b) = typed::differing(&a, &b);
        prop_assert_eq!(typed::compare(&fm.structured(a), &fm.structured(b), fm.kind), whole);
    }

    #[test]
    fn the_applied_values_are_in_the_result(a in any_pod(), b in any_pod(), c in any_pod()) {
        let fm = pods();
        let first = stored(fm.apply(None, &a, "one", false, at(0)).unwrap());
        let second = stored(fm.apply(Some(&first), &b, "two", true, at(1)).unwrap());
        let third = fm.apply(Some(&second), &c, "one", true, at(2)).unwrap();
        let kind = TypeRef::of_kind(&Gvk::of("v1", "Pod"));
        prop_assert!(typed::validate(&third, kind, Duplicates::Refused).is_ok());
        let applied = typed::field_set(&c, kind);
        let missing = applied.difference(&typed::field_set(&third, kind));
        prop_assert!(missing.is_empty(), "{:?}", missing.paths());
        let wrong = typed::compare(&c, &third, kind);
        prop_assert!(wrong.modified.is_empty(), "{:?}", wrong.modified.paths());
    }

    #[test]
    fn only_own_fields_are_pruned(a in any_pod(), b in any_pod(), c in any_pod()) {
        let fm = pods();
        let kind = TypeRef::of_kind(&Gvk::of("v1", "Pod"));
        let first = stored(fm.apply(None, &a, "one", false, at(0)).unwrap());
        let second = stored(fm.apply(Some(&first), &b, "two", true, at(1)).unwrap());
        let Ok(third) = fm.apply(Some(&second), &c, "one", false, at(2)) else { return Ok(()) };
        // "two" did not give up anything, and nothing of it was taken.
        let missing = typed::field_set(&b, kind).difference(&typed::field_set(&third, kind));
        prop_assert!(missing.is_empty(), "{:?}", missing.paths());
    }

    #[test]
    fn entries_survive_a_round_trip(a in any_pod(), b in any_pod()) {
        let fm = pods();
        let first = stored(fm.apply(None, &a, "one", false, at(0)).unwrap());
        let second = fm.apply(Some(&first), &b, "two", true, at(1)).unwrap();
        let read = entries::Managed::of(&second).unwrap();
        prop_assert_eq!(Json::Array(read.print()), second["metadata"]["managedFields"].clone());
    }

    #[test]
    fn no_tree_makes_it_panic(live in any_json(), patch in any_json(), new in any_json(), force: bool) {
        for fm in [pods(), FieldManager::new(&Gvk::of("example.com/v1", "Thing"), ""), FieldManager::new(&Gvk::of("apps/v1", "Deployment"), "status")] {
            let mut patch = patch.clone();
            if let Some(map) = patch.as_object_mut() {
                map.insert("apiVersion".into(), fm.api_version().into());
                map.insert("kind".into(), fm.gvk.kind.as_str().into());
            }
            let _ = fm.apply(Some(&live), &patch, "kubectl", force, at(0));
            let _ = fm.apply(None, &patch, "m", force, at(0));
            let updated = fm.update(Some(&live), new.clone(), "m", at(0));
            let mut kept = fm.update(None, new.clone(), "m", at(0));
            keep_times_of_unchanged(&mut kept, &updated);
        }
    }
}
