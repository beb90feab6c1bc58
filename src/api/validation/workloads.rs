//! Whether a Deployment, ReplicaSet, ReplicationController, StatefulSet or DaemonSet may be.
//! Source: pkg/apis/apps/validation/validation.go; ReplicationController: pkg/apis/core/validation/validation.go.

use super::field::{self, Errors, Path};
use super::rules::{self, SELECTOR_MISMATCH, not_negative_at};
use super::{claim, meta, names, pod, selector, statuses};
use crate::api::tree::Tree;
use crate::api::{Json, Object};

const ALWAYS: &[&str] = &["Always"];

pub fn deployment(object: &Object) -> Errors {
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    errors.extend(deployment_spec(object.json().field("spec"), None));
    errors
}

pub fn deployment_update(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    errors.extend(deployment_spec(new.json().field("spec"), Some(old.json().field("spec"))));
    // The strategy of the registry adds this one (pkg/registry/apps/deployment/strategy.go).
    errors.extend(selector_unchanged(new, old));
    errors
}

/// The selector of Deployments, ReplicaSets and DaemonSets stays what it was.
fn selector_unchanged(new: &Object, old: &Object) -> Errors {
    let (new, old) = (new.json().field("spec").field("selector"), old.json().field("spec").field("selector"));
    rules::immutable(&Path::new("spec").child("selector"), "LabelSelector", new, old)
}

fn deployment_spec(spec: &Json, old: Option<&Json>) -> Errors {
    let path = Path::new("spec");
    let mut errors = not_negative_at(spec, &path, "replicas");
    errors.extend(selector_and_template(spec, old, &path, "empty selector is invalid for deployment"));
    errors.extend(deployment_strategy(spec.field("strategy"), &path.child("strategy")));
    errors.extend(not_negative_at(spec, &path, "minReadySeconds"));
    errors.extend(not_negative_at(spec, &path, "revisionHistoryLimit"));
    if let Some(deadline) = spec.opt_int("progressDeadlineSeconds") {
        let path = path.child("progressDeadlineSeconds");
        errors.extend(rules::not_negative(&path, deadline));
        if deadline <= spec.int("minReadySeconds") {
            errors.push(field::invalid(&path, deadline, "must be greater than minReadySeconds"));
        }
    }
    errors
}

fn deployment_strategy(strategy: &Json, path: &Path) -> Errors {
    match strategy.text("type") {
        "Recreate" if strategy.has("rollingUpdate") => {
            let detail = "may not be specified when strategy `type` is 'Recreate'";
            vec![field::forbidden(&path.child("rollingUpdate"), detail)]
        }
        "Recreate" => Errors::new(),
        "RollingUpdate" => rolling_deployment(strategy.field("rollingUpdate"), &path.child("rollingUpdate")),
        _ => vec![rules::not_supported_struct(path, "DeploymentStrategy", strategy, &["Recreate", "RollingUpdate"])],
    }
}

fn rolling_deployment(rolling: &Json, path: &Path) -> Errors {
    if rolling.is_null() {
        return vec![field::required(path, "this should be defaulted and never be nil")];
    }
    let (unavailable, surge) = (rolling.field("maxUnavailable"), rolling.field("maxSurge"));
    let unavailable_path = path.child("maxUnavailable");
    let mut errors = rules::int_or_percent(&unavailable_path, unavailable);
    errors.extend(rules::int_or_percent(&path.child("maxSurge"), surge));
    if rules::int_or_percent_value(unavailable) == 0 && rules::int_or_percent_value(surge) == 0 {
        let detail = "may not be 0 when `maxSurge` is 0";
        errors.push(field::invalid(&unavailable_path, unavailable.clone(), detail));
    }
    errors.extend(rules::at_most_100_percent(&unavailable_path, unavailable));
    errors
}

/// The selector is valid and not empty, and the template carries its labels.
fn selector_and_template(spec: &Json, old: Option<&Json>, path: &Path, empty: &str) -> Errors {
    let selector = spec.field("selector");
    let selector_path = path.child("selector");
    let mut errors = Errors::new();
    if selector.is_null() {
        errors.push(field::required(&selector_path, ""));
    } else {
        errors.extend(selector::label_selector(Some(selector), &selector_path));
        errors.extend(not_empty(selector, &selector_path, empty));
    }
    match rules::selects(selector, spec.field("template").field("metadata").field("labels")) {
        None => errors.push(rules::invalid_selector(&selector_path, selector, "invalid label selector")),
        Some(selection) => {
            let template_path = path.child("template");
            errors.extend(mismatch(spec.field("template"), selection, &template_path));
            errors.extend(template(spec, old, &template_path));
            errors.extend(runs_forever(spec.field("template"), &template_path, "ReplicaSet"));
        }
    }
    errors
}

fn not_empty(selector: &Json, path: &Path, detail: &str) -> Errors {
    if selector.entries("matchLabels").is_empty() && selector.list("matchExpressions").is_empty() {
        return vec![rules::invalid_selector(path, selector, detail)];
    }
    Errors::new()
}

fn mismatch(template: &Json, selection: rules::Selection, path: &Path) -> Errors {
    if selection.everything || selection.matches {
        return Errors::new();
    }
    let path = path.child("metadata").child("labels");
    vec![field::invalid(&path, template.field("metadata").field("labels").clone(), SELECTOR_MISMATCH)]
}

/// The rules of the template itself; what an old one already had stays allowed.
fn template(spec: &Json, old: Option<&Json>, path: &Path) -> Errors {
    pod::template(spec.field("template"), path, old.map(|old| old.field("template")))
}

/// Pods of these owners are restarted for ever.
fn runs_forever(template: &Json, path: &Path, owner: &str) -> Errors {
    let (spec, path) = (template.field("spec"), path.child("spec"));
    let mut errors = Errors::new();
    if spec.text("restartPolicy") != "Always" {
        errors.push(field::not_supported(&path.child("restartPolicy"), spec.text("restartPolicy"), ALWAYS));
    }
    if spec.has("activeDeadlineSeconds") {
        let detail = format!("activeDeadlineSeconds in {owner} is not Supported");
        errors.push(field::forbidden(&path.child("activeDeadlineSeconds"), &detail));
    }
    errors
}

pub fn replica_set(object: &Object) -> Errors {
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    errors.extend(replica_set_spec(object.json().field("spec"), None));
    errors
}

pub fn replica_set_update(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    errors.extend(replica_set_spec(new.json().field("spec"), Some(old.json().field("spec"))));
    errors.extend(selector_unchanged(new, old));
    errors
}

fn replica_set_spec(spec: &Json, old: Option<&Json>) -> Errors {
    let path = Path::new("spec");
    let mut errors = not_negative_at(spec, &path, "replicas");
    errors.extend(not_negative_at(spec, &path, "minReadySeconds"));
    errors.extend(selector_and_template(spec, old, &path, "empty selector is invalid for deployment"));
    errors
}

pub fn replication_controller(object: &Object) -> Errors {
    let spec = object.json().field("spec");
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    errors.extend(replication_controller_spec(spec, None));
    errors.extend(replication_controller_counts(spec));
    errors
}

/// The strategy asks the rules for a new one as well; those for its counts are declared, and asked once.
pub fn replication_controller_update(new: &Object, old: &Object) -> Errors {
    let (spec, old_spec) = (new.json().field("spec"), old.json().field("spec"));
    let mut errors = meta::create(new, true, names::name_is_subdomain);
    errors.extend(replication_controller_spec(spec, Some(old_spec)));
    errors.extend(meta::update(new, old));
    errors.extend(replication_controller_spec(spec, Some(old_spec)));
    errors.extend(replication_controller_counts(spec));
    errors
}

fn replication_controller_counts(spec: &Json) -> Errors {
    let path = Path::new("spec");
    let mut errors = not_negative_at(spec, &path, "replicas");
    errors.extend(not_negative_at(spec, &path, "minReadySeconds"));
    errors
}

fn replication_controller_spec(spec: &Json, old: Option<&Json>) -> Errors {
    let path = Path::new("spec");
    let mut errors = Errors::new();
    let wanted = spec.entries("selector");
    if wanted.is_empty() {
        errors.push(field::required(&path.child("selector"), ""));
    }
    let (template, template_path) = (spec.field("template"), path.child("template"));
    if template.is_null() {
        errors.push(field::required(&template_path, ""));
    } else {
        let labels = template.field("metadata").field("labels");
        let matches = wanted.iter().all(|(key, value)| labels.get(key) == Some(value));
        let selection = rules::Selection { everything: wanted.is_empty(), matches };
        errors.extend(mismatch(template, selection, &template_path));
        errors.extend(self::template(spec, old, &template_path));
        errors.extend(runs_forever(template, &template_path, "ReplicationController"));
    }
    errors
}

pub fn stateful_set(object: &Object) -> Errors {
    let mut errors = meta::create(object, true, names::name_is_label);
    errors.extend(stateful_set_spec(object.json().field("spec"), None));
    errors
}

pub fn stateful_set_update(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    let (new_spec, old_spec) = (new.json().field("spec"), old.json().field("spec"));
    errors.extend(stateful_set_spec(new_spec, Some(old_spec)));
    if fixed_part(new_spec) != fixed_part(old_spec) {
        let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                      'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                      'minReadySeconds' are forbidden";
        errors.push(field::forbidden(&Path::new("spec"), detail));
    }
    errors
}

/// What no update of a StatefulSet may change.
fn fixed_part(spec: &Json) -> Json {
    const FREE: &[&str] = &[
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let mut spec = spec.clone();
    for name in FREE {
        crate::api::tree::remove(&mut spec, name);
    }
    spec
}

fn stateful_set_spec(spec: &Json, old: Option<&Json>) -> Errors {
    let path = Path::new("spec");
    let mut errors = Errors::new();
    match spec.text("podManagementPolicy") {
        "OrderedReady" | "Parallel" => {}
        "" => errors.push(field::required(&path.child("podManagementPolicy"), "")),
        other => {
            let detail = "must be 'OrderedReady' or 'Parallel'";
            errors.push(field::invalid(&path.child("podManagementPolicy"), other, detail));
        }
    }
    errors.extend(stateful_strategy(spec.field("updateStrategy"), &path.child("updateStrategy")));
    errors.extend(retention(spec.field("persistentVolumeClaimRetentionPolicy"), &path));
    if old.is_none() {
        errors.extend(claim_templates(spec, &path));
    }
    errors.extend(not_negative_at(spec, &path, "replicas"));
    errors.extend(not_negative_at(spec, &path, "minReadySeconds"));
    if spec.has("ordinals") {
        errors.extend(not_negative_at(spec.field("ordinals"), &path.child("ordinals"), "start"));
    }
    let service = spec.text("serviceName");
    if old.is_none() && !service.is_empty() {
        errors.extend(rules::each(&path.child("serviceName"), service, names::dns1123_label(service)));
    }
    let (selector, selector_path) = (spec.field("selector"), path.child("selector"));
    if selector.is_null() {
        errors.push(field::required(&selector_path, ""));
    } else {
        errors.extend(selector::label_selector(Some(selector), &selector_path));
        errors.extend(not_empty(selector, &selector_path, "empty selector is invalid for statefulset"));
    }
    let (template, template_path) = (spec.field("template"), path.child("template"));
    match rules::selects(selector, template.field("metadata").field("labels")) {
        None => errors.push(rules::invalid_selector(&selector_path, selector, "")),
        Some(selection) => {
            errors.extend(mismatch(template, selection, &template_path));
            let old_template = old.map(with_claims);
            errors.extend(pod::template(&with_claims(spec), &template_path, old_template.as_ref()));
        }
    }
    errors.extend(runs_forever(template, &template_path, "StatefulSet"));
    errors
}

/// The template as its Pods will be: a volume for each claim template, in the place of one of the same name.
fn with_claims(spec: &Json) -> Json {
    let mut template = spec.field("template").clone();
    let names: Vec<&str> =
        spec.list("volumeClaimTemplates").iter().map(|claim| claim.field("metadata").text("name")).collect();
    if names.is_empty() || !template.field("spec").is_object() {
        return template;
    }
    let mut volumes = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for name in names.iter().filter(|name| seen.insert(**name)) {
        let source = serde_json::json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
        volumes.push(source);
    }
    volumes.extend(
        template.field("spec").list("volumes").iter().filter(|v| !seen.contains(v.text("name"))).cloned(),
    );
    template["spec"]["volumes"] = Json::Array(volumes);
    template
}

fn claim_templates(spec: &Json, path: &Path) -> Errors {
    let path = path.child("volumeClaimTemplates");
    let claims = spec.list("volumeClaimTemplates").iter().enumerate();
    claims.flat_map(|(i, item)| claim::spec(item.field("spec"), &path.index(i).child("spec"), None)).collect()
}

fn stateful_strategy(strategy: &Json, path: &Path) -> Errors {
    let rolling = strategy.field("rollingUpdate");
    let rolling_path = path.child("rollingUpdate");
    match strategy.text("type") {
        "" => vec![field::required(path, "")],
        "OnDelete" if !rolling.is_null() => {
            let detail = "only allowed for updateStrategy 'RollingUpdate'";
            vec![rules::invalid_struct(&rolling_path, "RollingUpdateStatefulSetStrategy", rolling, detail)]
        }
        "OnDelete" => Errors::new(),
        "RollingUpdate" if rolling.is_null() => Errors::new(),
        "RollingUpdate" => {
            let mut errors = not_negative_at(rolling, &rolling_path, "partition");
            if rolling.has("maxUnavailable") {
                let (value, path) = (rolling.field("maxUnavailable"), rolling_path.child("maxUnavailable"));
                errors.extend(rules::int_or_percent(&path, value));
                if rules::int_or_percent_value(value) == 0 {
                    errors.push(field::invalid(&path, value.clone(), "cannot be 0"));
                }
                errors.extend(rules::at_most_100_percent(&path, value));
            }
            errors
        }
        _ => {
            let detail = "must be 'RollingUpdate' or 'OnDelete'";
            vec![rules::invalid_struct(path, "StatefulSetUpdateStrategy", strategy, detail)]
        }
    }
}

fn retention(policy: &Json, path: &Path) -> Errors {
    if policy.is_null() {
        return Errors::new();
    }
    let path = path.child("persistentVolumeClaimRetentionPolicy");
    ["whenDeleted", "whenScaled"]
        .into_iter()
        .filter(|name| !matches!(policy.text(name), "Retain" | "Delete"))
        .map(|name| field::not_supported(&path.child(name), policy.text(name), &["Retain", "Delete"]))
        .collect()
}

pub fn daemon_set(object: &Object) -> Errors {
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    errors.extend(daemon_set_spec(object.json().field("spec"), None));
    errors
}

pub fn daemon_set_update(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    errors.extend(daemon_set_spec(new.json().field("spec"), Some(old.json().field("spec"))));
    errors.extend(selector_unchanged(new, old));
    errors
}

fn daemon_set_spec(spec: &Json, old: Option<&Json>) -> Errors {
    let path = Path::new("spec");
    let (selector, template) = (spec.field("selector"), spec.field("template"));
    let template_path = path.child("template");
    let mut errors = Errors::new();
    if !selector.is_null() {
        errors.extend(selector::label_selector(Some(selector), &path.child("selector")));
    }
    if let Some(selection) = rules::selects(selector, template.field("metadata").field("labels")) {
        let selection = rules::Selection { everything: false, ..selection };
        errors.extend(mismatch(template, selection, &template_path));
    }
    if !selector.is_null() {
        errors.extend(not_empty(selector, &path.child("selector"), "empty selector is invalid for daemonset"));
    }
    errors.extend(self::template(spec, old, &template_path));
    errors.extend(runs_forever(template, &template_path, "DaemonSet"));
    errors.extend(not_negative_at(spec, &path, "minReadySeconds"));
    errors.extend(daemon_strategy(spec.field("updateStrategy"), &path.child("updateStrategy")));
    errors.extend(not_negative_at(spec, &path, "revisionHistoryLimit"));
    errors
}

fn daemon_strategy(strategy: &Json, path: &Path) -> Errors {
    let (rolling, path_) = (strategy.field("rollingUpdate"), path.child("rollingUpdate"));
    match strategy.text("type") {
        "OnDelete" => Errors::new(),
        "RollingUpdate" if rolling.is_null() => vec![field::required(&path_, "")],
        "RollingUpdate" => rolling_daemons(rolling, &path_),
        _ => {
            vec![rules::not_supported_struct(path, "DaemonSetUpdateStrategy", strategy, &["RollingUpdate", "OnDelete"])]
        }
    }
}

fn rolling_daemons(rolling: &Json, path: &Path) -> Errors {
    let (unavailable, surge) = (rolling.field("maxUnavailable"), rolling.field("maxSurge"));
    let (unavailable_path, surge_path) = (path.child("maxUnavailable"), path.child("maxSurge"));
    let mut errors = rules::int_or_percent(&unavailable_path, unavailable);
    errors.extend(rules::int_or_percent(&surge_path, surge));
    errors.extend(rules::at_most_100_percent(&unavailable_path, unavailable));
    errors.extend(rules::at_most_100_percent(&surge_path, surge));
    match (rules::int_or_percent_value(unavailable) != 0, rules::int_or_percent_value(surge) != 0) {
        (true, true) => {
            let detail = "may not be set when maxUnavailable is non-zero";
            errors.push(field::invalid(&surge_path, surge.clone(), detail));
        }
        (false, false) => errors.push(field::required(&unavailable_path, "cannot be 0 when maxSurge is 0")),
        _ => {}
    }
    errors
}

/// Names that make odd Pods, templates that are odd, and a history limit below zero, which keeps all history.
pub fn warnings(new: &Object, old: Option<&Object>, names_pods: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if old.is_none() && names_pods {
        warnings.extend(statuses::pod_name_warning(new.name()));
    }
    if old.is_none_or(|old| old.generation() != new.generation()) {
        let template = new.json().field("spec").field("template");
        warnings.extend(pod::warnings::of_template(&Path::new("spec").child("template"), template));
    }
    warnings
}

/// A changed ReplicationController is warned about the template that it had: Kubernetes takes the two for each other.
/// Source: pkg/registry/core/replicationcontroller/strategy.go.
pub fn replication_controller_warnings(new: &Object, old: Option<&Object>) -> Vec<String> {
    match old {
        None => warnings(new, None, true),
        Some(old) => warnings(old, Some(new), true),
    }
}

/// What a StatefulSet is warned about besides.
pub fn stateful_set_warnings(new: &Object, old: Option<&Object>) -> Vec<String> {
    let mut warnings = warnings(new, old, false);
    let claims = new.json().field("spec").list("volumeClaimTemplates");
    for (i, item) in claims.iter().enumerate() {
        // Kubernetes names the place so: without the claim's `spec`, and as it is called in Go.
        let path = Path::new("spec").child("volumeClaimTemplates").index(i);
        let path = if old.is_none() { path } else { path.child("Spec") };
        warnings.extend(claim::spec_warnings(item.field("spec"), &path));
    }
    if new.i64_at("/spec/revisionHistoryLimit").unwrap_or(0) < 0 {
        let text = "spec.revisionHistoryLimit: a negative value retains all historical revisions; \
                    a value >= 0 is recommended";
        warnings.push(text.to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_of_a_stateful_set_are_warned_of_where_kubernetes_puts_them() {
        let claim = json!({"metadata": {"name": "a"}, "spec": {"resources": {"requests": {"storage": "1500m"}}}});
        let set = Object::new(json!({"metadata": {"name": "s"}, "spec": {"volumeClaimTemplates": [claim]}}));
        let told = "resources.requests[storage]: fractional byte value \"1500m\" is invalid, must be an integer";
        let at = "spec.volumeClaimTemplates[0]";
        assert_eq!(stateful_set_warnings(&set, None), [format!("{at}.{told}")]);
        assert_eq!(stateful_set_warnings(&set, Some(&set)), [format!("{at}.Spec.{told}")]);
    }

    #[test]
    fn changes_of_a_spec_bring_warnings_and_a_controllers_those_of_its_old_template() {
        let of = |label: &str, generation: i64| {
            let template = json!({"metadata": {}, "spec": {"nodeSelector": {label: "a"}}});
            Object::new(json!({"metadata": {"name": "c", "generation": generation}, "spec": {"template": template}}))
        };
        let (old, new) = (of("beta.kubernetes.io/os", 1), of("kubernetes.io/os", 2));
        assert_eq!(warnings(&of("beta.kubernetes.io/os", 2), Some(&old), true).len(), 1);
        assert_eq!(warnings(&old, Some(&old), true), Vec::<String>::new());
        assert_eq!(replication_controller_warnings(&new, None), Vec::<String>::new());
        let warnings = replication_controller_warnings(&new, Some(&old));
        assert!(warnings.len() == 1 && warnings[0].contains("[beta.kubernetes.io/os]"), "{warnings:?}");
    }

    #[test]
    fn a_changed_controller_is_asked_its_rules_twice_but_for_counts() {
        let of = |selector: Json, replicas: i64| {
            let spec = json!({"selector": selector, "replicas": replicas, "template": {"spec": {}}});
            Object::new(json!({"metadata": {"name": "c", "namespace": "n", "resourceVersion": "1"}, "spec": spec}))
        };
        let errors = replication_controller_update(&of(json!({}), -1), &of(json!({"a": "b"}), 1));
        let told = |field: &str| errors.iter().filter(|e| e.field == field).count();
        assert_eq!((told("spec.selector"), told("spec.template.spec.containers"), told("spec.replicas")), (2, 2, 1));
    }
}
