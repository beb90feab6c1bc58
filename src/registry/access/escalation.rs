//! Nobody gives away what he does not have: roles and bindings that somebody writes who is no administrator.
//! Source: pkg/registry/rbac/{escalation_check.go,validation/rule.go}, k8s.io/component-helpers/auth/rbac/validation.

use serde_json::json;

use super::{Attributes, authorize, rbac};
use crate::api::status::quote;
use crate::api::tree::Tree;
use crate::api::{GroupResource, Json, Key, Object};
use crate::registry::User;
use crate::state::State;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Why the user may not write a role or binding; `None`: he may.
pub(crate) fn refuses(state: &State, user: &User, resource: &str, object: &Object) -> Option<String> {
    let namespace = object.namespace();
    if super::is_privileged(user) {
        return None;
    }
    let wish = |verb: &str, resource: &str, name: &str| Attributes {
        verb: verb.into(),
        namespace: namespace.into(),
        group: GROUP.into(),
        resource: resource.into(),
        name: name.into(),
        ..Attributes::default()
    };
    let rules = match resource {
        "roles" | "clusterroles" => {
            if authorize(state, user, &wish("escalate", resource, object.name())).allowed {
                return None;
            }
            object.json().list("rules").to_vec()
        }
        _ => {
            let role = object.json().field("roleRef");
            let (kind, namespace) = if role.text("kind") == "Role" { ("roles", namespace) } else { ("clusterroles", "") };
            if authorize(state, user, &wish("bind", kind, role.text("name"))).allowed {
                return None;
            }
            match state.get(&Key::new(GroupResource::new(GROUP, kind), namespace, role.text("name"))) {
                Some(role) => role.json().list("rules").to_vec(),
                None => return Some(format!("{}.{GROUP} {} not found", &kind[..kind.len() - 1], quote(role.text("name")))),
            }
        }
    };
    missing(state, user, namespace, &rules)
}

/// The rules that the user would give without having them.
fn missing(state: &State, user: &User, namespace: &str, rules: &[Json]) -> Option<String> {
    let own: Vec<Json> = rbac::grants(state, user, namespace).into_iter().filter_map(|g| g.rules.ok()).flatten().collect();
    let mut not_held: Vec<String> = Vec::new();
    for rule in rules {
        if single(rule).iter().any(|part| !own.iter().any(|own| covers(own, part))) {
            not_held.push(shown(rule));
        }
    }
    if not_held.is_empty() {
        return None;
    }
    not_held.sort();
    not_held.dedup();
    let groups: Vec<String> = user.groups.iter().map(|group| quote(group)).collect();
    Some(format!(
        "user {} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        quote(&user.name),
        groups.join(" "),
        not_held.join("\n")
    ))
}

/// A rule as rules of one verb and one thing each (BreakdownRule).
fn single(rule: &Json) -> Vec<Json> {
    let mut parts = Vec::new();
    for verb in rule.texts("verbs") {
        for group in rule.texts("apiGroups") {
            for resource in rule.texts("resources") {
                let part = json!({"verbs": [verb], "apiGroups": [group], "resources": [resource]});
                let names = rule.texts("resourceNames");
                if names.is_empty() {
                    parts.push(part);
                    continue;
                }
                parts.extend(names.iter().map(|name| {
                    let mut part = part.clone();
                    part["resourceNames"] = json!([name]);
                    part
                }));
            }
        }
        parts.extend(rule.texts("nonResourceURLs").iter().map(|url| json!({"verbs": [verb], "nonResourceURLs": [url]})));
    }
    parts
}

/// Whether a rule allows all that a single one does (ruleCovers).
fn covers(own: &Json, part: &Json) -> bool {
    let has = |field: &str| part.texts(field).iter().all(|value| own.texts(field).iter().any(|o| *o == "*" || o == value));
    if !has("verbs") {
        return false;
    }
    if let [url] = part.texts("nonResourceURLs").as_slice() {
        return own.texts("nonResourceURLs").iter().any(|o| {
            o == url || *o == "*" || o.strip_suffix('*').is_some_and(|start| url.starts_with(start))
        });
    }
    let of_any_sub = |resource: &str| {
        let sub = resource.split_once('/').map(|(_, sub)| format!("*/{sub}"));
        sub.is_some_and(|sub| own.texts("resources").contains(&sub.as_str()))
    };
    let resources = has("resources") || part.texts("resources").into_iter().all(of_any_sub);
    let (named, names) = (own.texts("resourceNames"), part.texts("resourceNames"));
    let names = named.is_empty() || (!names.is_empty() && names.iter().all(|name| named.contains(name)));
    has("apiGroups") && resources && names
}

/// A rule in one line (CompactString).
fn shown(rule: &Json) -> String {
    let parts = [
        ("APIGroups", "apiGroups"),
        ("Resources", "resources"),
        ("NonResourceURLs", "nonResourceURLs"),
        ("ResourceNames", "resourceNames"),
        ("Verbs", "verbs"),
    ];
    let list = |field: &str| rule.texts(field).iter().map(|text| quote(text)).collect::<Vec<_>>().join(" ");
    let parts = parts.iter().filter(|(_, field)| !rule.list(field).is_empty());
    let parts: Vec<String> = parts.map(|(name, field)| format!("{name}:[{}]", list(field))).collect();
    format!("{{{}}}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &[&str], resources: &[&str], names: &[&str]) -> Json {
        json!({"verbs": verbs, "apiGroups": [""], "resources": resources, "resourceNames": names})
    }

    #[test]
    fn a_rule_covers_what_it_allows() {
        let held = |own: &Json, wanted: &Json| single(wanted).iter().all(|part| covers(own, part));
        let own = rule(&["get", "list"], &["pods", "*/log"], &[]);
        assert!(held(&own, &rule(&["get"], &["pods", "pods/log"], &["a"])));
        assert!(!held(&own, &rule(&["get", "delete"], &["pods"], &[])));
        assert!(!held(&own, &rule(&["get"], &["pods/exec"], &[])));
        assert!(!held(&own, &rule(&["*"], &["pods"], &[])));
        let named = rule(&["*"], &["*"], &["a"]);
        assert!(held(&named, &rule(&["get"], &["pods"], &["a"])));
        assert!(!held(&named, &rule(&["get"], &["pods"], &[])));
    }
}
