//! Nobody gives away what he does not have: roles and bindings that somebody writes who is no administrator.
//! Source: pkg/registry/rbac/{escalation_check.go,validation/rule.go}, k8s.io/component-helpers/auth/rbac/validation.

use serde_json::json;

use super::{Attributes, authorize, rbac};
use crate::api::status::quote;
use crate::api::tree::Tree;
use crate::api::{GroupResource, Json, Key, Object, Status};
use crate::registry::User;
use crate::state::State;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Why the user may not put a role or binding in the place of `old` (`None`: make it); `None`: he may.
pub(crate) fn refuses(state: &State, user: &User, resource: &str, object: &Object, old: Option<&Object>) -> Option<Status> {
    if super::is_privileged(user) {
        return None;
    }
    let namespace = object.namespace();
    let wish = |verb: &str, resource: &str, name: &str| Attributes {
        verb: verb.into(),
        namespace: namespace.into(),
        group: GROUP.into(),
        resource: resource.into(),
        name: name.into(),
        ..Attributes::default()
    };
    let forbidden = |why: &str| Status::forbidden(&GroupResource::new(GROUP, resource), object.name(), why);
    if matches!(resource, "roles" | "clusterroles") {
        // The name is that of the path, and a new object has none there.
        let name = old.map_or("", Object::name);
        if authorize(state, user, &wish("escalate", resource, name)).allowed {
            return None;
        }
    } else if let Some(kind) = kind_of_role(object)
        && authorize(state, user, &wish("bind", kind, object.json().field("roleRef").text("name"))).allowed
    {
        return None;
    }
    if old.is_some_and(|old| moves_collection_only(object, old)) {
        return None;
    }
    let rules = match resource {
        "roles" | "clusterroles" => object.json().list("rules").to_vec(),
        _ => match rules_of_role(state, object) {
            Ok(rules) => rules,
            Err(refusal) => return Some(refusal),
        },
    };
    if let Some(why) = missing(state, user, namespace, &rules) {
        return Some(forbidden(&why));
    }
    let aggregates = |role: &Object| !role.json().field("aggregationRule").list("clusterRoleSelectors").is_empty();
    if resource == "clusterroles" && (aggregates(object) || old.is_some_and(aggregates)) {
        let everything = [
            json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}),
            json!({"verbs": ["*"], "nonResourceURLs": ["*"]}),
        ];
        if missing(state, user, namespace, &everything).is_some() {
            return Some(forbidden("must have cluster-admin privileges to use the aggregationRule"));
        }
    }
    None
}

/// The resource of the role that a binding names.
fn kind_of_role(binding: &Object) -> Option<&'static str> {
    match binding.json().field("roleRef").text("kind") {
        "Role" => Some("roles"),
        "ClusterRole" => Some("clusterroles"),
        _ => None,
    }
}

/// The rules of the role that a binding names; a role that is not there is answered as such.
fn rules_of_role(state: &State, binding: &Object) -> Result<Vec<Json>, Status> {
    let role = binding.json().field("roleRef");
    let Some(kind) = kind_of_role(binding) else {
        let why = format!("unsupported role reference kind: {}", quote(role.text("kind")));
        return Err(Status::new(500, "", why));
    };
    let namespace = if kind == "roles" { binding.namespace() } else { "" };
    let resource = GroupResource::new(GROUP, kind);
    match state.get(&Key::new(resource.clone(), namespace, role.text("name"))) {
        Some(role) => Ok(role.json().list("rules").to_vec()),
        None => Err(Status::not_found(&resource, role.text("name"))),
    }
}

/// Whether a change is one of those that collect garbage: owners and finalizers alone (IsOnlyMutatingGCFields).
fn moves_collection_only(new: &Object, old: &Object) -> bool {
    let rest = |object: &Object| {
        let mut tree = object.json().clone();
        if let Some(metadata) = tree.get_mut("metadata") {
            for field in ["ownerReferences", "finalizers", "managedFields", "selfLink"] {
                crate::api::tree::remove(metadata, field);
            }
        }
        tree
    };
    rest(new) == rest(old)
}

/// What the user would give without having it.
fn missing(state: &State, user: &User, namespace: &str, rules: &[Json]) -> Option<String> {
    let mut own: Vec<Json> = Vec::new();
    let mut unresolved: Vec<String> = Vec::new();
    for grant in rbac::grants(state, user, namespace) {
        match grant.rules {
            Ok(rules) => own.extend(rules),
            Err(why) if unresolved.contains(&why) => {}
            Err(why) => unresolved.push(why),
        }
    }
    let not_held: Vec<Json> =
        rules.iter().flat_map(single).filter(|part| !own.iter().any(|own| covers(own, part))).collect();
    if not_held.is_empty() {
        return None;
    }
    let mut lines: Vec<String> = compact(not_held).iter().map(shown).collect();
    lines.sort();
    lines.dedup();
    let groups: Vec<String> = user.groups.iter().map(|group| quote(group)).collect();
    let mut why = format!(
        "user {} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        quote(&user.name),
        groups.join(" "),
        lines.join("\n")
    );
    match unresolved.as_slice() {
        [] => {}
        [one] => why.push_str(&format!("; resolution errors: [{one}]")),
        all => why.push_str(&format!("; resolution errors: [[{}]]", all.join(", "))),
    }
    Some(why)
}

/// Puts single rules for the same resource together: their verbs in one (CompactRules).
fn compact(rules: Vec<Json>) -> Vec<Json> {
    let mut compacted: Vec<Json> = Vec::new();
    for rule in rules {
        let same = |other: &Json| {
            ["apiGroups", "resources", "resourceNames"].iter().all(|field| other.list(field) == rule.list(field))
        };
        let of_resource = rule.list("nonResourceURLs").is_empty();
        match compacted.iter_mut().find(|other| of_resource && other.list("nonResourceURLs").is_empty() && same(other)) {
            Some(other) => {
                let verbs = other.list("verbs").iter().chain(rule.list("verbs")).cloned().collect();
                other["verbs"] = Json::Array(verbs);
            }
            None => compacted.push(rule),
        }
    }
    compacted
}

/// A rule as rules of one verb and one thing each (BreakdownRule).
fn single(rule: &Json) -> Vec<Json> {
    let mut parts = Vec::new();
    for group in rule.texts("apiGroups") {
        for resource in rule.texts("resources") {
            for verb in rule.texts("verbs") {
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
    }
    for url in rule.texts("nonResourceURLs") {
        parts.extend(rule.texts("verbs").iter().map(|verb| json!({"verbs": [verb], "nonResourceURLs": [url]})));
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
            o == url || (o.ends_with('*') && url.starts_with(o.trim_end_matches('*')))
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

    const BOUND: &str = "is attempting to grant RBAC permissions not currently held:\n";

    fn state(objects: &[(&str, Json)]) -> State {
        let mut state = State::new();
        for (resource, tree) in objects {
            let object = Object::new(tree.clone());
            state.put(Key::new(GroupResource::new(GROUP, resource), object.namespace(), object.name()), object);
        }
        state
    }

    /// Eve may get and list pods, and is bound to a role that is not there.
    fn of_eve() -> (State, User) {
        let binding = |name: &str, role: &str| {
            let subjects = json!([{"kind": "User", "name": "eve"}]);
            json!({"metadata": {"name": name}, "roleRef": {"kind": "ClusterRole", "name": role}, "subjects": subjects})
        };
        let rules = json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]);
        let state = state(&[
            ("clusterroles", json!({"metadata": {"name": "reader"}, "rules": rules})),
            ("clusterrolebindings", binding("a", "reader")),
            ("clusterrolebindings", binding("b", "gone")),
        ]);
        (state, User { name: "eve".into(), groups: vec!["x".into(), "y".into()], ..User::default() })
    }

    #[test]
    fn a_refusal_names_what_is_missing_and_nothing_else() {
        let (state, user) = of_eve();
        let rules = json!([
            {"verbs": ["get", "delete", "watch"], "apiGroups": [""], "resources": ["secrets", "pods"]},
            {"verbs": ["get"], "nonResourceURLs": ["/metrics"]},
        ]);
        let role = Object::new(json!({"metadata": {"name": "r"}, "rules": rules}));
        let refusal = refuses(&state, &user, "clusterroles", &role, None).unwrap();
        let missing = "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\" \"watch\"]}\n\
            {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"delete\" \"watch\"]}\n\
            {NonResourceURLs:[\"/metrics\"], Verbs:[\"get\"]}";
        let unresolved = "; resolution errors: [clusterrole.rbac.authorization.k8s.io \"gone\" not found]";
        let head = "clusterroles.rbac.authorization.k8s.io \"r\" is forbidden: user \"eve\" (groups=[\"x\" \"y\"]) ";
        assert_eq!(refusal.message, format!("{head}{BOUND}{missing}{unresolved}"));
    }

    #[test]
    fn who_gathers_rules_needs_all_of_them() {
        let (state, user) = of_eve();
        let selectors = json!([{"matchLabels": {"a": "b"}}]);
        let gathering = json!({"metadata": {"name": "r"}, "aggregationRule": {"clusterRoleSelectors": selectors}});
        let refusal = refuses(&state, &user, "clusterroles", &Object::new(gathering.clone()), None).unwrap();
        let why = "must have cluster-admin privileges to use the aggregationRule";
        assert_eq!(refusal.message, format!("clusterroles.rbac.authorization.k8s.io \"r\" is forbidden: {why}"));
        let mut released = gathering.clone();
        released["metadata"]["finalizers"] = json!(["example.com/x"]);
        let (new, old) = (Object::new(released), Object::new(gathering));
        assert!(refuses(&state, &user, "clusterroles", &new, Some(&old)).is_none());
    }

    #[test]
    fn a_role_that_is_not_there_is_not_found_by_who_may_not_bind() {
        let (state, user) = of_eve();
        let binding = |kind: &str| {
            let role = json!({"apiGroup": GROUP, "kind": kind, "name": "nobody"});
            Object::new(json!({"metadata": {"name": "b", "namespace": "n"}, "roleRef": role}))
        };
        let refusal = refuses(&state, &user, "rolebindings", &binding("Role"), None).unwrap();
        assert_eq!((refusal.code, refusal.message.as_str()), (404, "roles.rbac.authorization.k8s.io \"nobody\" not found"));
        let refusal = refuses(&state, &user, "rolebindings", &binding("Robe"), None).unwrap();
        assert_eq!((refusal.code, refusal.message.as_str()), (500, "unsupported role reference kind: \"Robe\""));
    }
}
