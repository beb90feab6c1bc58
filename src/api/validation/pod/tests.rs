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
fn restart_rules_restart_the_container_or_all() {
    let rule = |action: &str, operator: &str| json!({"action": action, "exitCodes": {"operator": operator, "values": []}});
    let rules = json!([rule("RestartAllContainers", "In"), rule("", "")]);
    refused(
        json!({"containers": [{"name": "c", "image": "a", "restartPolicy": "Never", "restartPolicyRules": rules}]}),
        &[
            "spec.containers[0].restartPolicyRules[1].action: Unsupported value: \"\": supported values: \"Restart\", \
             \"RestartAllContainers\"",
            "spec.containers[0].restartPolicyRules[1].exitCodes.operator: Unsupported value: \"\": supported values: \
             \"In\", \"NotIn\"",
        ],
    );
}

#[test]
fn a_plain_init_container_is_not_restarted_by_a_resize() {
    let policy = json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
    let init = |restart: Json| {
        json!({"initContainers": [{"name": "i", "image": "a", "resizePolicy": policy, "restartPolicy": restart}],
            "containers": [{"name": "c", "image": "a"}]})
    };
    refused(init(json!("Always")), &[]);
    refused(
        init(Json::Null),
        &["spec.initContainers[0].resizePolicy[0].restartPolicy: Invalid value: \"RestartContainer\": must not be set to \
           'RestartContainer' for non-sidecar initContainers"],
    );
}

#[test]
fn an_overridden_host_name_has_64_bytes_and_its_pod_a_network() {
    let name = format!("{}_", "a".repeat(64));
    let spec = json!({"containers": [{"name": "c", "image": "a"}], "hostnameOverride": name, "hostNetwork": true,
        "setHostnameAsFQDN": true});
    let errors = shown(&create(&pod(spec)));
    assert_eq!(
        errors[..3],
        [
            "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true",
            "spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true",
            "spec.hostnameOverride: Too long: may not be more than 64 bytes",
        ]
    );
    assert!(errors[3].starts_with("spec.hostnameOverride: Invalid value: \"aaa"), "{errors:?}");
}

#[test]
fn block_devices_belong_to_the_users_of_the_host() {
    let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "d"}}]);
    let device = json!([{"name": "v", "devicePath": "/dev/d"}]);
    let spec = json!({"hostUsers": false, "volumes": volumes, "containers": [{"name": "c", "image": "a", "volumeDevices": device}]});
    refused(spec, &["spec.containers[0].volumeDevices: Forbidden: when `hostUsers` is false"]);
}

#[test]
fn resources_of_a_pod_hold_those_of_its_containers() {
    let container = json!([{"name": "c", "image": "a", "resources": {"requests": {"cpu": "2", "ephemeral-storage": "1Gi"}}}]);
    refused(
        json!({"containers": container, "resources": {"requests": {"cpu": "1"}, "claims": [{"name": "x"}]}}),
        &[
            "spec.resources.claims: Forbidden: claims may not be set for Resources at pod-level",
            "spec.resources.claims[0]: Not found: \"x\": must be one of the names in pod.spec.resourceClaims which is empty",
            "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container \
             requests of 2",
        ],
    );
    refused(
        json!({"containers": container, "resources": {"requests": {"cpu": "1"}}, "os": {"name": "windows"}}),
        &["spec.resources: Forbidden: may not be set for a windows pod"],
    );
}

#[test]
fn generations_that_were_observed_are_not_negative() {
    let old = pod(json!({"containers": [{"name": "c", "image": "a"}]}));
    let mut new = old.clone();
    new.json_mut()["status"] = json!({"observedGeneration": -1, "conditions": [{"type": "Ready", "observedGeneration": -2}]});
    assert_eq!(
        shown(&update_status(&new, &old)),
        [
            "status.conditions[0].observedGeneration: Invalid value: -2: must be a non-negative integer",
            "status.observedGeneration: Invalid value: -1: must be a non-negative integer",
        ]
    );
}

#[test]
fn an_ended_container_that_the_pod_does_not_have_stays_ended() {
    let status = |state: Json| json!({"containerStatuses": [{"name": "gone", "state": state}]});
    let mut old = pod(json!({"containers": [{"name": "c", "image": "a"}]}));
    let mut new = old.clone();
    old.json_mut()["status"] = status(json!({"terminated": {"exitCode": 1}}));
    new.json_mut()["status"] = status(json!({"running": {}}));
    assert_eq!(
        shown(&update_status(&new, &old)),
        ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"]
    );
}

#[test]
fn labels_of_nodes_that_are_no_more_are_warned_of() {
    let preferred = json!([{"preference": {"matchExpressions": [{"key": "a", "values": ["-"]}]}}]);
    let affinity = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}});
    let spec = json!({"nodeSelector": {"node-role.kubernetes.io/master": ""}, "affinity": affinity});
    let warnings = warnings::of_pod(&pod(spec), None);
    let master = "spec.nodeSelector[node-role.kubernetes.io/master]: use \"node-role.kubernetes.io/control-plane\" instead";
    let at = "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference";
    assert_eq!(warnings[0], master);
    let value = format!("{at}.matchExpressions[0].values[0]: - is invalid, a valid label must be");
    assert!(warnings.len() == 2 && warnings[1].starts_with(&value), "{warnings:?}");
}

#[test]
fn names_of_ports_that_two_containers_have_are_warned_of() {
    let ports = |list: Json| json!({"name": "c", "image": "a", "ports": list});
    let one = ports(json!([{"name": "web", "containerPort": 80, "hostPort": 80}]));
    let mut two = ports(json!([{"name": "web", "containerPort": 80, "hostPort": 80, "hostIP": "127.0.0.1"}]));
    two["name"] = "d".into();
    assert_eq!(
        warnings::of_pod(&pod(json!({"containers": [one, two]})), None),
        [
            "spec.containers[1].ports[0]: dangerously ambiguous port definition with spec.containers[0].ports[0]",
            "spec.containers[1].ports[0]: duplicate port name \"web\" with spec.containers[0].ports[0], services and probes \
             that select ports by name will use spec.containers[0].ports[0]",
        ]
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

#[test]
fn a_resize_leaves_all_but_cpu_and_memory() {
    let with = |init: Json, containers: Json| pod(json!({"initContainers": init, "containers": containers}));
    let cpu = |name: &str, cpu: &str| json!({"name": name, "image": "a:1", "resources": {"requests": {"cpu": cpu}}});
    let old = with(json!([cpu("i", "1")]), json!([cpu("c", "1")]));
    let resized = |init: Json, containers: Json| shown(&resize(&with(init, containers), &old));
    assert_eq!(resized(json!([cpu("i", "2")]), json!([cpu("c", "2")])), Vec::<String>::new());
    assert_eq!(
        resized(json!([]), json!([cpu("d", "1")])),
        [
            "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize",
            "spec.initContainers: Forbidden: initContainers may not be added or removed on resize",
        ]
    );
    let mut other = cpu("i", "1");
    other["resources"]["requests"]["ephemeral-storage"] = "1Gi".into();
    assert_eq!(
        resized(json!([other]), json!([cpu("c", "1")])),
        ["spec.initContainers[0]: Forbidden: only cpu and memory resources for init or sidecar containers are mutable"]
    );
}

#[test]
fn resources_of_a_pod_are_resized_like_those_of_containers() {
    let with = |resources: Json| pod(json!({"containers": [{"name": "c", "image": "a:1"}], "resources": resources}));
    let old = with(json!({"requests": {"cpu": "1"}}));
    assert_eq!(shown(&resize(&with(json!({"requests": {"cpu": "2"}})), &old)), Vec::<String>::new());
    let gone = shown(&resize(&with(json!({"requests": {"memory": "1Gi"}})), &old));
    assert_eq!(gone, ["spec.resources.requests: Forbidden: pod-level resource requests cannot be removed"]);
    let all = shown(&resize(&with(Json::Null), &old));
    assert!(all.contains(&"spec.resources: Forbidden: pod-level resources cannot be removed".to_owned()), "{all:?}");
}

#[test]
fn keys_of_spread_constraints_are_not_in_their_selector_twice() {
    let spread = |selector: Json| {
        json!({"containers": [{"name": "c", "image": "a"}], "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "t", "whenUnsatisfiable": "DoNotSchedule", "matchLabelKeys": ["x", "app"],
            "labelSelector": selector,
        }]})
    };
    let expressed = json!([{"key": "app", "operator": "Exists"}]);
    refused(spread(json!({"matchLabels": {"app": "a"}})), &[]);
    refused(spread(json!({"matchExpressions": expressed})), &[]);
    refused(
        spread(json!({"matchLabels": {"app": "a"}, "matchExpressions": expressed})),
        &["spec.topologySpreadConstraints[0][1]: Invalid value: \"app\": exists in both matchLabelKeys and labelSelector"],
    );
    refused(
        spread(Json::Null),
        &["spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"],
    );
}
