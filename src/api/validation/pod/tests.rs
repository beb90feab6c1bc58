use serde_json::json;

use super::*;
use crate::api::Gvk;

fn pod(spec: Json) -> Object {
    let mut tree = json!({"metadata": {"name": "p", "namespace": "n", "resourceVersion": "1"}, "spec": spec});
    let gvk = Gvk::of("v1", "Pod");
    tree = crate::api::decode::decode(&gvk, tree).unwrap().tree;
    crate::api::defaults::fill(&gvk, &mut tree);
    Object::new(tree)
}

fn shown(errors: &Errors) -> Vec<String> {
    errors.iter().map(|c| format!("{}: {}", c.field, c.message)).collect()
}

#[track_caller]
fn refused(spec: Json, expected: &[&str]) {
    assert_eq!(shown(&create(&pod(spec))), expected);
}

#[test]
fn a_plain_pod_may_be_created() {
    refused(json!({"containers": [{"name": "c", "image": "a"}]}), &[]);
}

#[test]
fn variables_of_files_come_from_empty_directories() {
    let from = |volume: &str| json!({"fileKeyRef": {"volumeName": volume, "path": "f", "key": "K"}});
    let env = json!([{"name": "A", "valueFrom": from("e")}, {"name": "B", "valueFrom": from("c")}, {"name": "C", "valueFrom": from("x")}]);
    let volumes = json!([{"name": "e", "emptyDir": {}}, {"name": "c", "configMap": {"name": "m"}}]);
    refused(
        json!({"containers": [{"name": "c", "image": "a", "env": env}], "volumes": volumes}),
        &[
            "spec.containers[0].env[1].valueFrom.fileKeyRef.volumeName: Invalid value: \"c\": referenced volume must be \
             of type emptyDir",
            "spec.containers[0].env[2].valueFrom.fileKeyRef.volumeName: Not found: \"x\"",
        ],
    );
}

#[test]
fn restart_rules_need_a_policy_and_codes() {
    let rules = json!([{"action": "Restart"}]);
    refused(
        json!({"containers": [{"name": "c", "image": "a", "restartPolicyRules": rules}]}),
        &["spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used"],
    );
    refused(
        json!({"containers": [{"name": "c", "image": "a", "restartPolicy": "Never", "restartPolicyRules": rules}]}),
        &["spec.containers[0].restartPolicyRules[0].exitCodes: Required value: must be specified"],
    );
}

#[test]
fn only_images_deadlines_tolerations_and_gates_may_change() {
    let old = pod(json!({"containers": [{"name": "c", "image": "a:1"}]}));
    let new = pod(json!({"containers": [{"name": "c", "image": "a:2"}], "activeDeadlineSeconds": 5,
        "tolerations": [{"operator": "Exists"}]}));
    assert_eq!(shown(&update(&new, &old)), Vec::<String>::new());
    let new = pod(json!({"containers": [{"name": "c", "image": "a:1"}], "hostname": "h"}));
    let errors = shown(&update(&new, &old));
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"));
}

#[test]
fn equal_amounts_are_no_change() {
    let with = |cpu: &str| pod(json!({"containers": [{"name": "c", "image": "a:1", "resources": {"requests": {"cpu": cpu}}}]}));
    assert_eq!(shown(&update(&with("1000m"), &with("1"))), Vec::<String>::new());
}

#[test]
fn a_resize_keeps_the_class_and_removes_nothing() {
    let with = |requests: Json| pod(json!({"containers": [{"name": "c", "image": "a:1", "resources": {"requests": requests}}]}));
    let old = with(json!({"cpu": "1"}));
    assert_eq!(shown(&resize(&with(json!({"cpu": "2"})), &old)), Vec::<String>::new());
    assert_eq!(
        shown(&resize(&with(json!({})), &old)),
        [
            "spec: Invalid value: \"\": Pod QOS Class may not change as a result of resizing",
            "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
        ]
    );
}
