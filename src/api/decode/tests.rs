use super::*;
use proptest::prelude::*;
use serde_json::json;

fn read(api_version: &str, kind: &str, text: &str) -> Result<Decoded, String> {
    decode_value(&Gvk::of(api_version, kind), json::read(text.as_bytes()).unwrap())
}

#[track_caller]
fn refused(api_version: &str, kind: &str, text: &str, expected: &str) {
    assert_eq!(read(api_version, kind, text).unwrap_err(), expected);
}

#[test]
fn type_errors_name_the_struct_and_the_path_of_fields() {
    refused("v1", "Pod", r#"{"spec": {"containers": [{"env": [{"value": 1}]}]}}"#,
        "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string");
    refused("v1", "Pod", r#"{"spec": {"containers": {}}}"#,
        "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container");
    refused("v1", "Pod", r#"{"spec": {"restartPolicy": 1}}"#,
        "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy");
    refused("v1", "ConfigMap", r#"{"data": {"a": 1.0}, "metadata": {"labels": {"a": true}}}"#,
        "json: cannot unmarshal number into Go struct field ConfigMap.data of type string");
    refused("apps/v1", "Deployment", r#"{"spec": {"replicas": 1.0}}"#,
        "json: cannot unmarshal number 1.0 into Go struct field DeploymentSpec.spec.replicas of type int32");
    refused("v1", "Service", r#"{"spec": {"ports": [{"targetPort": true}]}}"#,
        "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32");
}

#[test]
fn an_error_of_a_custom_reader_counts_before_type_errors() {
    let text = r#"{"metadata": {"name": 5, "creationTimestamp": "x"}}"#;
    assert!(read("v1", "ConfigMap", text).unwrap_err().starts_with("parsing time \"x\""));
}

#[test]
fn unknown_and_doubled_fields_are_noted_in_order() {
    let text = r#"{"metadata": {"name": "x", "lables": {}, "name": "y"}, "data": {"a": "1", "a": "2"}, "daat": 1, "Data": 2}"#;
    let decoded = read("v1", "ConfigMap", text).unwrap();
    assert_eq!(
        decoded.strict,
        [
            "unknown field \"metadata.lables\"",
            "duplicate field \"metadata.name\"",
            "duplicate field \"data.a\"",
            "unknown field \"daat\"",
            "unknown field \"Data\"",
        ]
    );
    assert_eq!(decoded.tree, json!({"metadata": {"name": "y"}, "data": {"a": "2"}}));
}

#[test]
fn empty_values_are_written_as_go_writes_them() {
    let text = r#"{"metadata": null, "spec": {"containers": [{"name": "c", "args": [], "tty": false, "image": "",
        "env": [{"name": "a", "value": ""}, null], "resources": {"limits": {"cpu": null, "memory": 1024}}}],
        "activeDeadlineSeconds": 0, "hostUsers": false, "hostPID": false, "nodeSelector": {"a": null},
        "volumes": [{"name": "v", "emptyDir": {}}]}}"#;
    let decoded = read("v1", "Pod", text).unwrap();
    assert_eq!(
        decoded.tree,
        json!({"metadata": {}, "spec": {"activeDeadlineSeconds": 0, "hostUsers": false, "nodeSelector": {"a": ""},
            "containers": [{"name": "c", "env": [{"name": "a"}, {"name": ""}],
                "resources": {"limits": {"cpu": "0", "memory": "1024"}}}],
            "volumes": [{"name": "v", "emptyDir": {}}]}, "status": {}})
    );
    let event = read("v1", "Event", "{}").unwrap().tree;
    assert_eq!(event["firstTimestamp"], Json::Null);
    assert!(event.as_object().unwrap().contains_key("firstTimestamp"));
    assert_eq!(event["reportingComponent"], "");
}

#[test]
fn bytes_are_base64() {
    let decoded = read("v1", "Secret", r#"{"data": {"a": "YQ==", "b": null}}"#).unwrap();
    assert_eq!(decoded.tree["data"], json!({"a": "YQ==", "b": null}));
    refused("v1", "Secret", r#"{"data": {"a": "a$=="}}"#, "illegal base64 data at input byte 1");
    for (text, at) in [("1", 0), ("QUJD1", 4), ("QQ=", 3), ("Q===", 1), ("QQ=Q", 2), ("QQ==Q", 4), ("=", 0), ("QUI=x", 4)] {
        let text = format!(r#"{{"data": {{"a": "{text}"}}}}"#);
        refused("v1", "Secret", &text, &format!("illegal base64 data at input byte {at}"));
    }
}

fn any_tree() -> impl Strategy<Value = Json> {
    let names = prop_oneof![
        Just("metadata"), Just("name"), Just("spec"), Just("containers"), Just("resources"), Just("limits"), Just("cpu"),
        Just("ports"), Just("volumes"), Just("labels"), Just("creationTimestamp"), Just("status"), Just("emptyDir"),
        Just("livenessProbe"), Just("httpGet"), Just("port"), Just("other"),
    ]
    .prop_map(str::to_owned);
    let leaf = prop_oneof![
        Just(Json::Null), any::<bool>().prop_map(Json::from), any::<i64>().prop_map(Json::from),
        "[a-z0-9]{0,4}".prop_map(Json::from), Just(json!("100m")), Just(json!("2026-01-01T00:00:00Z")),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Json::Array),
            proptest::collection::btree_map(names.clone(), inner, 0..6)
                .prop_map(|m| Json::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_tree_is_read_or_refused_and_reading_again_changes_nothing(tree in any_tree()) {
        let gvk = Gvk::of("v1", "Pod");
        if let Ok(once) = decode(&gvk, tree) {
            let twice = decode(&gvk, once.tree.clone()).unwrap();
            prop_assert_eq!(&twice.tree, &once.tree);
            prop_assert!(twice.strict.is_empty());
        }
    }
}

#[test]
fn a_manifest_is_told_all_that_does_not_fit() {
    let tree = json!({"spec": {"nosuch": 1, "hostNetwork": "yes", "containers": [
        {"name": 7, "args": "x", "resources": {"limits": {"cpu": "lots"}}, "ports": [{"containerPort": "80"}]}]}});
    let (decoded, faults) = check(&Gvk::of("v1", "Pod"), tree);
    assert_eq!(decoded.strict, ["unknown field \"spec.nosuch\""]);
    let mut told: Vec<String> = faults.iter().map(|f| format!("{}: {} ({})", f.path, f.text, f.help)).collect();
    told.sort();
    assert_eq!(
        told,
        [
            "spec.containers[0].args: expected a list, found a string (begin each item with `- `)",
            "spec.containers[0].name: expected a string, found a number (put it in quotes)",
            "spec.containers[0].ports[0].containerPort: expected a whole number, found a string (write it without quotes)",
            "spec.containers[0].resources.limits.cpu: quantities must match the regular expression \
             '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$' ()",
            "spec.hostNetwork: expected true or false, found a string (write it without quotes)",
        ]
    );
}
