//! Roles and bindings: which rules are a user's, and what a rule allows.
//! Source: plugin/pkg/auth/authorizer/rbac/rbac.go, pkg/registry/rbac/validation/rule.go, pkg/apis/rbac/v1/evaluation_helpers.go.

use crate::api::status::quote;
use crate::api::tree::Tree;
use crate::api::{GroupResource, Json, Key, Object};
use crate::registry::User;
use crate::state::State;

use super::{Attributes, Verdict};

const GROUP: &str = "rbac.authorization.k8s.io";
const ACCOUNT: &str = "system:serviceaccount:";

/// Says yes where one of the user's rules does.
pub(super) fn authorize(state: &State, user: &User, attributes: &Attributes) -> Verdict {
    let mut errors = Vec::new();
    for grant in grants(state, user, &attributes.namespace) {
        match grant.rules {
            Ok(rules) => {
                if rules.iter().any(|rule| allows(rule, attributes)) {
                    return Verdict { allowed: true, reason: format!("RBAC: allowed by {}", grant.source) };
                }
            }
            Err(why) => errors.push(why),
        }
    }
    Verdict { allowed: false, reason: refused(&errors) }
}

fn refused(errors: &[String]) -> String {
    let mut distinct: Vec<&str> = Vec::new();
    for error in errors {
        if !distinct.contains(&error.as_str()) {
            distinct.push(error);
        }
    }
    match distinct.as_slice() {
        [] => String::new(),
        [one] => format!("RBAC: {one}"),
        all => format!("RBAC: [{}]", all.join(", ")),
    }
}

/// The rules that one binding gives a user.
pub struct Grant {
    /// Which binding, of which role, to whom.
    pub source: String,
    /// `Err`: the role is not there.
    pub rules: Result<Vec<Json>, String>,
}

/// What the user's bindings give him in a namespace (empty: in none), those of the whole server first.
pub fn grants(state: &State, user: &User, namespace: &str) -> Vec<Grant> {
    let mut found = Vec::new();
    let of = |resource: &str| GroupResource::new(GROUP, resource);
    for binding in state.all(&of("clusterrolebindings")) {
        if let Some(subject) = subject(binding, user, "") {
            let source = source("ClusterRoleBinding", binding.name(), binding, subject, "");
            found.push(Grant { source, rules: rules(state, binding, "") });
        }
    }
    if namespace.is_empty() {
        return found;
    }
    for binding in state.in_namespace(&of("rolebindings"), namespace) {
        if let Some(subject) = subject(binding, user, namespace) {
            let name = format!("{}/{}", binding.name(), binding.namespace());
            let source = source("RoleBinding", &name, binding, subject, namespace);
            found.push(Grant { source, rules: rules(state, binding, namespace) });
        }
    }
    found
}

fn source(kind: &str, name: &str, binding: &Object, subject: &Json, namespace: &str) -> String {
    let role = binding.json().field("roleRef");
    let who = match subject.text("kind") {
        "ServiceAccount" => {
            let own = subject.text("namespace");
            format!("{}/{}", subject.text("name"), if own.is_empty() { namespace } else { own })
        }
        _ => subject.text("name").to_owned(),
    };
    format!(
        "{kind} {} of {} {} to {} {}",
        quote(name),
        role.text("kind"),
        quote(role.text("name")),
        subject.text("kind"),
        quote(&who)
    )
}

/// The subject of a binding that is the user.
fn subject<'a>(binding: &'a Object, user: &User, namespace: &str) -> Option<&'a Json> {
    binding.json().list("subjects").iter().find(|subject| is_user(subject, user, namespace))
}

fn is_user(subject: &Json, user: &User, namespace: &str) -> bool {
    let name = subject.text("name");
    match subject.text("kind") {
        "User" => user.name == name,
        "Group" => user.groups.iter().any(|group| group == name),
        "ServiceAccount" => {
            let own = subject.text("namespace");
            let namespace = if own.is_empty() { namespace } else { own };
            let rest = user.name.strip_prefix(ACCOUNT).unwrap_or("");
            !namespace.is_empty() && rest.split_once(':') == Some((namespace, name))
        }
        _ => false,
    }
}

/// The rules of the role that a binding names.
fn rules(state: &State, binding: &Object, namespace: &str) -> Result<Vec<Json>, String> {
    let role = binding.json().field("roleRef");
    let name = role.text("name");
    let key = match role.text("kind") {
        "ClusterRole" => Key::new(GroupResource::new(GROUP, "clusterroles"), "", name),
        "Role" => Key::new(GroupResource::new(GROUP, "roles"), namespace, name),
        kind => return Err(format!("unsupported role reference kind: {}", quote(kind))),
    };
    match state.get(&key) {
        Some(role) => Ok(role.json().list("rules").to_vec()),
        None => Err(format!("{}.{GROUP} {} not found", role.text("kind").to_lowercase(), quote(name))),
    }
}

/// Whether one rule allows it.
pub fn allows(rule: &Json, wanted: &Attributes) -> bool {
    let has = |field: &str, value: &str| rule.texts(field).into_iter().any(|v| v == "*" || v == value);
    if let Some(path) = &wanted.path {
        return has("verbs", &wanted.verb) && allows_path(rule, path);
    }
    has("verbs", &wanted.verb) && has("apiGroups", &wanted.group) && allows_resource(rule, wanted) && allows_name(rule, wanted)
}

fn allows_resource(rule: &Json, wanted: &Attributes) -> bool {
    let combined = wanted.combined();
    rule.texts("resources").into_iter().any(|resource| {
        let any_of_sub = !wanted.subresource.is_empty() && resource.strip_prefix("*/") == Some(wanted.subresource.as_str());
        resource == "*" || resource == combined || any_of_sub
    })
}

fn allows_name(rule: &Json, wanted: &Attributes) -> bool {
    let names = rule.texts("resourceNames");
    names.is_empty() || names.contains(&wanted.name.as_str())
}

fn allows_path(rule: &Json, path: &str) -> bool {
    rule.texts("nonResourceURLs").into_iter().any(|url| {
        url == "*" || url == path || (url.ends_with('*') && path.starts_with(url.trim_end_matches('*')))
    })
}
