//! What pods are configured and bounded with.
//! Source: k8s.io/kubectl/pkg/describe/describe.go (`describeSecret`, `describeQuota`, `describeNamespace` …).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Related;
use super::document::{Document, quantity};
use super::events::events;
use super::network::dated_conditions;
use crate::api::quantity::Quantity;
use crate::api::tree::Tree;
use crate::api::Json;

const LIMIT_HEADS: &str = "Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio";
const LIMIT_LINES: &str = "----\t--------\t---\t---\t---------------\t-------------\t-----------------------";

fn bytes(value: &Json) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap_or("")).unwrap_or_default()
}

pub fn config_map(doc: &mut Document, object: &Json, related: &Related) {
    doc.name(object);
    doc.namespace(object);
    doc.marks(object);
    doc.line(0, "\nData\n====");
    for (key, value) in object.entries("data") {
        doc.line(0, &format!("{key}:\n----"));
        doc.line(0, value.as_str().unwrap_or(""));
        doc.line(0, "");
    }
    doc.line(0, "\nBinaryData\n====");
    for (key, value) in object.entries("binaryData") {
        doc.line(0, &format!("{key}: {} bytes", bytes(value).len()));
    }
    doc.line(0, "");
    events(doc, related.events());
}

pub fn secret(doc: &mut Document, object: &Json, _: &Related) {
    let kind = object.text("type");
    doc.name(object);
    doc.namespace(object);
    doc.marks(object);
    doc.line(0, &format!("\nType:\t{kind}"));
    doc.line(0, "\nData\n====");
    for (key, value) in object.entries("data") {
        let value = bytes(value);
        if key == "token" && kind == "kubernetes.io/service-account-token" {
            doc.field(0, key, String::from_utf8_lossy(&value));
        } else {
            doc.field(0, key, format!("{} bytes", value.len()));
        }
    }
}

pub fn service_account(doc: &mut Document, object: &Json, related: &Related) {
    doc.name(object);
    doc.namespace(object);
    doc.marks(object);
    let mut title = "Image pull secrets:";
    let secrets = object.list("imagePullSecrets");
    if secrets.is_empty() {
        doc.line(0, &format!("{title}\t<none>"));
    }
    for secret in secrets {
        doc.line(0, &format!("{title}\t{}", secret.text("name")));
        title = "                   ";
    }
    events(doc, related.events());
}

pub fn limit_range(doc: &mut Document, object: &Json, _: &Related) {
    doc.name(object);
    doc.namespace(object);
    doc.line(0, LIMIT_HEADS);
    doc.line(0, LIMIT_LINES);
    limits(doc, object, "");
}

fn limits(doc: &mut Document, object: &Json, prefix: &str) {
    const PARTS: [&str; 5] = ["min", "max", "defaultRequest", "default", "maxLimitRequestRatio"];
    for item in object.field("spec").list("limits") {
        let mut names: Vec<&str> = PARTS.iter().flat_map(|part| item.entries(part)).map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let of = |part: &&str| match item.field(part).field(name) {
                Json::Null => "-".to_owned(),
                value => quantity(value),
            };
            let values = PARTS.iter().map(of).collect::<Vec<_>>().join("\t");
            doc.line(0, &format!("{prefix}{}\t{name}\t{values}", item.text("type")));
        }
    }
}

pub fn resource_quota(doc: &mut Document, object: &Json, _: &Related) {
    doc.name(object);
    doc.namespace(object);
    scopes(doc, 0, " * ", object);
    doc.line(0, "Resource\tUsed\tHard");
    doc.line(0, "--------\t----\t----");
    let status = object.field("status");
    for (name, hard) in status.entries("hard") {
        let read = |value: &Json| Quantity::parse(value.as_str().unwrap_or("0")).unwrap_or_else(|_| Quantity::zero());
        let (hard, mut used) = (read(hard), read(status.field("used").field(name)));
        if hard.format() != used.format() {
            used = Quantity::from_i64(used.value(), hard.format());
        }
        doc.line(0, &format!("{name}\t{used}\t{hard}"));
    }
}

fn scopes(doc: &mut Document, level: usize, bullet: &str, quota: &Json) {
    let mut scopes = quota.field("spec").texts("scopes");
    if scopes.is_empty() {
        return;
    }
    scopes.sort_unstable();
    doc.field(level, "Scopes", scopes.join(", "));
    for help in scopes.into_iter().filter_map(scope_help) {
        doc.line(level, &format!("{bullet}{help}"));
    }
}

fn scope_help(scope: &str) -> Option<&'static str> {
    match scope {
        "Terminating" => Some(
            "Matches all pods that have an active deadline. These pods have a limited lifespan on a node before being \
             actively terminated by the system.",
        ),
        "NotTerminating" => Some(
            "Matches all pods that do not have an active deadline. These pods usually include long running pods whose \
             container command is not expected to terminate.",
        ),
        "BestEffort" => Some(
            "Matches all pods that do not have resource requirements set. These pods have a best effort quality of service.",
        ),
        "NotBestEffort" => Some(
            "Matches all pods that have at least one resource requirement set. These pods have a burstable or guaranteed \
             quality of service.",
        ),
        _ => None,
    }
}

pub fn namespace(doc: &mut Document, object: &Json, related: &Related) {
    doc.name(object);
    doc.marks(object);
    doc.field(0, "Status", object.field("status").text("phase"));
    dated_conditions(doc, object);
    doc.line(0, "");
    quotas(doc, &related.quotas);
    doc.line(0, "");
    if related.limits.is_empty() {
        return doc.line(0, "No LimitRange resource.");
    }
    doc.line(0, &format!("Resource Limits\n {LIMIT_HEADS}"));
    doc.line(0, &format!(" {LIMIT_LINES}"));
    related.limits.iter().for_each(|range| limits(doc, range, " "));
}

fn quotas(doc: &mut Document, quotas: &[Json]) {
    if quotas.is_empty() {
        return doc.line(0, "No resource quota.");
    }
    let mut quotas: Vec<&Json> = quotas.iter().collect();
    quotas.sort_by_key(|quota| quota.field("metadata").text("name"));
    doc.line(0, "Resource Quotas");
    for quota in quotas {
        doc.field(1, "Name", quota.field("metadata").text("name"));
        scopes(doc, 1, "* ", quota);
        doc.line(1, "Resource\tUsed\tHard");
        doc.line(1, "--------\t---\t---");
        let status = quota.field("status");
        for (name, hard) in status.entries("hard") {
            let used = quantity(status.field("used").field(name));
            doc.line(1, &format!("{name}\t{used}\t{}", quantity(hard)));
        }
    }
}
