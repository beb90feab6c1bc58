//! Ownership of fields and merges, against recorded answers of a real API server: each step's live object is the
//! recorded answer before it, so that nothing but `apply` is under test.
#![cfg(feature = "internals")]

use std::collections::HashMap;
use std::io::Read;

use serde_json::{Value as Json, json};
use wl::api::Gvk;
use wl::apply::managed::ApplyError;
use wl::apply::{FieldManager, manager_name};

fn cases(group: &str) -> Vec<Json> {
    let path = format!("{}/tests/data/oracle/{group}.jsonl.gz", env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    // Numbers that the recording left open.
    let text = text.replace("\"nodePort\":\"<any>\"", "\"nodePort\":30999");
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn gvk(object: &Json) -> Gvk {
    Gvk::of(object["apiVersion"].as_str().unwrap_or(""), object["kind"].as_str().unwrap_or(""))
}

/// The recorded object, with an identity so that it counts as existing.
fn live(recorded: &Json) -> Json {
    let mut object = recorded.clone();
    object["metadata"]["uid"] = json!("11111111-2222-3333-4444-555555555555");
    object["metadata"]["resourceVersion"] = json!("7");
    object["metadata"]["creationTimestamp"] = json!("2020-01-01T00:00:00Z");
    object
}

fn entries(object: &Json) -> Vec<Json> {
    let mut entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    for entry in &mut entries {
        entry.as_object_mut().unwrap().remove("time");
    }
    entries.sort_by_key(|e| format!("{} {} {} {}", e["operation"], e["manager"], e["subresource"], e["apiVersion"]));
    entries
}

/// What the apply merged must be in the recorded answer, which has defaults besides.
fn missing(part: &Json, whole: &Json, path: &str, found: &mut Vec<String>) {
    match (part, whole) {
        (Json::Null, _) => {}
        (Json::Object(part), Json::Object(whole)) => {
            for (key, value) in part {
                let empty = value.is_null() || value == &json!({}) || value == &json!([]);
                if !empty || whole.contains_key(key) {
                    missing(value, whole.get(key).unwrap_or(&Json::Null), &format!("{path}.{key}"), found);
                }
            }
        }
        (Json::Array(part), Json::Array(whole)) if part.len() == whole.len() => {
            for (i, (part, whole)) in part.iter().zip(whole).enumerate() {
                missing(part, whole, &format!("{path}[{i}]"), found);
            }
        }
        (part, whole) if part == whole => {}
        (part, whole) => found.push(format!("{path}: {part} is not {whole}")),
    }
}

fn step(step: &Json, live_before: Option<&Json>) -> Result<bool, String> {
    let expect = &step["expect"];
    let body = &expect["body"];
    let code = expect["code"].as_u64().unwrap();
    let query = |key: &str| step["query"].get(key).and_then(Json::as_str);
    let path = step["path"].as_str().unwrap_or("");
    let subresource = ["status", "scale"].into_iter().find(|s| path.ends_with(&format!("/{s}"))).unwrap_or("");
    if subresource == "scale" {
        return Ok(false);
    }
    let content = step["headers"].get("Content-Type").and_then(Json::as_str).unwrap_or("application/json");
    let agent = step["headers"].get("User-Agent").and_then(Json::as_str).unwrap_or("recorder");
    let manager = manager_name(query("fieldManager"), agent);
    let now = "2021-01-01T00:00:00Z".parse().unwrap();
    let before = live_before.map(live);
    if content.starts_with("application/apply-patch+yaml") {
        let Some(text) = step["body"].as_str() else { return Ok(false) };
        if text.contains("${") {
            return Ok(false);
        }
        let Ok(patch) = serde_yaml::from_str::<Json>(text) else { return Ok(false) };
        let kind = match &before {
            Some(before) => gvk(before),
            None => gvk(&patch),
        };
        let answer = FieldManager::new(&kind, subresource).apply(
            before.as_ref(),
            &patch,
            &manager,
            query("force") == Some("true"),
            now,
        );
        return match answer {
            Ok(mut object) => {
                if code >= 300 {
                    // Refused later, by what is not under test here.
                    return if code == 409 || code == 500 { Err(format!("accepted, {body}")) } else { Ok(false) };
                }
                if entries(&object) != entries(body) && body["metadata"].get("managedFields").is_some() {
                    return Err(format!("managers\n  {}\nnot\n  {}", json!(entries(&object)), json!(entries(body))));
                }
                let mut found = Vec::new();
                object["metadata"] = json!({"labels": object["metadata"].get("labels"), "annotations": object["metadata"].get("annotations")});
                missing(&object, body, "", &mut found);
                if found.is_empty() { Ok(true) } else { Err(found.join("\n")) }
            }
            Err(error) => {
                let message = body["message"].as_str().unwrap_or("");
                let same = message == "<any>" || message == error.to_string();
                let causes = match error {
                    ApplyError::Conflicts(_) => {
                        let status = wl::api::Status::from(error.clone()).json();
                        let sorted = |v: &Json| {
                            let mut causes = v["details"]["causes"].as_array().cloned().unwrap_or_default();
                            causes.sort_by_key(|c| c.to_string());
                            causes
                        };
                        sorted(&status) == sorted(body)
                    }
                    _ => true,
                };
                if same && causes { Ok(true) } else { Err(format!("{code} {error}\nnot\n{message}")) }
            }
        };
    }
    if code >= 300 || body["metadata"].get("managedFields").is_none() {
        return Ok(false);
    }
    let mut new = body.clone();
    new["metadata"].as_object_mut().unwrap().remove("managedFields");
    let new = if before.is_some() { live(&new) } else { new };
    let object = FieldManager::new(&gvk(body), subresource).update(before.as_ref(), new, &manager, now);
    if entries(&object) == entries(body) {
        Ok(true)
    } else {
        Err(format!("managers\n  {}\nnot\n  {}", json!(entries(&object)), json!(entries(body))))
    }
}

/// Steps whose answer depends on more than `apply`: who checks resource versions, reads bodies, resets status,
/// gives out values, or writes them anew (quantities, `stringData`).
const OTHERS: &[(&str, u64)] = &[
    ("apply-rv", 2),
    ("apply-managedfields-edited", 2),
    ("apply-dep-resources", 3),
    ("apply-dep-quantity", 0),
    ("apply-dep-status", 0),
    ("apply-dep-status", 1),
    ("apply-kind-secret", 0),
    ("apply-secret-stringdata", 0),
    ("apply-secret-stringdata", 1),
    ("apply-secret-stringdata", 2),
    ("apply-yaml-comments", 0),
    ("apply-service-ports", 3),
    ("apply-post-shapes", 1),
    ("apply-post-shapes", 4),
];

#[test]
fn owners_are_those_that_the_api_server_recorded() {
    let (mut good, mut failed) = (0, Vec::new());
    for case in cases("apply").iter().chain(&cases("patches")) {
        let mut objects: HashMap<String, Json> = HashMap::new();
        for (i, one) in (0..).zip(case["steps"].as_array().unwrap()) {
            let id = case["id"].as_str().unwrap();
            let path = one["path"].as_str().unwrap_or("");
            let path = path.trim_end_matches("/status").trim_end_matches("/scale").to_owned();
            if matches!(one["method"].as_str(), Some("POST" | "PUT" | "PATCH")) && !OTHERS.contains(&(id, i)) {
                match step(one, objects.get(&path)) {
                    Ok(counted) => good += usize::from(counted),
                    Err(why) => failed.push(format!("{id} step {i}: {why}")),
                }
            }
            let body = &one["expect"]["body"];
            let dry = one["query"].get("dryRun").is_some();
            if one["expect"]["code"].as_u64().unwrap() < 300 && !dry && body["kind"] != "Scale" {
                if one["method"] == "DELETE" {
                    objects.remove(&path);
                } else if one["method"] == "POST" {
                    objects.insert(format!("{path}/{}", body["metadata"]["name"].as_str().unwrap_or("")), body.clone());
                } else {
                    objects.insert(path, body.clone());
                }
            }
        }
    }
    assert!(failed.is_empty(), "{good} agree, not {}:\n{}", failed.len(), failed.join("\n\n"));
    assert!(good > 200, "{good}");
}
