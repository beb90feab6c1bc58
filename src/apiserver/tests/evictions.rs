use serde_json::json;

use super::{Api, pod};

const PODS: &str = "/api/v1/namespaces/default/pods";
const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

/// A ready pod under a budget that allows `allowed` disruptions.
async fn ready(allowed: i64, policy: Option<&str>) -> Api {
    let api = Api::new().await;
    assert_eq!(api.post(PODS, pod("x")).await.code, 201);
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    assert_eq!(api.merge(&format!("{PODS}/x/status"), status).await.code, 200);
    let mut budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}});
    if let Some(policy) = policy {
        budget["spec"]["unhealthyPodEvictionPolicy"] = policy.into();
    }
    assert_eq!(api.post(BUDGETS, budget).await.code, 201);
    let status = json!({"status": {"observedGeneration": 1, "currentHealthy": 1 + allowed, "desiredHealthy": 1,
        "expectedPods": 1 + allowed, "disruptionsAllowed": allowed}});
    assert_eq!(api.merge(&format!("{BUDGETS}/b/status"), status).await.code, 200);
    api
}

fn eviction() -> serde_json::Value {
    json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "x"}})
}

#[tokio::test]
async fn an_eviction_takes_one_from_the_budget_and_says_which_pod() {
    let api = ready(1, None).await;
    assert_eq!(api.post(&format!("{PODS}/x/eviction"), eviction()).await.code, 201);
    let status = api.get(&format!("{BUDGETS}/b")).await.body["status"].clone();
    assert_eq!(status["disruptionsAllowed"], 0);
    assert!(status["disruptedPods"]["x"].is_string(), "{status}");
    assert_eq!(status["conditions"][0]["reason"], "InsufficientPods");
    let pod = api.get(&format!("{PODS}/x")).await.body;
    assert!(pod["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(pod["status"]["conditions"][1]["reason"], "EvictionByEvictionAPI");
    // It is on its way already: nobody is asked again.
    assert_eq!(api.post(&format!("{PODS}/x/eviction"), eviction()).await.code, 201);
}

#[tokio::test]
async fn a_dry_eviction_changes_nothing() {
    let api = ready(1, None).await;
    assert_eq!(api.post(&format!("{PODS}/x/eviction?dryRun=All"), eviction()).await.code, 201);
    let mut said = eviction();
    said["deleteOptions"] = json!({"dryRun": ["All"]});
    assert_eq!(api.post(&format!("{PODS}/x/eviction"), said).await.code, 201);
    assert_eq!(api.get(&format!("{BUDGETS}/b")).await.body["status"]["disruptionsAllowed"], 1);
    assert!(api.get(&format!("{PODS}/x")).await.body["metadata"]["deletionTimestamp"].is_null());
}

#[tokio::test]
async fn a_budget_without_room_refuses() {
    let api = ready(0, Some("AlwaysAllow")).await;
    let refused = api.post(&format!("{PODS}/x/eviction"), eviction()).await;
    assert_eq!(refused.code, 429);
    let cause = &refused.body["details"]["causes"][0];
    assert_eq!(cause["reason"], "DisruptionBudget");
    assert_eq!(cause["message"], "The disruption budget b needs 1 healthy pods and has 1 currently");
    // A pod that is not ready may go, as the policy says.
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    assert_eq!(api.merge(&format!("{PODS}/x/status"), status).await.code, 200);
    assert_eq!(api.post(&format!("{PODS}/x/eviction"), eviction()).await.code, 201);
    assert!(api.get(&format!("{BUDGETS}/b")).await.body["status"]["disruptedPods"].is_null());
}

#[tokio::test]
async fn a_namespace_goes_when_its_finalizers_do() {
    let api = Api::new().await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    assert_eq!(api.post("/api/v1/namespaces", namespace).await.body["spec"]["finalizers"], json!(["kubernetes"]));
    let mut marked = api.delete("/api/v1/namespaces/n").await.body;
    assert_eq!(marked["status"]["phase"], "Terminating");
    let refused = api.post("/api/v1/namespaces/n/configmaps", json!({"metadata": {"name": "c"}})).await;
    assert_eq!(refused.body["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let finalizers = json!({"spec": {"finalizers": []}});
    assert_eq!(api.merge("/api/v1/namespaces/n", finalizers).await.body["spec"]["finalizers"], json!(["kubernetes"]));
    marked["metadata"]["resourceVersion"].take();
    marked["spec"]["finalizers"] = json!(["mine"]);
    let refused = api.put("/api/v1/namespaces/n/finalize", marked.clone()).await;
    assert_eq!((refused.code, &refused.body["details"]["causes"][0]["field"]), (422, &json!("spec.finalizers[0]")));
    marked["spec"]["finalizers"] = json!([]);
    assert_eq!(api.put("/api/v1/namespaces/n/finalize", marked).await.code, 200);
    assert_eq!(api.get("/api/v1/namespaces/n").await.code, 404);
}

#[tokio::test]
async fn a_resize_changes_resources_alone() {
    let api = Api::new().await;
    let mut tree = pod("x");
    tree["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1"}});
    assert_eq!(api.post(PODS, tree.clone()).await.code, 201);
    tree["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "2"}});
    tree["spec"]["containers"][0]["image"] = "other:1".into();
    let resized = api.put(&format!("{PODS}/x/resize"), tree.clone()).await;
    assert_eq!((resized.code, &resized.body["metadata"]["generation"]), (200, &json!(2)));
    assert_eq!(resized.body["spec"]["containers"][0]["resources"]["requests"]["cpu"], "2");
    assert_eq!(resized.body["spec"]["containers"][0]["image"], "app:1");
    tree["spec"]["containers"][0]["resources"] = json!({});
    assert_eq!(api.put(&format!("{PODS}/x/resize"), tree).await.code, 422);
}
