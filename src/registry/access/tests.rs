use serde_json::json;

use super::*;
use crate::api::{GroupResource, Json, Key, Object};

const GROUP: &str = "rbac.authorization.k8s.io";

fn state(objects: &[Json]) -> State {
    let mut state = State::new();
    for tree in objects {
        let object = Object::new(tree.clone());
        let resource = format!("{}s", object.kind().to_lowercase());
        let key = Key::new(GroupResource::new(GROUP, &resource), object.namespace(), object.name());
        state.put(key, object);
    }
    state
}

fn role(kind: &str, namespace: &str, rules: Json) -> Json {
    let mut metadata = json!({"name": "reader"});
    if !namespace.is_empty() {
        metadata["namespace"] = namespace.into();
    }
    json!({"kind": kind, "metadata": metadata, "rules": rules})
}

fn binding(kind: &str, namespace: &str, of: &str, subject: Json) -> Json {
    let mut metadata = json!({"name": "b"});
    if !namespace.is_empty() {
        metadata["namespace"] = namespace.into();
    }
    json!({"kind": kind, "metadata": metadata, "roleRef": {"apiGroup": GROUP, "kind": of, "name": "reader"}, "subjects": [subject]})
}

fn account() -> User {
    User { name: "system:serviceaccount:n:app".into(), groups: vec!["system:serviceaccounts".into()], ..User::default() }
}

fn wish(verb: &str, namespace: &str, resource: &str, name: &str) -> Attributes {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Attributes {
        verb: verb.into(),
        namespace: namespace.into(),
        resource: resource.into(),
        subresource: subresource.into(),
        name: name.into(),
        ..Attributes::default()
    }
}

fn pods(verbs: &[&str]) -> Json {
    json!([{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}])
}

#[test]
fn a_role_binding_counts_in_its_namespace_only() {
    let subject = json!({"kind": "ServiceAccount", "name": "app"});
    let state = state(&[role("ClusterRole", "", pods(&["get"])), binding("RoleBinding", "n", "ClusterRole", subject)]);
    let verdict = authorize(&state, &account(), &wish("get", "n", "pods", "p"));
    let why = "RBAC: allowed by RoleBinding \"b/n\" of ClusterRole \"reader\" to ServiceAccount \"app/n\"";
    assert_eq!(verdict, Verdict { allowed: true, reason: why.into() });
    for other in [wish("get", "m", "pods", "p"), wish("get", "", "pods", "p"), wish("list", "n", "pods", "")] {
        assert!(!authorize(&state, &account(), &other).allowed, "{other:?}");
    }
}

#[test]
fn a_subresource_is_no_part_of_its_resource() {
    let rules = json!([{"apiGroups": [""], "resources": ["pods", "*/scale"], "verbs": ["*"]}]);
    let subject = json!({"kind": "Group", "name": "system:serviceaccounts"});
    let state = state(&[role("ClusterRole", "", rules), binding("ClusterRoleBinding", "", "ClusterRole", subject)]);
    let may = |resource| authorize(&state, &account(), &wish("create", "n", resource, "x")).allowed;
    assert!(may("pods") && may("deployments/scale"));
    assert!(!may("pods/exec") && !may("deployments"));
}

#[test]
fn named_resources_are_those_alone() {
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"], "verbs": ["get", "list"]}]);
    let subject = json!({"kind": "User", "name": "system:serviceaccount:n:app"});
    let state = state(&[role("Role", "n", rules), binding("RoleBinding", "n", "Role", subject)]);
    assert!(authorize(&state, &account(), &wish("get", "n", "secrets", "a")).allowed);
    assert!(!authorize(&state, &account(), &wish("get", "n", "secrets", "b")).allowed);
    assert!(!authorize(&state, &account(), &wish("list", "n", "secrets", "")).allowed);
}

#[test]
fn paths_end_in_a_star_at_most() {
    let rules = json!([{"nonResourceURLs": ["/healthz", "/apis/*"], "verbs": ["get"]}]);
    let subject = json!({"kind": "Group", "name": "system:serviceaccounts"});
    let state = state(&[role("ClusterRole", "", rules), binding("ClusterRoleBinding", "", "ClusterRole", subject)]);
    let may = |path: &str| {
        let wish = Attributes { verb: "get".into(), path: Some(path.into()), ..Attributes::default() };
        authorize(&state, &account(), &wish).allowed
    };
    assert!(may("/healthz") && may("/apis/apps"));
    assert!(!may("/healthz/x") && !may("/apis") && !may("/version"));
}

#[test]
fn a_refusal_names_who_what_and_where() {
    let subject = json!({"kind": "ServiceAccount", "name": "app"});
    let state = state(&[binding("RoleBinding", "n", "Role", subject)]);
    let wish = wish("list", "n", "pods/log", "");
    let verdict = authorize(&state, &account(), &wish);
    let status = wish.refusal(&account(), &verdict.reason);
    assert_eq!(
        status.message,
        "pods is forbidden: User \"system:serviceaccount:n:app\" cannot list resource \"pods/log\" in API group \"\" \
         in the namespace \"n\": RBAC: role.rbac.authorization.k8s.io \"reader\" not found"
    );
}

#[test]
fn masters_need_no_rules() {
    let owner = User { groups: vec![MASTERS.into()], ..User::default() };
    assert!(authorize(&State::new(), &owner, &wish("delete", "n", "secrets", "a")).allowed);
    assert!(!authorize(&State::new(), &account(), &wish("get", "n", "pods", "a")).allowed);
}
