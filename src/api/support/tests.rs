use serde_json::json;

use super::*;
use crate::api::Gvk;
use crate::api::schema::Schema;

#[test]
fn every_field_of_the_schema_has_an_entry() {
    let mut missing = Vec::new();
    for (name, kind) in &Schema::get().types {
        for field in kind.fields.iter().flat_map(|f| f.keys()) {
            if Table::get().field(name, field).is_none() {
                missing.push(format!("{name}.{field}"));
            }
        }
    }
    missing.sort();
    assert!(missing.is_empty(), "{} fields without an entry:\n{}", missing.len(), missing.join("\n"));
}

#[test]
fn every_line_of_the_table_is_about_something() {
    assert_eq!(Table::get().idle(), Vec::<String>::new());
}

#[test]
fn what_does_not_run_says_why() {
    for entry in Table::get().sections() {
        assert_eq!(entry.verdict == Verdict::Runs, entry.reason.is_empty(), "{entry:?}");
    }
}

#[test]
fn the_tests_that_the_table_names_exist() {
    fn sources(dir: &std::path::Path, text: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|e| e == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    sources(&root.join("src"), &mut text);
    sources(&root.join("tests"), &mut text);
    for test in Table::get().sections().iter().filter_map(|e| e.test.as_ref()) {
        assert!(text.contains(&format!("fn {test}(")), "there is no test {test}");
    }
}

fn pod(spec: serde_json::Value) -> Vec<String> {
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec});
    let found = findings(&Gvk::of("v1", "Pod"), &object);
    found.into_iter().map(|f| format!("{} {:?}", f.path, f.entry.verdict)).collect()
}

#[test]
fn findings_name_the_place() {
    let found = pod(json!({
        "schedulerName": "mine", "runtimeClassName": "kata", "preemptionPolicy": "PreemptLowerPriority",
        "containers": [{"name": "c", "ports": [{"containerPort": 1, "protocol": "SCTP"}, {"containerPort": 2, "protocol": "TCP"}],
            "volumeDevices": [], "securityContext": {"windowsOptions": {"hostProcess": true}}}],
        "volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "nfs": {"server": "s", "path": "/"}}, {"name": "c", "csi": {}}],
    }));
    let want = [
        "spec.containers[0].ports[0].protocol Refused",
        "spec.containers[0].securityContext.windowsOptions Refused",
        "spec.runtimeClassName Refused",
        "spec.schedulerName Ignored",
        "spec.volumes[1].nfs Refused",
        "spec.volumes[2].csi Refused",
    ];
    assert_eq!(found, want);
}

#[test]
fn what_defaulting_writes_is_nothing_to_talk_about() {
    let found = pod(json!({
        "schedulerName": "default-scheduler", "dnsPolicy": "ClusterFirst", "restartPolicy": "Always",
        "securityContext": {}, "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority", "priority": 0,
        "terminationGracePeriodSeconds": 30, "serviceAccountName": "default",
        "containers": [{"name": "c", "image": "i", "imagePullPolicy": "Always", "resources": {},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
    }));
    assert_eq!(found, Vec::<String>::new());
}
