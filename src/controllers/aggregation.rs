//! ClusterRoles that are made of others: their rules are those of all that their selectors name.
//! Source: pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go.

use serde_json::json;

use super::{Context, Controller, Decision, Write};
use crate::api::selector::LabelSelector;
use crate::api::tree::Tree;
use crate::api::{GroupResource, Json, Key, Object};
use crate::state::{Change, State};

/// Keeps them in step.
pub struct Aggregation;

fn roles() -> GroupResource {
    GroupResource::new("rbac.authorization.k8s.io", "clusterroles")
}

fn selectors(role: &Object) -> Vec<LabelSelector> {
    let selectors = role.json().field("aggregationRule").list("clusterRoleSelectors");
    selectors.iter().filter_map(|selector| LabelSelector::of(Some(selector)).ok()).collect()
}

/// The rules that a role should have, each once.
fn rules(state: &State, role: &Object) -> Vec<Json> {
    let mut found: Vec<Json> = Vec::new();
    for selector in selectors(role) {
        // Roles come in order of their names.
        for other in state.all(&roles()).filter(|other| other.name() != role.name() && selector.matches(other)) {
            for rule in other.json().list("rules") {
                if !found.contains(rule) {
                    found.push(rule.clone());
                }
            }
        }
    }
    found
}

impl Controller for Aggregation {
    fn name(&self) -> &'static str {
        "clusterrole-aggregation-controller"
    }

    fn wakes(&self, state: &State, change: &Change) -> Vec<Key> {
        if change.key.resource != roles() {
            return Vec::new();
        }
        let all = roles();
        let aggregates = state.all(&all).filter(|role| role.at("/aggregationRule").is_some_and(Json::is_object));
        aggregates.map(|role| Key::new(roles(), "", role.name())).collect()
    }

    fn reconcile(&self, state: &State, key: &Key, _context: &mut Context<'_>) -> Decision {
        let Some(role) = state.get(key).filter(|role| !role.is_deleting()) else { return Decision::default() };
        let rules = rules(state, role);
        if !role.at("/aggregationRule").is_some_and(Json::is_object) || role.json().list("rules") == rules {
            return Decision::default();
        }
        let patch = json!({"rules": rules});
        Decision { writes: vec![Write::Patch { key: key.clone(), subresource: None, patch }], wake_at: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing;

    fn state(of: &[(&str, Json)]) -> State {
        let mut state = State::new();
        for (name, rest) in of {
            let mut tree = rest.clone();
            tree["metadata"]["name"] = json!(name);
            tree["kind"] = "ClusterRole".into();
            state.put(Key::new(roles(), "", name), Object::new(tree));
        }
        state
    }

    #[test]
    fn takes_each_rule_of_the_selected_roles_once() {
        let pods = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]});
        let jobs = json!({"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]});
        let state = state(&[
            ("all", json!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"in": "all"}}]}, "rules": []})),
            ("a", json!({"metadata": {"labels": {"in": "all"}}, "rules": [pods]})),
            ("b", json!({"metadata": {"labels": {"in": "all"}}, "rules": [pods, jobs]})),
            ("c", json!({"rules": [{"verbs": ["*"]}]})),
        ]);
        let role = state.get(&Key::new(roles(), "", "all")).unwrap();
        assert_eq!(rules(&state, role), [pods, jobs]);
        let written = |name: &str| {
            let writes = testing::look(&Aggregation, &state, &Key::new(roles(), "", name));
            writes.into_iter().map(|write| format!("{write:?}").contains("\"batch\"")).collect::<Vec<_>>()
        };
        assert_eq!(written("all"), [true]);
        assert_eq!(written("a"), [false; 0], "it is made of nothing");
    }

    #[test]
    fn a_role_that_changes_wakes_those_that_are_made_of_others() {
        let state = state(&[("all", json!({"aggregationRule": {}})), ("a", json!({"aggregationRule": null})), ("b", json!({}))]);
        let woken = |resource: GroupResource| {
            let change = Change { revision: 1, key: Key::new(resource, "", "b"), before: None, after: None };
            Aggregation.wakes(&state, &change)
        };
        assert_eq!(woken(roles()), [Key::new(roles(), "", "all")]);
        assert_eq!(woken(GroupResource::new("", "pods")), []);
    }
}
