//! Whether a Role, ClusterRole or a binding may be. Source: pkg/apis/rbac/validation/validation.go.

use super::field::{self, Errors, Path};
use super::{meta, names, rules, selector};
use crate::api::tree::Tree;
use crate::api::{Json, Object};

const GROUP: &str = "rbac.authorization.k8s.io";

pub fn role(object: &Object) -> Errors {
    let mut errors = meta::create(object, true, names::path_segment);
    errors.extend(policy_rules(object, true));
    errors
}

pub fn cluster_role(object: &Object) -> Errors {
    let mut errors = meta::create(object, false, names::path_segment);
    errors.extend(policy_rules(object, false));
    let aggregation = object.json().field("aggregationRule");
    if aggregation.is_null() {
        return errors;
    }
    let path = Path::new("aggregationRule").child("clusterRoleSelectors");
    let selectors = aggregation.list("clusterRoleSelectors");
    if selectors.is_empty() {
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(field::required(&path, detail));
    }
    for (i, item) in selectors.iter().enumerate() {
        errors.extend(selector::label_selector(Some(item), &path.index(i)));
        if rules::selects(item, &Json::Null).is_none() {
            errors.push(field::invalid(&path.index(i), Json::Null, "invalid label selector."));
        }
    }
    errors
}

/// The rules for the new object are asked by the strategy and again with those for its metadata.
pub fn update(new: &Object, old: &Object, create: fn(&Object) -> Errors) -> Errors {
    let mut errors = create(new);
    errors.extend(create(new));
    errors.extend(meta::update(new, old));
    errors
}

fn policy_rules(object: &Object, namespaced: bool) -> Errors {
    let rules = object.json().list("rules").iter().enumerate();
    rules.flat_map(|(i, rule)| policy_rule(rule, namespaced, &Path::new("rules").index(i))).collect()
}

fn policy_rule(rule: &Json, namespaced: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if rule.list("verbs").is_empty() {
        errors.push(field::required(&path.child("verbs"), "verbs must contain at least one value"));
    }
    if !rule.list("nonResourceURLs").is_empty() {
        let (urls, path) = (rule.field("nonResourceURLs"), path.child("nonResourceURLs"));
        if namespaced {
            let detail = "namespaced rules cannot apply to non-resource URLs";
            errors.push(field::invalid(&path, urls.clone(), detail));
        }
        if ["apiGroups", "resources", "resourceNames"].iter().any(|name| !rule.list(name).is_empty()) {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(field::invalid(&path, urls.clone(), detail));
        }
        return errors;
    }
    if rule.list("apiGroups").is_empty() {
        let detail = "resource rules must supply at least one api group";
        errors.push(field::required(&path.child("apiGroups"), detail));
    }
    if rule.list("resources").is_empty() {
        let detail = "resource rules must supply at least one resource";
        errors.push(field::required(&path.child("resources"), detail));
    }
    errors
}

pub fn role_binding(object: &Object) -> Errors {
    binding(object, true, &["Role", "ClusterRole"])
}

pub fn cluster_role_binding(object: &Object) -> Errors {
    binding(object, false, &["ClusterRole"])
}

fn binding(object: &Object, namespaced: bool, kinds: &[&str]) -> Errors {
    let (role, path) = (object.json().field("roleRef"), Path::new("roleRef"));
    let mut errors = meta::create(object, namespaced, names::path_segment);
    if role.text("apiGroup") != GROUP {
        errors.push(field::not_supported(&path.child("apiGroup"), role.text("apiGroup"), &[GROUP]));
    }
    if !kinds.contains(&role.text("kind")) {
        errors.push(field::not_supported(&path.child("kind"), role.text("kind"), kinds));
    }
    let name = role.text("name");
    if name.is_empty() {
        errors.push(field::required(&path.child("name"), ""));
    } else {
        errors.extend(rules::each(&path.child("name"), name, names::path_segment(name, false)));
    }
    for (i, subject) in object.json().list("subjects").iter().enumerate() {
        errors.extend(self::subject(subject, namespaced, &Path::new("subjects").index(i)));
    }
    errors
}

fn subject(subject: &Json, namespaced: bool, path: &Path) -> Errors {
    const KINDS: &[&str] = &["ServiceAccount", "User", "Group"];
    let (name, group) = (subject.text("name"), subject.text("apiGroup"));
    let mut errors = Errors::new();
    if name.is_empty() {
        errors.push(field::required(&path.child("name"), ""));
    }
    match subject.text("kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                errors.extend(rules::each(&path.child("name"), name, names::dns1123_subdomain(name)));
            }
            if !group.is_empty() {
                errors.push(field::not_supported(&path.child("apiGroup"), group, &[""]));
            }
            if !namespaced && subject.text("namespace").is_empty() {
                errors.push(field::required(&path.child("namespace"), ""));
            }
        }
        "User" | "Group" if group != GROUP => {
            errors.push(field::not_supported(&path.child("apiGroup"), group, &[GROUP]));
        }
        "User" | "Group" => {}
        other => errors.push(field::not_supported(&path.child("kind"), other, KINDS)),
    }
    errors
}

/// A binding stays with its role.
pub fn binding_update(new: &Object, old: &Object, create: fn(&Object) -> Errors) -> Errors {
    let mut errors = update(new, old, create);
    let (role, old_role) = (new.json().field("roleRef"), old.json().field("roleRef"));
    if role != old_role {
        errors.push(rules::invalid_struct(&Path::new("roleRef"), "RoleRef", role, "cannot change roleRef"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_changed_object_is_asked_its_rules_twice() {
        let binding = |role: Json, subject: &str| {
            let subjects = json!([{"kind": "User", "apiGroup": GROUP, "name": subject}]);
            let metadata = json!({"name": "b", "namespace": "n", "resourceVersion": "1"});
            Object::new(json!({"metadata": metadata, "roleRef": role, "subjects": subjects}))
        };
        let role = |name: &str| json!({"apiGroup": GROUP, "kind": "Role", "name": name});
        let errors = binding_update(&binding(role("z"), ""), &binding(role("r"), "u"), role_binding);
        let shown: Vec<String> = errors.iter().map(|e| format!("{}: {}", e.field, e.message)).collect();
        let changed = format!("Invalid value: {{\"APIGroup\":{GROUP:?},\"Kind\":\"Role\",\"Name\":\"z\"}}");
        let subject = "subjects[0].name: Required value";
        assert_eq!(shown, [subject, subject, &format!("roleRef: {changed}: cannot change roleRef")]);
    }
}
