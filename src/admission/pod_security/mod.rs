//! `PodSecurity`: the Pod Security Standards, per namespace by its labels.
//! Source: k8s.io/pod-security-admission (admission, api and policy).

mod baseline;
mod checks;
mod policy;
mod restricted;

use std::collections::{BTreeMap, HashSet};

use super::{Attributes, Operation, World};
use crate::api::tree::Tree;
use crate::api::validation::field::{self, Path};
use crate::api::{GroupResource, Json, Object, Status};

pub use policy::Level;
use policy::{LevelVersion, Policy};

use checks::{PodView, Violation};

/// Only so many Pods of a namespace are looked at when its level is raised.
const MAX_PODS_CHECKED: usize = 3000;

const IGNORED_SUBRESOURCES: &[&str] =
    &["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];

pub(super) fn validate(
    world: &World<'_>,
    attributes: &Attributes<'_>,
    object: &Object,
    old: Option<&Object>,
) -> Result<Vec<String>, Status> {
    if attributes.operation == Operation::Delete {
        return Ok(Vec::new());
    }
    if attributes.is("", "namespaces") {
        return if attributes.is_main() { namespace(world, object, old) } else { Ok(Vec::new()) };
    }
    if attributes.is_pods() {
        return if IGNORED_SUBRESOURCES.contains(&attributes.subresource) {
            Ok(Vec::new())
        } else {
            pod(world, attributes, object, old)
        };
    }
    if attributes.is_main() { controller(world, attributes, object) } else { Ok(Vec::new()) }
}

fn policy_of(world: &World<'_>, namespace: &Object) -> (Policy, field::Errors) {
    let labels: BTreeMap<&str, &str> = namespace.labels().collect();
    let (policy, errors) = Policy::of_labels(&labels, world.pod_security);
    let path = Path::new("metadata").child("labels");
    let errors = errors.into_iter().map(|e| field::invalid(&path.key(e.label), e.value.as_str(), e.why)).collect();
    (policy, errors)
}

fn namespace(world: &World<'_>, object: &Object, old: Option<&Object>) -> Result<Vec<String>, Status> {
    let (policy, errors) = policy_of(world, object);
    let invalid = |errors: &field::Errors| Status::invalid("", "Namespace", object.name(), errors);
    let Some(old) = old else {
        return if errors.is_empty() { Ok(Vec::new()) } else { Err(invalid(&errors)) };
    };
    let (old_policy, old_errors) = policy_of(world, old);
    if !errors.is_empty() && errors != old_errors {
        return Err(invalid(&errors));
    }
    let (new, old) = (policy.enforce, old_policy.enforce);
    let eased = new.version == old.version && new.level <= old.level;
    if new == old || new.level == Level::Privileged || eased {
        return Ok(Vec::new());
    }
    Ok(warnings_about_pods(world, object.name(), new))
}

/// What of a namespace's Pods would not be let in any more.
fn warnings_about_pods(world: &World<'_>, namespace: &str, enforce: LevelVersion) -> Vec<String> {
    let resource = GroupResource::new("", "pods");
    let pods: Vec<_> = world.state.in_namespace(&resource, namespace).collect();
    // One Pod of each controller first: the others are like it.
    let mut controllers = HashSet::new();
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for pod in pods {
        match pod.controller_uid() {
            Some(uid) if !controllers.insert(uid.to_owned()) => rest.push(pod),
            _ => first.push(pod),
        }
    }
    let total = first.len() + rest.len();
    let mut by_reason: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for pod in first.into_iter().chain(rest).take(MAX_PODS_CHECKED) {
        let found = violations(enforce, pod.json());
        if found.is_empty() {
            continue;
        }
        let reason = found.iter().map(|v| v.reason.as_str()).collect::<Vec<_>>().join(", ");
        let entry = by_reason.entry(reason).or_insert_with(|| (pod.name().to_owned(), 0));
        entry.0 = entry.0.clone().min(pod.name().to_owned());
        entry.1 += 1;
    }
    let mut warnings = Vec::new();
    if total > MAX_PODS_CHECKED {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {MAX_PODS_CHECKED} of {total} existing pods"
        ));
    }
    if !by_reason.is_empty() {
        warnings.push(format!(
            "existing pods in namespace \"{namespace}\" violate the new PodSecurity enforce level \"{enforce}\""
        ));
    }
    let mut lines: Vec<String> = by_reason
        .into_iter()
        .map(|(reason, (name, count))| match count {
            1 => format!("{name}: {reason}"),
            2 => format!("{name} (and 1 other pod): {reason}"),
            n => format!("{name} (and {} other pods): {reason}", n - 1),
        })
        .collect();
    lines.sort();
    warnings.extend(lines);
    warnings
}

fn pod(
    world: &World<'_>,
    attributes: &Attributes<'_>,
    object: &Object,
    old: Option<&Object>,
) -> Result<Vec<String>, Status> {
    let Some(namespace) = world.namespace(attributes.namespace) else { return Ok(Vec::new()) };
    if old.is_some_and(|old| !is_significant(object.json(), old.json())) {
        return Ok(Vec::new());
    }
    let (policy, _) = policy_of(world, namespace);
    let found = violations(policy.enforce, object.json());
    if !found.is_empty() {
        let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, detail(&found));
        let name = if attributes.name.is_empty() { object.name() } else { attributes.name };
        return Err(Status::forbidden(&attributes.resource.group_resource(), name, &why));
    }
    Ok(warning(policy.warn, object.json()))
}

/// Whether a Pod's change bears on its security: another image, another container.
fn is_significant(new: &Json, old: &Json) -> bool {
    let (new, old) = (new.field("spec"), old.field("spec"));
    let differ = |list: &str| {
        let (new, old) = (new.list(list), old.list(list));
        new.len() != old.len() || new.iter().zip(old).any(|(n, o)| n.text("image") != o.text("image"))
    };
    let ephemeral = new.list("ephemeralContainers").iter().any(|c| {
        let same = old.list("ephemeralContainers").iter().find(|o| o.text("name") == c.text("name"));
        same.is_none_or(|o| o.text("image") != c.text("image"))
    });
    differ("containers") || differ("initContainers") || ephemeral
}

/// Where a controller has its Pods' template.
fn template<'a>(attributes: &Attributes<'_>, object: &'a Json) -> Option<&'a Json> {
    let spec = object.field("spec");
    let template = match (attributes.resource.group.as_str(), attributes.resource.resource.as_str()) {
        ("", "podtemplates") => object.field("template"),
        ("", "replicationcontrollers") | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets") => {
            spec.field("template")
        }
        ("batch", "jobs") => spec.field("template"),
        ("batch", "cronjobs") => spec.field("jobTemplate").field("spec").field("template"),
        _ => return None,
    };
    template.is_object().then_some(template)
}

/// Controllers are warned of only: their Pods will be refused.
fn controller(world: &World<'_>, attributes: &Attributes<'_>, object: &Object) -> Result<Vec<String>, Status> {
    let Some(template) = template(attributes, object.json()) else { return Ok(Vec::new()) };
    let Some(namespace) = world.namespace(attributes.namespace) else { return Ok(Vec::new()) };
    let (policy, _) = policy_of(world, namespace);
    Ok(warning(policy.warn, template))
}

fn warning(at: LevelVersion, pod: &Json) -> Vec<String> {
    let found = violations(at, pod);
    if found.is_empty() {
        return Vec::new();
    }
    vec![format!("would violate PodSecurity \"{at}\": {}", detail(&found))]
}

fn detail(found: &[Violation]) -> String {
    let one = |v: &Violation| {
        if v.detail.is_empty() { v.reason.clone() } else { format!("{} ({})", v.reason, v.detail) }
    };
    found.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What of a Pod (or template) breaks a level, in Kubernetes' order of checks.
fn violations(at: LevelVersion, pod: &Json) -> Vec<Violation> {
    let minor = at.version.minor();
    let view = PodView::of(pod);
    match at.level {
        Level::Privileged => Vec::new(),
        Level::Baseline => baseline::CHECKS.iter().filter_map(|c| c.run(minor, &view)).collect(),
        Level::Restricted => {
            let overridden: Vec<&str> =
                restricted::CHECKS.iter().filter(|c| minor >= c.since).flat_map(|c| c.overrides).copied().collect();
            let baseline = baseline::CHECKS.iter().filter(|c| !overridden.contains(&c.id));
            baseline.chain(restricted::CHECKS).filter_map(|c| c.run(minor, &view)).collect()
        }
    }
}
