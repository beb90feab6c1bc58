use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::Gvk;
use crate::apply::fields::{FieldSet, print};
use crate::apply::managed::tests::any_pod;

fn pod() -> TypeRef<'static> {
    TypeRef::of_kind(&Gvk::of("v1", "Pod"))
}

fn refused(value: Json, why: &str) {
    assert_eq!(validate(&value, pod(), Duplicates::Refused).unwrap_err().to_string(), why);
}

#[test]
fn what_does_not_fit_is_named_by_path() {
    refused(json!({"foo": 1}), ".foo: field not declared in schema");
    refused(json!({"spec": []}), ".spec: expected map, got &{[]}");
    refused(json!({"spec": {"hostPID": "x"}}), ".spec.hostPID: expected boolean, got &{x}");
    refused(
        json!({"metadata": {"labels": {"a": {"b": 1}}}}),
        ".metadata.labels.a: expected string, got &value.valueUnstructured{Value:map[string]interface {}{\"b\":1}}",
    );
    refused(
        json!({"metadata": {"finalizers": ["a", "a"]}, "spec": {"hostPID": 1}}),
        "errors:\n  .metadata.finalizers: duplicate entries for key [=\"a\"]\n  .spec.hostPID: expected boolean, got &{1}",
    );
    assert!(validate(&json!({"spec": null, "metadata": {"labels": null}}), pod(), Duplicates::Refused).is_ok());
}

#[test]
fn merged_lists_follow_the_applied_order() {
    let list = |names: &[&str]| json!({"spec": {"containers": names.iter().map(|n| json!({"name": n})).collect::<Vec<_>>()}});
    let check = |live: &[&str], applied: &[&str], want: &[&str]| {
        assert_eq!(merge(&list(live), &list(applied), pod()), list(want));
    };
    check(&["a", "b", "c"], &["b"], &["a", "b", "c"]);
    check(&["a", "b", "c"], &["c", "a"], &["b", "c", "a"]);
    check(&["a", "b"], &["x", "b"], &["a", "x", "b"]);
    check(&[], &["x", "y"], &["x", "y"]);
}

#[test]
fn maps_and_lists_are_owned_by_their_types() {
    let value = json!({"metadata": {"labels": {"a": "1"}}, "spec": {
        "nodeSelector": {"a": "b"}, "tolerations": [{"key": "k"}],
        "containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}});
    assert_eq!(
        print(&field_set(&value, pod())),
        json!({"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:nodeSelector": {}, "f:tolerations": {},
            "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}})
    );
}

#[test]
fn what_became_whole_in_the_schema_is_owned_whole() {
    let old = FieldSet::of_fields(&["spec.nodeSelector.a", "spec.hostname"]);
    assert_eq!(reconcile(&old, pod()), FieldSet::of_fields(&["spec.nodeSelector", "spec.hostname"]));
}

proptest! {
    #[test]
    fn a_merge_holds_both_sides(a in any_pod(), b in any_pod()) {
        let merged = merge(&a, &b, pod());
        prop_assert!(validate(&merged, pod(), Duplicates::Refused).is_ok());
        let both = field_set(&a, pod()).union(&field_set(&b, pod()));
        prop_assert_eq!(field_set(&merged, pod()), both);
        prop_assert!(compare(&b, &merged, pod()).modified.is_empty());
    }

    #[test]
    fn equal_trees_compare_equal_and_others_do_not(a in any_pod(), b in any_pod()) {
        prop_assert!(compare(&a, &a, pod()).is_same());
        let there = compare(&a, &b, pod());
        let back = compare(&b, &a, pod());
        prop_assert_eq!(there.added, back.removed);
        prop_assert_eq!(there.modified, back.modified);
    }

    #[test]
    fn removing_everything_that_is_set_leaves_nothing(a in any_pod()) {
        let set = with_named_fields(&field_set(&a, pod()), Some(pod()));
        prop_assert!(remove_items(&a, &set, pod()).is_null());
        prop_assert!(same(&remove_items(&a, &FieldSet::new(), pod()), &a) || a["spec"]["nodeSelector"].is_object());
    }

    #[test]
    fn sets_obey_the_laws_of_sets(a in any_pod(), b in any_pod()) {
        let (a, b) = (field_set(&a, pod()), field_set(&b, pod()));
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
        prop_assert!(a.difference(&a).is_empty());
        prop_assert_eq!(a.union(&b).len(), a.len() + b.len() - a.intersection(&b).len());
        prop_assert_eq!(crate::apply::fields::parse(&print(&a)).unwrap(), a);
    }
}
