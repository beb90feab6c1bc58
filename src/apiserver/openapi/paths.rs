//! The paths of a resource, with what each method takes and answers.
//! Source: k8s.io/apiserver/pkg/endpoints/installer.go.

use serde_json::json;

use super::schemas::{Dialect, Schemas};
use crate::api::{Gvk, Json, JsonMap, Resource};

/// One operation on one path.
struct Operation<'a> {
    method: &'static str,
    action: &'static str,
    /// Of what is sent and answered.
    kind: &'a Gvk,
    /// What is answered, if it is another kind.
    answers: Option<Gvk>,
    /// Of a kind that a definition makes.
    custom: bool,
}

/// Adds the paths of a resource.
pub(super) fn add(paths: &mut JsonMap, resource: &Resource, schemas: &mut Schemas) {
    let root = super::place(&resource.group, &resource.version);
    let base = match resource.namespaced {
        true => format!("/{root}/namespaces/{{namespace}}/{}", resource.resource),
        false => format!("/{root}/{}", resource.resource),
    };
    let gvk = resource.gvk();
    let list = Gvk { kind: format!("{}List", gvk.kind), ..gvk.clone() };
    let has = |verb: &str| resource.verbs.iter().any(|v| v == verb);
    let mut on_all = Vec::new();
    let mut on_one = Vec::new();
    let of = |method, action, answers: Option<&Gvk>| Operation { method, action, kind: &gvk, answers: answers.cloned(), custom: resource.custom };
    let all = [("list", "get", "list"), ("create", "post", "post"), ("deletecollection", "delete", "deletecollection")];
    for (verb, method, action) in all.into_iter().filter(|(verb, ..)| has(verb)) {
        on_all.push(of(method, action, (verb == "list").then_some(&list)));
    }
    let one = [("get", "get", "get"), ("update", "put", "put"), ("patch", "patch", "patch"), ("delete", "delete", "delete")];
    for (_, method, action) in one.into_iter().filter(|(verb, ..)| has(verb)) {
        on_one.push(of(method, action, None));
    }
    if resource.namespaced && has("list") {
        let everywhere = format!("/{root}/{}", resource.resource);
        put(paths, &everywhere, &[], &[of("get", "list", Some(&list))], schemas);
    }
    let namespace: &[&str] = if resource.namespaced { &["namespace"] } else { &[] };
    put(paths, &base, namespace, &on_all, schemas);
    let with_name: Vec<&str> = namespace.iter().copied().chain(["name"]).collect();
    put(paths, &format!("{base}/{{name}}"), &with_name, &on_one, schemas);
    for sub in &resource.subresources {
        add_subresource(paths, &base, resource, sub, (&with_name, schemas));
    }
}

fn add_subresource(
    paths: &mut JsonMap,
    base: &str,
    resource: &Resource,
    sub: &Json,
    (parameters, schemas): (&[&str], &mut Schemas),
) {
    let text = |key: &str| sub.get(key).and_then(Json::as_str).unwrap_or("");
    let own = !text("version").is_empty();
    let gvk = match own {
        true => Gvk { group: text("group").into(), version: text("version").into(), kind: text("kind").into() },
        false => Gvk { kind: text("kind").into(), ..resource.gvk() },
    };
    let verbs: Vec<&str> = sub.get("verbs").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    let all = [("get", "get", "get"), ("create", "post", "post"), ("update", "put", "put"), ("patch", "patch", "patch")];
    let operations: Vec<Operation<'_>> = all
        .into_iter()
        .filter(|(verb, ..)| verbs.contains(verb))
        .map(|(_, method, action)| Operation { method, action, kind: &gvk, answers: None, custom: resource.custom })
        .collect();
    put(paths, &format!("{base}/{{name}}/{}", text("name")), parameters, &operations, schemas);
}

fn put(paths: &mut JsonMap, path: &str, parameters: &[&str], operations: &[Operation<'_>], schemas: &mut Schemas) {
    if operations.is_empty() {
        return;
    }
    let mut item = JsonMap::new();
    for operation in operations {
        item.insert(operation.method.into(), of_operation(path, operation, schemas));
    }
    let parameters: Vec<Json> = parameters.iter().map(|name| parameter(name, "path", "string", schemas.dialect())).collect();
    if !parameters.is_empty() {
        item.insert("parameters".into(), parameters.into());
    }
    paths.insert(path.into(), Json::Object(item));
}

const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// Which patches an operation takes: what a definition makes knows no strategic merge.
fn patches(operation: &Operation<'_>) -> Vec<&'static str> {
    let strategic = |media: &&str| media.contains("strategic");
    PATCHES.iter().copied().filter(|media| !(operation.custom && strategic(media))).collect()
}

fn of_operation(path: &str, operation: &Operation<'_>, schemas: &mut Schemas) -> Json {
    let dialect = schemas.dialect();
    let answered = match operation.action {
        "delete" | "deletecollection" => schemas.refer("io.k8s.apimachinery.pkg.apis.meta.v1.Status"),
        _ => schemas.refer_kind(operation.answers.as_ref().unwrap_or(operation.kind)),
    };
    let gvk = operation.kind;
    let mut parameters: Vec<Json> =
        query(operation.action).iter().map(|(name, sort)| parameter(name, "query", sort, dialect)).collect();
    let body = match operation.action {
        "post" | "put" => Some(schemas.refer_kind(gvk)),
        "patch" => Some(schemas.refer("io.k8s.apimachinery.pkg.apis.meta.v1.Patch")),
        "delete" | "deletecollection" => Some(schemas.refer("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")),
        _ => None,
    };
    let mut tree = json!({
        "operationId": operation_id(path, operation),
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {"group": gvk.group, "version": gvk.version, "kind": gvk.kind},
    });
    match dialect {
        Dialect::V3 => {
            tree["responses"] = json!({"200": {"description": "OK", "content": {"application/json": {"schema": answered}}}});
            if let Some(body) = body {
                let media = if operation.action == "patch" { patches(operation) } else { vec!["*/*"] };
                let content: JsonMap = media.iter().map(|m| ((*m).to_owned(), json!({"schema": body}))).collect();
                tree["requestBody"] = json!({"content": content, "required": operation.method != "delete"});
            }
        }
        Dialect::V2 => {
            tree["responses"] = json!({"200": {"description": "OK", "schema": answered}});
            tree["produces"] = json!(["application/json", "application/yaml"]);
            tree["consumes"] = if operation.action == "patch" { json!(patches(operation)) } else { json!(["*/*"]) };
            if let Some(body) = body {
                parameters.push(json!({"name": "body", "in": "body", "schema": body, "required": operation.method != "delete"}));
            }
        }
    }
    if !parameters.is_empty() {
        tree["parameters"] = parameters.into();
    }
    tree
}

/// Unique, as OpenAPI wants it.
fn operation_id(path: &str, operation: &Operation<'_>) -> String {
    let words = path.split(['/', '.', '-']).filter(|w| !w.is_empty()).map(|word| {
        let word = word.trim_matches(['{', '}']);
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    });
    format!("{}{}", operation.action, words.collect::<String>())
}

fn query(action: &str) -> &'static [(&'static str, &'static str)] {
    match action {
        "post" | "put" => &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")],
        "patch" => {
            &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"), ("force", "boolean")]
        }
        "delete" => {
            &[("dryRun", "string"), ("gracePeriodSeconds", "integer"), ("orphanDependents", "boolean"), ("propagationPolicy", "string")]
        }
        "list" => &[
            ("allowWatchBookmarks", "boolean"),
            ("continue", "string"),
            ("fieldSelector", "string"),
            ("labelSelector", "string"),
            ("limit", "integer"),
            ("resourceVersion", "string"),
            ("resourceVersionMatch", "string"),
            ("sendInitialEvents", "boolean"),
            ("timeoutSeconds", "integer"),
            ("watch", "boolean"),
        ],
        "deletecollection" => &[
            ("continue", "string"),
            ("dryRun", "string"),
            ("fieldSelector", "string"),
            ("gracePeriodSeconds", "integer"),
            ("labelSelector", "string"),
            ("limit", "integer"),
            ("propagationPolicy", "string"),
        ],
        _ => &[],
    }
}

fn parameter(name: &str, place: &str, sort: &str, dialect: Dialect) -> Json {
    let mut tree = match dialect {
        Dialect::V3 => json!({"name": name, "in": place, "schema": {"type": sort, "uniqueItems": true}}),
        Dialect::V2 => json!({"name": name, "in": place, "type": sort, "uniqueItems": true}),
    };
    if place == "path" {
        tree["required"] = true.into();
    }
    tree
}
