//! Environment variables and where they come from.
//! Source: k8s.io/kubectl/pkg/describe/describe.go (`describeContainerEnvVars`, `describeContainerEnvFrom`).

use super::document::Document;
use crate::api::quantity::Quantity;
use crate::api::status::quote;
use crate::api::tree::Tree;
use crate::api::{Json, pod};

/// Whole ConfigMaps and Secrets.
pub fn sources(doc: &mut Document, sources: &[Json]) {
    if sources.is_empty() {
        return;
    }
    doc.line(2, "Environment Variables from:");
    for source in sources {
        let (kind, reference) = match (source.field("configMapRef"), source.field("secretRef")) {
            (map, _) if !map.is_null() => ("ConfigMap", map),
            (_, secret) if !secret.is_null() => ("Secret", secret),
            (none, _) => ("", none),
        };
        let prefix = match source.text("prefix") {
            "" => String::new(),
            prefix => format!(" with prefix '{prefix}'"),
        };
        let optional = reference.flag("optional");
        doc.line(3, &format!("{}\t{kind}{prefix}\tOptional: {optional}", reference.text("name")));
    }
}

/// The variables of a container. `pod`: where fields are looked up.
pub fn environment(doc: &mut Document, container: &Json, pod: Option<&Json>) {
    let variables = container.list("env");
    let none = if variables.is_empty() { "\t<none>" } else { "" };
    doc.line(2, &format!("Environment:{none}"));
    for variable in variables {
        let name = variable.text("name");
        let from = variable.field("valueFrom");
        if from.is_null() {
            for (i, line) in variable.text("value").split('\n').enumerate() {
                let title = if i == 0 { format!("{name}:") } else { String::new() };
                doc.line(3, &format!("{title}\t{line}"));
            }
            continue;
        }
        let (field, amount) = (from.field("fieldRef"), from.field("resourceFieldRef"));
        let (secret, map) = (from.field("secretKeyRef"), from.field("configMapKeyRef"));
        if !field.is_null() {
            let (version, path) = (field.text("apiVersion"), field.text("fieldPath"));
            let value = pod.and_then(|pod| field_value(pod, path)).unwrap_or_default();
            doc.field(3, name, format!("{value} ({version}:{path})"));
        } else if !amount.is_null() {
            doc.field(3, name, format!("{} ({})", resource_value(container, amount), amount.text("resource")));
        } else if !secret.is_null() {
            doc.field(3, name, key_of(secret, "in secret"));
        } else if !map.is_null() {
            doc.field(3, name, key_of(map, "of config map"));
        }
    }
}

fn key_of(reference: &Json, place: &str) -> String {
    let (key, name, optional) = (reference.text("key"), reference.text("name"), reference.flag("optional"));
    format!("<set to the key '{key}' {place} '{name}'>\tOptional: {optional}")
}

/// What a pod's own metadata say. Source: k8s.io/kubectl/pkg/util/fieldpath/fieldpath.go.
fn field_value(pod: &Json, path: &str) -> Option<String> {
    let metadata = pod.field("metadata");
    if let Some((map, key)) = path.strip_suffix("']").and_then(|p| p.split_once("['")) {
        let map = map.strip_prefix("metadata.").filter(|m| matches!(*m, "labels" | "annotations"))?;
        return Some(metadata.field(map).text(key).to_owned());
    }
    let name = path.strip_prefix("metadata.")?;
    match name {
        "labels" | "annotations" => {
            let pairs = metadata.entries(name).into_iter().map(|(k, v)| format!("{k}={}", quote(v.as_str().unwrap_or(""))));
            Some(pairs.collect::<Vec<_>>().join("\n"))
        }
        "name" | "namespace" | "uid" => Some(metadata.text(name).to_owned()),
        _ => None,
    }
}

/// The amount in units of the divisor, rounded up. Source: k8s.io/kubectl/pkg/util/resource/resource.go.
fn resource_value(container: &Json, reference: &Json) -> String {
    let resource = reference.text("resource");
    let Some((side, name)) = resource.split_once('.') else { return String::new() };
    let known = matches!(name, "cpu" | "memory" | "ephemeral-storage") || pod::is_hugepages(name);
    if !known || !matches!(side, "limits" | "requests") {
        return String::new();
    }
    let read = |value: &Json| Quantity::parse(value.as_str()?).ok();
    let amount = read(container.field("resources").field(side).field(name)).unwrap_or_else(Quantity::zero);
    let divisor = read(reference.field("divisor")).filter(|d| !d.is_zero());
    let unit = |quantity: &Quantity| if name == "cpu" { quantity.milli_value() } else { quantity.value() };
    let divisor = divisor.as_ref().map_or(if name == "cpu" { 1000 } else { 1 }, unit);
    let shown = unit(&amount).checked_add(divisor - 1).map_or(0, |sum| sum.div_euclid(divisor.max(1)));
    if shown == 0 && matches!(resource, "limits.cpu" | "limits.memory") {
        return "node allocatable".into();
    }
    shown.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_are_rounded_up_to_the_divisor() {
        let container = json!({"resources": {"limits": {"memory": "100Mi", "cpu": "1500m"}}});
        let ask = |resource: &str, divisor: &str| {
            resource_value(&container, &json!({"resource": resource, "divisor": divisor}))
        };
        assert_eq!(ask("limits.memory", "1Mi"), "100");
        assert_eq!(ask("limits.cpu", "0"), "2");
        assert_eq!(ask("limits.cpu", "1m"), "1500");
        assert_eq!(ask("requests.cpu", "1"), "0");
        assert_eq!(resource_value(&json!({}), &json!({"resource": "limits.memory"})), "node allocatable");
        assert_eq!(ask("limits.nosuch", "1"), "");
    }

    #[test]
    fn fields_are_looked_up_in_the_pod() {
        let pod = json!({"metadata": {"name": "web", "labels": {"a/b": "1", "c": "2"}}});
        let ask = |path: &str| field_value(&pod, path);
        assert_eq!(ask("metadata.name").as_deref(), Some("web"));
        assert_eq!(ask("metadata.labels['a/b']").as_deref(), Some("1"));
        assert_eq!(ask("metadata.labels").as_deref(), Some("a/b=\"1\"\nc=\"2\""));
        assert_eq!(ask("status.podIP"), None);
    }
}
