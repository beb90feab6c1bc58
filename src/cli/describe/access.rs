//! Roles and who has them.
//! Source: k8s.io/kubectl/pkg/describe/describe.go (`RoleDescriber`), k8s.io/kubectl/pkg/util/rbac/rbac.go.

use std::collections::BTreeMap;

use super::Related;
use super::document::Document;
use crate::api::Json;
use crate::api::tree::Tree;

/// A rule about one resource, or one path; or one that names several verbs after rules were joined.
#[derive(Clone, Debug, PartialEq)]
struct Rule {
    group: Option<String>,
    resource: Option<String>,
    name: Option<String>,
    path: Option<String>,
    verbs: Vec<String>,
}

pub fn role(doc: &mut Document, object: &Json, _: &Related) {
    doc.name(object);
    doc.marks(object);
    doc.line(0, "PolicyRule:");
    doc.line(1, "Resources\tNon-Resource URLs\tResource Names\tVerbs");
    doc.line(1, "---------\t-----------------\t--------------\t-----");
    for row in rows(object.list("rules").iter()) {
        doc.line(1, &row.join("\t"));
    }
}

/// Rules as rows of resource, path, name and verbs.
pub fn rows<'r>(rules: impl Iterator<Item = &'r Json>) -> Vec<[String; 4]> {
    let list = |item: &Option<String>| format!("[{}]", item.as_deref().unwrap_or(""));
    let show = |rule: Rule| [rule.about(), list(&rule.path), list(&rule.name), format!("[{}]", rule.verbs.join(" "))];
    joined(rules.flat_map(taken_apart)).into_iter().map(show).collect()
}

impl Rule {
    /// `deployments.apps/scale`
    fn about(&self) -> String {
        let Some(resource) = &self.resource else { return String::new() };
        let (resource, subresource) = match resource.split_once('/') {
            Some((resource, subresource)) => (resource, format!("/{subresource}")),
            None => (resource.as_str(), String::new()),
        };
        match self.group.as_deref() {
            None | Some("") => format!("{resource}{subresource}"),
            Some(group) => format!("{resource}.{group}{subresource}"),
        }
    }

    /// Where it stands among others: as the text of the Go struct does.
    fn order(&self) -> String {
        let list = |item: &Option<String>| format!("[{}]", item.as_deref().unwrap_or(""));
        format!(
            "&PolicyRule{{Verbs:[{}],APIGroups:{},Resources:{},ResourceNames:{},NonResourceURLs:{},}}",
            self.verbs.join(" "),
            list(&self.group),
            list(&self.resource),
            list(&self.name),
            list(&self.path)
        )
    }
}

/// Rules with one verb and one resource, name or path each. Source: `BreakdownRule`.
fn taken_apart(rule: &Json) -> Vec<Rule> {
    let mut rules = Vec::new();
    let texts = |field: &str| rule.texts(field).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let names: Vec<Option<String>> = match texts("resourceNames") {
        names if names.is_empty() => vec![None],
        names => names.into_iter().map(Some).collect(),
    };
    for group in texts("apiGroups") {
        for resource in texts("resources") {
            for verb in texts("verbs") {
                rules.extend(names.iter().map(|name| Rule {
                    group: Some(group.clone()),
                    resource: Some(resource.clone()),
                    name: name.clone(),
                    path: None,
                    verbs: vec![verb.clone()],
                }));
            }
        }
    }
    for path in texts("nonResourceURLs") {
        let of = |verb: String| Rule { group: None, resource: None, name: None, path: Some(path.clone()), verbs: vec![verb] };
        rules.extend(texts("verbs").into_iter().map(of));
    }
    rules
}

/// Rules about the same resource and name as one, in order. Source: `CompactRules`.
fn joined(rules: impl Iterator<Item = Rule>) -> Vec<Rule> {
    let mut alone = Vec::new();
    let mut simple: BTreeMap<_, Rule> = BTreeMap::new();
    for rule in rules {
        if rule.path.is_some() {
            alone.push(rule);
            continue;
        }
        let key = (rule.group.clone(), rule.resource.clone(), rule.name.clone());
        match simple.get_mut(&key) {
            None => {
                simple.insert(key, rule);
            }
            Some(known) => rule.verbs.into_iter().for_each(|verb| {
                if !known.verbs.contains(&verb) {
                    known.verbs.push(verb);
                }
            }),
        }
    }
    alone.extend(simple.into_values());
    alone.sort_by_key(Rule::order);
    alone
}

pub fn binding(doc: &mut Document, object: &Json, _: &Related) {
    let role = object.field("roleRef");
    doc.name(object);
    doc.marks(object);
    doc.line(0, "Role:");
    doc.field(1, "Kind", role.text("kind"));
    doc.field(1, "Name", role.text("name"));
    doc.line(0, "Subjects:");
    doc.line(1, "Kind\tName\tNamespace");
    doc.line(1, "----\t----\t---------");
    for subject in object.list("subjects") {
        doc.line(1, &format!("{}\t{}\t{}", subject.text("kind"), subject.text("name"), subject.text("namespace")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_about_one_resource_become_one() {
        let rules = json!([
            {"apiGroups": ["", "apps"], "resources": ["deployments/scale"], "verbs": ["get", "list"]},
            {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["list", "watch"]},
            {"nonResourceURLs": ["/metrics"], "verbs": ["get", "post"]},
        ]);
        let shown: Vec<String> = joined(rules.as_array().unwrap().iter().flat_map(taken_apart))
            .iter()
            .map(|r| format!("{} {:?} {}", r.about(), r.path, r.verbs.join(",")))
            .collect();
        assert_eq!(shown, [
            "deployments.apps/scale None get,list,watch",
            "deployments/scale None get,list",
            " Some(\"/metrics\") get",
            " Some(\"/metrics\") post",
        ]);
    }
}
