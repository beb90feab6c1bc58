//! Field selectors in text (`status.phase=Running,metadata.name!=x`), and the fields that each kind offers.
//! Source: k8s.io/apimachinery/pkg/fields/selector.go, pkg/apis/*/v1/conversion.go.

use crate::api::{Json, Object, Resource, status::quote};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    field: String,
    equal: bool,
    value: String,
}

/// All requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<Requirement>);

impl FieldSelector {
    /// Reads a selector over the fields that the resource offers. `Err`: the text of Kubernetes' error.
    pub fn parse(resource: &Resource, text: &str) -> Result<Self, String> {
        let mut found = Vec::new();
        for part in split(text).iter().filter(|part| !part.is_empty()) {
            let (field, operator, value) =
                operator(part).ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{part}'"))?;
            let value = unescape(value)?;
            found.push(Requirement { field: field.to_owned(), equal: operator != "!=", value });
        }
        // Fields are looked at when all of the text is understood.
        found.iter().try_for_each(|requirement| check(resource, &requirement.field))?;
        Ok(FieldSelector(found))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn require(&mut self, field: &str, value: &str) {
        self.0.push(Requirement { field: field.to_owned(), equal: true, value: value.to_owned() });
    }

    pub fn matches(&self, object: &Object) -> bool {
        self.0.iter().all(|r| (value(object, &r.field) == r.value) == r.equal)
    }
}

/// Commas separate, but for those behind a backslash.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == ',' && !escaped {
            parts.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

fn operator(part: &str) -> Option<(&str, &'static str, &str)> {
    for (at, _) in part.char_indices() {
        for operator in ["!=", "==", "="] {
            if let Some(value) = part[at..].strip_prefix(operator) {
                return Some((&part[..at], operator, value));
            }
        }
    }
    None
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped @ ('\\' | ',' | '=')) => out.push(escaped),
                Some(other) => return Err(format!("invalid field selector: invalid escape sequence: \\{other}")),
                None => return Err("invalid field selector: invalid escape sequence: \\".into()),
            },
            ',' | '=' => return Err(format!("invalid field selector: unescaped character in {}: {c}", quote(text))),
            other => out.push(other),
        }
    }
    Ok(out)
}

const EVENT: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

const EVENTS_EVENT: &[&str] = &[
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
];

/// `spec.host` is what clients of old said for `spec.nodeName`.
const POD: &[&str] = &[
    "spec.host",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
];

/// The fields of a kind beside its name and namespace, and whether the kind has words of its own for others.
fn offered(resource: &Resource) -> (&'static [&'static str], bool) {
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("", "pods") => (POD, true),
        ("", "events") => (EVENT, true),
        ("events.k8s.io", "events") => (EVENTS_EVENT, true),
        ("", "nodes") => (&["spec.unschedulable"], true),
        ("", "namespaces") => (&["status.phase"], true),
        ("", "secrets") => (&["type"], true),
        ("", "services") => (&["spec.clusterIP", "spec.type"], true),
        ("", "replicationcontrollers") => (&["status.replicas"], true),
        ("apps", "replicasets") => (&["status.replicas"], true),
        ("batch", "jobs") => (&["status.successful"], true),
        ("certificates.k8s.io", "certificatesigningrequests") => (&["spec.signerName"], true),
        ("resource.k8s.io", "resourceslices") => (&["spec.nodeName", "spec.driver"], true),
        _ => (&[], false),
    }
}

fn check(resource: &Resource, field: &str) -> Result<(), String> {
    let (more, own_words) = offered(resource);
    let custom = resource.selectable.iter().any(|selectable| selectable == field);
    // A kind with words of its own has no namespace to ask for where its objects are in none.
    let placed = resource.namespaced || !(own_words || resource.custom);
    let common = field == "metadata.name" || field == "metadata.namespace" && placed;
    if common || more.contains(&field) || custom {
        return Ok(());
    }
    if own_words || resource.custom {
        return Err(own_refusal(resource, field));
    }
    Err(format!("{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"", quote(field)))
}

fn own_refusal(resource: &Resource, field: &str) -> String {
    match resource.resource.as_str() {
        "jobs" | "replicasets" => format!("field label {} not supported for {}", quote(field), resource.kind),
        _ => format!("field label not supported: {field}"),
    }
}

fn text(value: Option<&Json>) -> String {
    match value {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn value(object: &Object, field: &str) -> String {
    let first = |pointers: &[&str]| {
        pointers.iter().map(|at| text(object.at(at))).find(|found| !found.is_empty()).unwrap_or_default()
    };
    match field {
        "spec.host" => text(object.at("/spec/nodeName")),
        "spec.hostNetwork" | "spec.unschedulable" => {
            let pointer = format!("/{}", field.replace('.', "/"));
            object.at(&pointer).and_then(Json::as_bool).unwrap_or(false).to_string()
        }
        "status.podIPs" => {
            let ips = object.at("/status/podIPs").and_then(Json::as_array);
            let ips: Vec<&str> = ips.into_iter().flatten().filter_map(|ip| ip.get("ip")?.as_str()).collect();
            ips.join(",")
        }
        "status.replicas" => object.i64_at("/status/replicas").unwrap_or(0).to_string(),
        "status.successful" => object.i64_at("/status/succeeded").unwrap_or(0).to_string(),
        "source" => first(&["/source/component", "/reportingComponent"]),
        "reportingComponent" | "reportingController" => text(object.at("/reportingComponent")),
        field => match field.strip_prefix("regarding.") {
            Some(rest) => text(object.at(&format!("/involvedObject/{rest}"))),
            None => text(object.at(&format!("/{}", field.replace('.', "/")))),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::schema::Schema;

    fn parse(resource: &str, text: &str) -> Result<FieldSelector, String> {
        let resources = &Schema::get().resources;
        let found = resources.iter().find(|r| r.group.is_empty() && r.resource == resource).expect("a resource");
        FieldSelector::parse(found, text)
    }

    #[test]
    fn a_selector_is_understood_whole_before_its_fields_are_looked_at() {
        let refused = |text: &str| parse("configmaps", text).unwrap_err();
        assert_eq!(refused("color=red,size"), "invalid selector: 'color=red,size'; can't understand 'size'");
        assert!(refused("color=red").starts_with("\"color\" is not a known field selector"));
    }

    #[test]
    fn kinds_outside_of_namespaces_with_words_of_their_own_know_no_namespace() {
        for resource in ["nodes", "namespaces"] {
            let refused = parse(resource, "metadata.namespace=shop").unwrap_err();
            assert_eq!(refused, "field label not supported: metadata.namespace");
        }
        assert!(parse("persistentvolumes", "metadata.namespace=shop").is_ok());
        assert_eq!(parse("namespaces", "name=shop").unwrap_err(), "field label not supported: name");
    }

    #[test]
    fn the_old_word_for_a_pods_node_is_understood() {
        let on_left = parse("pods", "spec.host=left").unwrap();
        assert!(on_left.matches(&Object::new(json!({"spec": {"nodeName": "left"}}))));
        assert!(!on_left.matches(&Object::new(json!({"spec": {"nodeName": "right"}}))));
    }
}
