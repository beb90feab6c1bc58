use serde_json::{Value as Json, json};

use super::Api;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const LAMPS: &str = "/apis/example.com/v1/namespaces/default/lamps";

fn definition() -> Json {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "required": ["color"], "properties": {
            "color": {"type": "string", "enum": ["red", "green"]},
            "replicas": {"type": "integer", "minimum": 0, "default": 1},
        }},
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "lit": {"type": "boolean"}}},
    }});
    // Fields to select by are a version's own where its schema is.
    let mut second = schema.clone();
    second["description"] = "A lamp.".into();
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "lamps.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "lamps", "kind": "Lamp", "shortNames": ["lp"]},
            "versions": [
                {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
                    "selectableFields": [{"jsonPath": ".spec.color"}],
                    "additionalPrinterColumns": [{"name": "Color", "type": "string", "jsonPath": ".spec.color"},
                        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]},
                {"name": "v2", "served": true, "storage": false, "schema": {"openAPIV3Schema": second}},
            ]}})
}

fn lamp(name: &str, spec: Json) -> Json {
    json!({"apiVersion": "example.com/v1", "kind": "Lamp", "metadata": {"name": name}, "spec": spec})
}

async fn with_lamps() -> Api {
    let api = Api::new().await;
    let made = api.post(DEFINITIONS, definition()).await;
    assert_eq!(made.code, 201, "{}", made.text);
    assert_eq!(made.body["spec"]["names"]["listKind"], "LampList");
    api
}

#[tokio::test]
async fn a_definition_is_established_and_served() {
    let api = with_lamps().await;
    let status = api.get(&format!("{DEFINITIONS}/lamps.example.com")).await.body["status"].clone();
    assert_eq!(status["storedVersions"], json!(["v1"]));
    assert_eq!(status["acceptedNames"]["singular"], "lamp");
    let reasons: Vec<&Json> = status["conditions"].as_array().unwrap().iter().map(|c| &c["reason"]).collect();
    assert_eq!(reasons, ["NoConflicts", "InitialNamesAccepted"]);
    let list = api.get("/apis/example.com/v1").await.body;
    let names: Vec<&Json> = list["resources"].as_array().unwrap().iter().map(|r| &r["name"]).collect();
    assert_eq!(names, ["lamps", "lamps/status", "lamps/scale"]);
    let schemas = &api.get("/openapi/v3/apis/example.com/v1").await.body["components"]["schemas"];
    assert_eq!(schemas["com.example.v1.Lamp"]["x-kubernetes-group-version-kind"][0]["kind"], "Lamp");
    // kubectl merges strategically where the document offers it.
    let paths = &api.get("/openapi/v3/apis/example.com/v1").await.body["paths"];
    let patch = &paths["/apis/example.com/v1/namespaces/{namespace}/lamps/{name}"]["patch"]["requestBody"]["content"];
    assert!(patch["application/merge-patch+json"].is_object());
    assert!(patch["application/strategic-merge-patch+json"].is_null());
}

#[tokio::test]
async fn objects_are_defaulted_pruned_and_checked() {
    let api = with_lamps().await;
    let made = api.post(LAMPS, lamp("a", json!({"color": "red", "odd": 1}))).await;
    assert_eq!(made.code, 201, "{}", made.text);
    assert_eq!(made.warnings, ["299 - \"unknown field \\\"spec.odd\\\"\""]);
    assert_eq!(made.body["spec"], json!({"color": "red", "replicas": 1}));
    assert_eq!(made.body["metadata"]["generation"], 1);
    let refused = api.post(&format!("{LAMPS}?fieldValidation=Strict"), lamp("b", json!({"color": "red", "odd": 1}))).await;
    assert_eq!(refused.code, 400);
    let refused = api.post(LAMPS, lamp("b", json!({"color": "blue"}))).await;
    assert_eq!(refused.code, 422);
    assert_eq!(
        refused.message(),
        "Lamp.example.com \"b\" is invalid: spec.color: Unsupported value: \"blue\": supported values: \"red\", \"green\""
    );
    let refused = api.merge(&format!("{LAMPS}/a"), json!({"spec": {"replicas": -1}})).await;
    assert_eq!(refused.code, 422);
    let found = api.get(&format!("{LAMPS}?fieldSelector=spec.color%3Dred")).await.body;
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn status_and_scale_are_apart() {
    let api = with_lamps().await;
    api.post(LAMPS, lamp("a", json!({"color": "red"}))).await;
    let change = json!({"spec": {"color": "green"}, "status": {"lit": true, "replicas": 4}});
    let changed = api.merge(&format!("{LAMPS}/a"), change.clone()).await.body;
    assert_eq!((&changed["spec"]["color"], &changed["status"]), (&json!("green"), &Json::Null));
    assert_eq!(changed["metadata"]["generation"], 2);
    let mut change = change;
    change["spec"]["color"] = "red".into();
    let changed = api.merge(&format!("{LAMPS}/a/status"), change).await.body;
    assert_eq!((&changed["spec"]["color"], &changed["status"]["lit"]), (&json!("green"), &json!(true)));
    assert_eq!(changed["metadata"]["generation"], 2);
    let scale = api.merge(&format!("{LAMPS}/a/scale"), json!({"spec": {"replicas": 3}})).await;
    assert_eq!((scale.code, &scale.body["spec"]["replicas"]), (200, &json!(3)));
    let read = api.get(&format!("{LAMPS}/a/scale")).await.body;
    assert_eq!((&read["kind"], &read["status"]["replicas"]), (&json!("Scale"), &json!(4)));
    assert_eq!(api.get(&format!("{LAMPS}/a")).await.body["spec"]["replicas"], 3);
}

#[tokio::test]
async fn tables_have_the_definitions_columns_and_versions_show_the_same() {
    let api = with_lamps().await;
    api.post(LAMPS, lamp("a", json!({"color": "red"}))).await;
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let table = api.send("GET", LAMPS, &table, None).await.body;
    let names: Vec<&Json> = table["columnDefinitions"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(names, ["Name", "Color", "Age"]);
    assert_eq!(table["rows"][0]["cells"][1], "red");
    let other = api.get("/apis/example.com/v2/namespaces/default/lamps/a").await.body;
    assert_eq!((&other["apiVersion"], &other["spec"]["color"]), (&json!("example.com/v2"), &json!("red")));
}

#[tokio::test]
async fn a_definition_takes_its_objects_along() {
    let api = with_lamps().await;
    api.post(LAMPS, lamp("a", json!({"color": "red"}))).await;
    let mut held = lamp("b", json!({"color": "red"}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    api.post(LAMPS, held).await;
    let gone = api.delete(&format!("{DEFINITIONS}/lamps.example.com")).await;
    assert_eq!(gone.code, 200, "{}", gone.text);
    assert_eq!(api.get(&format!("{LAMPS}/a")).await.code, 404);
    let refused = api.post(LAMPS, lamp("c", json!({"color": "red"}))).await;
    assert_eq!(refused.code, 405, "{}", refused.text);
    let conditions = api.get(&format!("{DEFINITIONS}/lamps.example.com")).await.body["status"]["conditions"].clone();
    assert_eq!(conditions[2]["reason"], "InstanceDeletionInProgress");
    assert_eq!(api.merge(&format!("{LAMPS}/b"), json!({"metadata": {"finalizers": null}})).await.code, 200);
    assert_eq!(api.get(&format!("{DEFINITIONS}/lamps.example.com")).await.code, 404);
    assert_eq!(api.get(LAMPS).await.code, 404);
}

#[tokio::test]
async fn names_that_are_taken_are_not_served() {
    let api = with_lamps().await;
    let mut other = definition();
    other["metadata"]["name"] = "lights.example.com".into();
    other["spec"]["names"]["plural"] = "lights".into();
    assert_eq!(api.post(DEFINITIONS, other).await.code, 201);
    let conditions = api.get(&format!("{DEFINITIONS}/lights.example.com")).await.body["status"]["conditions"].clone();
    // Of all the names that are taken the last is told.
    assert_eq!(conditions[0]["message"], "\"LampList\" is already in use");
    assert_eq!(conditions[1]["reason"], "NotAccepted");
    assert_eq!(api.get("/apis/example.com/v1/namespaces/default/lights").await.code, 404);
    // They are free once the first is gone.
    api.delete(&format!("{DEFINITIONS}/lamps.example.com")).await;
    assert_eq!(api.get("/apis/example.com/v1/namespaces/default/lights").await.code, 200);
}

#[tokio::test]
async fn a_schema_that_is_not_structural_is_refused() {
    let api = Api::new().await;
    let mut odd = definition();
    odd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["color"] = json!({"enum": ["a"]});
    let refused = api.post(DEFINITIONS, odd).await;
    assert_eq!(refused.code, 422);
    let at = "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[color].type: Required value: must not be empty \
        for specified object fields";
    assert!(refused.message().contains(at), "{}", refused.message());
}

#[tokio::test]
async fn scale_and_finalizers_of_objects_are_looked_at() {
    let api = Api::new().await;
    let mut free = definition();
    for version in free["spec"]["versions"].as_array_mut().unwrap() {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        version["schema"]["openAPIV3Schema"] = schema;
        version.as_object_mut().unwrap().remove("selectableFields");
    }
    assert_eq!(api.post(DEFINITIONS, free).await.code, 201);
    let refused = api.post(LAMPS, lamp("a", json!({"replicas": -1}))).await;
    let why = ".spec.replicas: Invalid value: -1: should be a non-negative integer";
    assert!(refused.message().ends_with(why), "{}", refused.message());
    let refused = api.post(LAMPS, lamp("a", json!({"replicas": "two"}))).await;
    let why = ".spec.replicas: Invalid value: 0: .spec.replicas accessor error: two is of the type string, expected int64";
    assert!(refused.message().ends_with(why), "{}", refused.message());
    let mut held = lamp("a", json!({}));
    held["metadata"]["finalizers"] = json!(["hold.me"]);
    let made = api.post(LAMPS, held).await;
    let odd = "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer \
        writers";
    assert_eq!(made.code, 201, "{}", made.text);
    assert_eq!(made.warnings.len(), 1);
    assert!(made.warnings[0].contains(odd), "{:?}", made.warnings);
}
