//! `wl create role|clusterrole|rolebinding|clusterrolebinding`.
//! Source: k8s.io/kubectl/pkg/cmd/create/create_{role,clusterrole,rolebinding,clusterrolebinding}.go.

use std::collections::BTreeMap;

use serde_json::json;

use super::config::not_empty;
use super::making::{Making, required};
use crate::api::Json;
use crate::cli::{CliError, CliResult, Context};

const GROUP: &str = "rbac.authorization.k8s.io";
const RESOURCE_VERBS: &[&str] = &[
    "*", "get", "delete", "list", "create", "update", "patch", "watch", "proxy", "deletecollection", "use", "bind",
    "escalate", "impersonate",
];
const OTHER_VERBS: &[&str] = &["*", "get", "post", "put", "delete", "patch", "head", "options"];

/// Verbs that mean something for some resources only.
const SPECIAL_VERBS: &[(&str, &[(&str, &str)])] = &[
    ("use", &[("policy", "podsecuritypolicies"), ("extensions", "podsecuritypolicies")]),
    ("bind", &[(GROUP, "roles"), (GROUP, "clusterroles")]),
    ("escalate", &[(GROUP, "roles"), (GROUP, "clusterroles")]),
    (
        "impersonate",
        &[("", "users"), ("", "serviceaccounts"), ("", "groups"), ("authentication.k8s.io", "userextras")],
    ),
];

/// What a rule is about.
#[derive(clap::Args)]
struct Rule {
    /// What may be done
    #[arg(long, value_delimiter = ',')]
    verb: Vec<String>,
    /// To which resources: `pods`, `deployments.apps`, `pods/log`
    #[arg(long, value_delimiter = ',')]
    resource: Vec<String>,
    /// To the objects of these names only
    #[arg(long)]
    resource_name: Vec<String>,
}

struct Resource {
    group: String,
    name: String,
    subresource: String,
}

impl Rule {
    fn verbs(&self) -> Vec<String> {
        if self.verb.iter().any(|v| v == "*") { vec!["*".into()] } else { each_once(&self.verb) }
    }

    /// `RESOURCE[.GROUP][/SUBRESOURCE]`; `*` alone stands for all.
    fn resources(&self) -> Vec<Resource> {
        let mut all = Vec::new();
        for text in &self.resource {
            let (whole, subresource) = text.split_once('/').map_or((text.as_str(), None), |(w, s)| (w, Some(s)));
            let (name, group) = whole.split_once('.').map_or((whole, None), |(n, g)| (n, Some(g)));
            let resource = Resource {
                group: group.unwrap_or("").into(),
                name: name.into(),
                subresource: subresource.unwrap_or("").into(),
            };
            if name == "*" && group.is_none() && subresource.is_none() {
                return vec![resource];
            }
            all.push(resource);
        }
        all
    }

    fn warn_of_verbs(&self, ctx: &mut Context) {
        for verb in self.verbs().iter().filter(|v| !RESOURCE_VERBS.contains(&v.as_str())) {
            ctx.warn(&format!("'{verb}' is not a standard resource verb"));
        }
    }

    /// The resources under the names the server has for them, groups in order; what it does not have is an error.
    async fn known(&self, ctx: &mut Context) -> Result<BTreeMap<String, Vec<String>>, CliError> {
        let discovery = ctx.client().await?.discovery().await?;
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut anything = false;
        for resource in self.resources() {
            if resource.name.is_empty() {
                return Err(CliError::message("resource must be specified if apiGroup/subresource specified"));
            }
            anything |= resource.name == "*";
            let typed = if resource.group.is_empty() {
                resource.name.clone()
            } else {
                format!("{}.{}", resource.name, resource.group)
            };
            let found = discovery.lookup(&typed).map(|l| (l.found.group.clone(), l.found.resource.clone()));
            let is_known = found.is_some();
            let (group, name) = found.unwrap_or((resource.group.clone(), resource.name.clone()));
            if !anything && !self.is_special(&group, &name)? && !is_known {
                let group = if resource.group.is_empty() { String::new() } else { format!(".{}", resource.group) };
                return Err(CliError::no_resource_match(&format!("{}{group}", resource.name)));
            }
            let whole = if resource.subresource.is_empty() { name } else { format!("{name}/{}", resource.subresource) };
            let names = groups.entry(group).or_default();
            if !names.contains(&whole) {
                names.push(whole);
            }
        }
        Ok(groups)
    }

    /// Whether a verb that is for some resources only is for this one; such a verb on another is an error.
    fn is_special(&self, group: &str, name: &str) -> Result<bool, CliError> {
        let mut special = false;
        for verb in self.verbs() {
            let Some((_, allowed)) = SPECIAL_VERBS.iter().find(|(v, _)| *v == verb) else { continue };
            if !allowed.contains(&(group, name)) {
                return Err(CliError::message(format!("can not perform '{verb}' on '{name}' in group '{group}'")));
            }
            special = true;
        }
        Ok(special)
    }

    /// A rule for each group.
    async fn rules(&self, ctx: &mut Context) -> Result<Vec<Json>, CliError> {
        let (verbs, names) = (self.verbs(), each_once(&self.resource_name));
        let rule = |(group, resources): (String, Vec<String>)| json!({"verbs": verbs, "apiGroups": [group], "resources": resources, "resourceNames": names});
        Ok(self.known(ctx).await?.into_iter().map(rule).collect())
    }
}

fn each_once(words: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for word in words {
        if !all.contains(word) {
            all.push(word.clone());
        }
    }
    all
}

/// Create a Role with one rule
#[derive(clap::Args)]
pub struct Role {
    #[command(flatten)]
    making: Making,
    #[command(flatten)]
    rule: Rule,
}

impl Role {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let name = self.making.name()?;
        self.making.check(ctx)?;
        not_empty(name)?;
        if self.rule.verb.is_empty() {
            return Err(CliError::message("at least one verb must be specified"));
        }
        self.rule.warn_of_verbs(ctx);
        if self.rule.resource.is_empty() {
            return Err(CliError::message("at least one resource must be specified"));
        }
        let rules = self.rule.rules(ctx).await?;
        let metadata = self.making.metadata(ctx, name);
        let tree = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Role", "metadata": metadata, "rules": rules});
        self.making.make(ctx, "roles.rbac.authorization.k8s.io", tree, "").await
    }
}

/// Create a ClusterRole
#[derive(clap::Args)]
pub struct ClusterRole {
    #[command(flatten)]
    making: Making,
    #[command(flatten)]
    rule: Rule,
    /// Paths of the API that are no resources
    #[arg(long, value_delimiter = ',')]
    non_resource_url: Vec<String>,
    /// Take the rules of the ClusterRoles with these labels: `KEY=VALUE,…`
    #[arg(long, value_delimiter = ',')]
    aggregation_rule: Vec<String>,
}

impl ClusterRole {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let name = self.making.name()?;
        self.making.check(ctx)?;
        not_empty(name)?;
        let mut tree = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRole", "metadata": {"name": name}, "rules": []});
        if self.aggregation_rule.is_empty() {
            self.check(ctx)?;
            let mut rules = self.rule.rules(ctx).await?;
            if !self.non_resource_url.is_empty() {
                rules.push(json!({"verbs": self.rule.verbs(), "nonResourceURLs": each_once(&self.non_resource_url)}));
            }
            tree["rules"] = rules.into();
        } else {
            tree["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": self.aggregated()?}]});
            // Rules that the controller has not gathered yet are none, not an empty list.
            tree["rules"] = Json::Null;
        }
        self.making.make(ctx, "clusterroles.rbac.authorization.k8s.io", tree, "").await
    }

    fn aggregated(&self) -> Result<BTreeMap<&str, &str>, CliError> {
        let rule = &self.rule;
        if ![&self.non_resource_url, &rule.verb, &rule.resource, &rule.resource_name].iter().all(|l| l.is_empty()) {
            return Err(CliError::message(
                "aggregation rule must be specified without nonResourceURLs, verbs, resources or resourceNames",
            ));
        }
        let pair = |text: &'_ str| CliError::message(format!("malformed pair, expect string=string: {text}"));
        self.aggregation_rule.iter().map(|text| text.split_once('=').ok_or_else(|| pair(text))).collect()
    }

    fn check(&self, ctx: &mut Context) -> Result<(), CliError> {
        let fail = |text: String| Err(CliError::message(text));
        if self.rule.verb.is_empty() {
            return fail("at least one verb must be specified".into());
        }
        if self.rule.resource.is_empty() && self.non_resource_url.is_empty() {
            return fail("one of resource or nonResourceURL must be specified".into());
        }
        if !self.rule.resource.is_empty() {
            self.rule.warn_of_verbs(ctx);
        }
        if self.non_resource_url.is_empty() {
            return Ok(());
        }
        if let Some(verb) = self.rule.verbs().iter().find(|v| !OTHER_VERBS.contains(&v.as_str())) {
            return fail(format!("invalid verb: '{verb}' for nonResourceURL"));
        }
        for url in self.non_resource_url.iter().filter(|u| *u != "*") {
            if !url.starts_with('/') {
                return fail("nonResourceURL should start with /".into());
            }
            if url.char_indices().any(|(at, c)| c == '*' && at + 1 < url.len()) {
                return fail("nonResourceURL only supports wildcard matches when '*' is at the end".into());
            }
        }
        Ok(())
    }
}

/// Whom a role is bound to.
#[derive(clap::Args)]
struct Subjects {
    /// Users; may be repeated
    #[arg(long)]
    user: Vec<String>,
    /// Groups; may be repeated
    #[arg(long)]
    group: Vec<String>,
    /// ServiceAccounts, `NAMESPACE:NAME`; may be repeated
    #[arg(long)]
    serviceaccount: Vec<String>,
}

impl Subjects {
    fn all(&self) -> Result<Vec<Json>, CliError> {
        let of = |kind: &str, name: &String| json!({"kind": kind, "apiGroup": GROUP, "name": name});
        let mut all: Vec<Json> = self.user.iter().map(|name| of("User", name)).collect();
        all.extend(self.group.iter().map(|name| of("Group", name)));
        for account in &self.serviceaccount {
            let [namespace, name] = account.split(':').collect::<Vec<_>>()[..] else { return Err(no_account()) };
            if namespace.is_empty() || name.is_empty() {
                return Err(no_account());
            }
            all.push(json!({"kind": "ServiceAccount", "namespace": namespace, "name": name}));
        }
        Ok(all)
    }
}

fn no_account() -> CliError {
    CliError::message("serviceaccount must be <namespace>:<name>")
}

/// Create a RoleBinding
#[derive(clap::Args)]
pub struct RoleBinding {
    #[command(flatten)]
    making: Making,
    /// The ClusterRole it binds
    #[arg(long, default_value = "", hide_default_value = true)]
    clusterrole: String,
    /// The Role it binds
    #[arg(long, default_value = "", hide_default_value = true)]
    role: String,
    #[command(flatten)]
    subjects: Subjects,
}

impl RoleBinding {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let name = self.making.name()?;
        self.making.check(ctx)?;
        not_empty(name)?;
        let (kind, role) = match (self.role.as_str(), self.clusterrole.as_str()) {
            ("", "") => return Err(CliError::message("exactly one of clusterrole or role must be specified")),
            (role, "") => ("Role", role),
            ("", role) => ("ClusterRole", role),
            _ => return Err(CliError::message("exactly one of clusterrole or role must be specified")),
        };
        let metadata = self.making.metadata(ctx, name);
        let tree = binding("RoleBinding", metadata, (kind, role), &self.subjects)?;
        self.making.make(ctx, "rolebindings.rbac.authorization.k8s.io", tree, "failed to create rolebinding:").await
    }
}

/// Create a ClusterRoleBinding
#[derive(clap::Args)]
pub struct ClusterRoleBinding {
    #[command(flatten)]
    making: Making,
    /// The ClusterRole it binds
    #[arg(long)]
    clusterrole: Option<String>,
    #[command(flatten)]
    subjects: Subjects,
}

impl ClusterRoleBinding {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        required(&[("clusterrole", self.clusterrole.is_some())])?;
        let name = self.making.name()?;
        self.making.check(ctx)?;
        let role = self.clusterrole.as_deref().unwrap_or("");
        let tree = binding("ClusterRoleBinding", json!({"name": name}), ("ClusterRole", role), &self.subjects)?;
        let resource = "clusterrolebindings.rbac.authorization.k8s.io";
        self.making.make(ctx, resource, tree, "failed to create clusterrolebinding:").await
    }
}

fn binding(kind: &str, metadata: Json, (role_kind, role): (&str, &str), subjects: &Subjects) -> Result<Json, CliError> {
    Ok(json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": metadata,
        "roleRef": {"apiGroup": GROUP, "kind": role_kind, "name": role},
        "subjects": subjects.all()?,
    }))
}
