use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::Api;

/// Every reference in a document.
fn references(tree: &Json, found: &mut BTreeSet<String>) {
    match tree {
        Json::Object(map) => {
            if let Some(Json::String(to)) = map.get("$ref") {
                found.insert(to.clone());
            }
            map.values().for_each(|value| references(value, found));
        }
        Json::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn each_document_of_the_index_holds_all_that_it_refers_to() {
    let api = Api::new().await;
    let index = api.get("/openapi/v3").await.body;
    let paths = index["paths"].as_object().unwrap();
    assert!(paths.contains_key("api/v1") && paths.contains_key("apis/apps/v1"));
    for (place, entry) in paths {
        let document = api.get(entry["serverRelativeURL"].as_str().unwrap()).await;
        assert_eq!(document.code, 200, "{place}");
        let mut found = BTreeSet::new();
        references(&document.body, &mut found);
        for to in found {
            let pointer = to.trim_start_matches('#');
            assert!(document.body.pointer(pointer).is_some(), "{place} has no {to}");
        }
    }
    let document = api.get("/openapi/v2").await.body;
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 300);
    for to in found {
        assert!(document.pointer(to.trim_start_matches('#')).is_some(), "v2 has no {to}");
    }
}

#[tokio::test]
async fn documents_say_what_kubectl_looks_for() {
    let api = Api::new().await;
    let document = api.get("/openapi/v3/apis/apps/v1").await.body;
    let spec = &document["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentSpec"];
    assert_eq!(spec["required"], serde_json::json!(["selector", "template"]));
    let text = spec["properties"]["replicas"]["description"].as_str().unwrap();
    assert!(text.starts_with("Number of desired pods."), "{text}");
    // Whether the server checks fields is read from the patch's parameters.
    let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Deployment");
    let parameters = patch["parameters"].as_array().unwrap();
    assert!(parameters.iter().any(|p| p["name"] == "fieldValidation"));
    let core = api.get("/openapi/v3/api/v1").await.body;
    let containers = &core["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(api.get("/openapi/v3/apis/no.such/v1").await.code, 404);
}
