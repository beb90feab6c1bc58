use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::Gvk;
use crate::apply::managed::tests::{any_json, any_pod};
use crate::apply::typed::same;

fn pod() -> Gvk {
    Gvk::of("v1", "Pod")
}

fn check(object: Json, patch: Json, want: Json) {
    assert_eq!(strategic_merge_patch(&pod(), &object, &patch), Ok(want));
}

fn refused(object: Json, patch: Json, why: &str) {
    assert_eq!(strategic_merge_patch(&pod(), &object, &patch).unwrap_err().to_string(), why);
}

fn containers(list: Json) -> Json {
    json!({"spec": {"containers": list}})
}

#[test]
fn new_entries_come_first_and_known_ones_stay_in_place() {
    check(
        containers(json!([{"name": "a"}, {"name": "b"}])),
        containers(json!([{"name": "c"}, {"name": "b", "image": "i"}])),
        containers(json!([{"name": "c"}, {"name": "a"}, {"name": "b", "image": "i"}])),
    );
    check(
        containers(json!([{"name": "a"}, {"name": "b"}])),
        json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}],
            "containers": [{"name": "c"}]}}),
        containers(json!([{"name": "b"}, {"name": "c"}, {"name": "a"}])),
    );
}

#[test]
fn directives_replace_delete_and_retain() {
    let two = || containers(json!([{"name": "a"}, {"name": "b"}]));
    check(two(), containers(json!([{"$patch": "delete", "name": "a"}])), containers(json!([{"name": "b"}])));
    check(two(), containers(json!([{"$patch": "replace"}, {"name": "c"}])), containers(json!([{"name": "c"}])));
    check(
        json!({"spec": {"securityContext": {"a": 1}}}),
        json!({"spec": {"securityContext": {"$patch": "replace", "b": 1}}}),
        json!({"spec": {"securityContext": {"b": 1}}}),
    );
    check(
        json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
        json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}}),
        json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}}),
    );
    check(
        json!({"metadata": {"finalizers": ["a", "b"]}}),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}),
        json!({"metadata": {"finalizers": ["c", "b"]}}),
    );
}

#[test]
fn what_makes_no_sense_is_refused_in_kubernetes_words() {
    let one = || containers(json!([{"name": "a"}]));
    refused(one(), containers(json!([{"image": "x"}])), "map: map[image:x] does not contain declared merge key: name");
    refused(
        one(),
        containers(json!([{"name": "a", "$patch": "frob"}])),
        "unknown patch type: frob in map: map[$patch:frob name:a]",
    );
    refused(one(), json!({"spec": {"$patch": 5}}), "unknown patch type: %!s(int64=5) in map: map[$patch:5]");
    refused(one(), json!({"spec": {"$retainKeys": 5}}), "invalid patch format of retainKeys");
    refused(one(), json!({"spec": {"$setElementOrder": []}}), "invalid patch format of setElementOrder list");
    refused(
        one(),
        json!({"spec": {"foo": {"a": {}}, "containers": [7]}}),
        "list element types are not identical: [[map[name:a]] [7]]",
    );
    let status = Status::from(strategic_merge_patch(&pod(), &one(), &json!({"spec": {"$retainKeys": 5}})).unwrap_err());
    assert_eq!(status.code, 400);
}

#[test]
fn client_side_apply_deletes_what_it_applied_before() {
    let last = json!({"spec": {"containers": [{"name": "a", "env": [{"name": "A"}, {"name": "B"}]}]}, "metadata": {"labels": {"l": "1"}}});
    let new = json!({"spec": {"containers": [{"name": "a", "env": [{"name": "B"}]}]}, "metadata": {}});
    let live = json!({"spec": {"containers": [{"name": "a", "env": [{"name": "A"}, {"name": "B"}, {"name": "theirs"}]}]},
        "metadata": {"labels": {"l": "1", "theirs": "2"}}});
    let patch = three_way_strategic_patch(&pod(), &last, &new, &live).unwrap();
    assert_eq!(
        patch,
        json!({"metadata": {"labels": null}, "spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [
            {"name": "a", "$setElementOrder/env": [{"name": "B"}], "env": [{"name": "A", "$patch": "delete"}]}]}})
    );
}

#[test]
fn the_converter_names_what_does_not_fit() {
    let deployment = Gvk::of("apps/v1", "Deployment");
    let check = |tree: Json, why: &str| assert_eq!(restore(&deployment, &tree), Err(why.to_owned()));
    check(json!({"spec": {"strategy": []}}), "cannot restore struct from: slice");
    check(json!({"spec": {"replicas": "3"}}), "unrecognized type: int32");
    check(json!({"spec": {"template": {"spec": {"containers": {}}}}}), "cannot restore slice from map");
    check(json!({"metadata": {"labels": {"a": 1}}}), "cannot convert int64 to string");
    check(json!({"metadata": {"labels": "x"}}), "cannot restore map from string");
    assert_eq!(restore(&deployment, &json!({"spec": {"replicas": 3, "selector": null}})), Ok(()));
}

proptest! {
    #[test]
    fn a_made_patch_makes_the_target(old in any_pod(), new in any_pod()) {
        let patch = two_way_strategic_patch(&pod(), &old, &new).unwrap();
        let made = strategic_merge_patch(&pod(), &old, &patch).unwrap();
        prop_assert!(same(&made, &new), "{patch}\nmakes\n{made}\nof\n{old}\nnot\n{new}");
    }

    #[test]
    fn a_made_patch_of_equals_is_empty(old in any_pod()) {
        prop_assert_eq!(two_way_strategic_patch(&pod(), &old, &old), Ok(json!({})));
        prop_assert_eq!(three_way_strategic_patch(&pod(), &old, &old, &old), Ok(json!({})));
    }

    #[test]
    fn client_side_apply_reaches_the_target_where_nobody_else_writes(last in any_pod(), new in any_pod()) {
        let patch = three_way_strategic_patch(&pod(), &last, &new, &last).unwrap();
        let made = strategic_merge_patch(&pod(), &last, &patch).unwrap();
        prop_assert!(same(&made, &new), "{patch}\nmakes\n{made}\nof\n{last}\nnot\n{new}");
    }

    #[test]
    fn no_tree_makes_it_panic(a in any_json(), b in any_json(), c in any_json()) {
        let _ = strategic_merge_patch(&pod(), &a, &b);
        let _ = two_way_strategic_patch(&pod(), &a, &b);
        let _ = three_way_strategic_patch(&pod(), &a, &b, &c);
        let _ = restore(&pod(), &a);
        let _ = crate::apply::json_patch(&a, &b);
        let merged = crate::apply::merge_patch(&a, &crate::apply::create_merge_patch(&a, &b));
        let _ = crate::apply::three_way_merge_patch(&a, &b, &merged);
    }
}
