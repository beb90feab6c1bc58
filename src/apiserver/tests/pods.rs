//! What is special about writes to Pods.

use serde_json::json;

use super::{Api, pod};

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn a_binding_brings_labels_and_may_name_a_version() {
    let api = Api::new().await;
    let mut free = pod("x");
    free["spec"].as_object_mut().unwrap().remove("nodeName");
    let version = api.post(PODS, free).await.body["metadata"]["resourceVersion"].clone();
    let binding = |version: &str| {
        json!({"apiVersion": "v1", "kind": "Binding", "target": {"kind": "Node", "name": "n"}, "metadata": {"name": "x",
            "resourceVersion": version, "labels": {"app": "b", "zone": "z"}, "annotations": {"k": "v"}}})
    };
    let refused = api.post(&format!("{PODS}/x/binding"), binding("1")).await;
    assert_eq!(refused.code, 409);
    let version = version.as_str().unwrap();
    let why = format!("Precondition failed: ResourceVersion in precondition: 1, ResourceVersion in object meta: {version}");
    assert!(refused.message().ends_with(&why), "{}", refused.message());
    assert_eq!(api.post(&format!("{PODS}/x/binding"), binding(version)).await.code, 201);
    let bound = api.get(&format!("{PODS}/x")).await.body;
    assert_eq!(bound["spec"]["nodeName"], "n");
    assert_eq!(bound["metadata"]["labels"], json!({"app": "b", "zone": "z"}));
    assert_eq!(bound["metadata"]["annotations"], json!({"k": "v"}));
}

#[tokio::test]
async fn warnings_are_for_who_makes_a_pod_and_for_odd_addresses_in_its_status() {
    let api = Api::new().await;
    let mut odd = pod("x");
    odd["spec"]["nodeSelector"] = json!({"beta.kubernetes.io/os": "linux"});
    let made = api.post(PODS, odd).await;
    assert_eq!(made.warnings.len(), 1, "{:?}", made.warnings);
    let labelled = api.merge(&format!("{PODS}/x"), json!({"metadata": {"labels": {"l": "m"}}})).await;
    assert_eq!((labelled.code, labelled.warnings.len()), (200, 0));
    let status = json!({"status": {"podIPs": [{"ip": "2001:db8:0:0::2"}]}});
    let told = api.merge(&format!("{PODS}/x/status"), status).await;
    assert_eq!(told.code, 200, "{}", told.text);
    assert_eq!(
        told.warnings,
        ["299 - \"status.podIPs[0].ip: IPv6 address \\\"2001:db8:0:0::2\\\" should be in RFC 5952 canonical format \
          (\\\"2001:db8::2\\\")\""]
    );
}
