//! What may change in a Pod once it is there.

use super::super::field::{self, Errors, Path};
use super::super::{internal_form, meta, names};
use super::annotations;
use super::container::only_for_pod;
use super::scheduling;
use super::spec::Options;
use crate::api::quantity::Quantity;
use crate::api::status::quote;
use crate::api::tree::Tree;
use crate::api::{Json, Object};

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be \
    set to 1 if it was previously negative)";

/// Whether two values mean the same: absent is empty, and quantities are compared as amounts.
pub fn same(a: &Json, b: &Json) -> bool {
    same_at("", a, b)
}

fn same_at(key: &str, a: &Json, b: &Json) -> bool {
    let is_empty = |v: &Json| match v {
        Json::Null => true,
        Json::Array(list) => list.is_empty(),
        Json::Object(map) => map.is_empty() && matches!(key, "limits" | "requests" | "overhead" | "nodeSelector"),
        _ => false,
    };
    match (a, b) {
        _ if a == b || (is_empty(a) && is_empty(b)) => true,
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_at(key, a, b)),
        (Json::Object(a), Json::Object(b)) => {
            let is_list = matches!(key, "limits" | "requests" | "overhead");
            let mut keys = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k)));
            keys.all(|k| if is_list { same_amount(a.field(k), b.field(k)) } else { same_at(k, a.field(k), b.field(k)) })
        }
        _ if key == "sizeLimit" || key == "divisor" => same_amount(a, b),
        _ => false,
    }
}

fn same_amount(a: &Json, b: &Json) -> bool {
    let amount = |v: &Json| v.as_str().and_then(|text| Quantity::parse(text).ok());
    a == b || matches!((amount(a), amount(b)), (Some(a), Some(b)) if a == b)
}

/// What is wrong with changing a Pod by its main resource.
pub fn update(new: &Object, old: &Object) -> Errors {
    let options = Options::of_pod(Some(old.json()));
    let mut errors = meta::update(new, old);
    errors.extend(super::metadata_and_spec(new, &options));
    let (new_spec, old_spec) = (new.json().field("spec"), old.json().field("spec"));
    let notes = |object: &Object| object.json().field("metadata").field("annotations").clone();
    errors.extend(annotations::change(&notes(new), &notes(old), new_spec, &options));
    let path = Path::new("spec");
    for kind in ["containers", "initContainers"] {
        let (containers, before) = (new_spec.list(kind), old_spec.list(kind));
        if containers.len() != before.len() {
            errors.push(field::forbidden(&path.child(kind), "pod updates may not add or remove containers"));
            return errors;
        }
        for (index, container) in containers.iter().enumerate() {
            let path = path.child(kind).index(index);
            if container.text("image").is_empty() {
                errors.push(field::required(&path.child("image"), ""));
            }
            errors.extend(only_for_pod(container, &path));
        }
    }
    match deadline(new_spec, old_spec, &path.child("activeDeadlineSeconds")) {
        Ok(found) => errors.extend(found),
        Err(found) => {
            errors.extend(found);
            return errors;
        }
    }
    errors.extend(added_tolerations(new_spec, old_spec, &path.child("tolerations")));
    errors.extend(removed_gates(new_spec, old_spec, &path.child("schedulingGates")));
    if same(new_spec, old_spec) {
        return errors;
    }
    let mut kept = as_before(new_spec, old_spec);
    if !old_spec.list("schedulingGates").is_empty() {
        errors.extend(while_gated(&mut kept, old_spec, &path));
    }
    if !same(&kept, old_spec) {
        let diff = internal_form::diff("PodSpec", old_spec, &kept);
        errors.push(field::forbidden(&path, &format!("pod updates may not change fields other than {UPDATABLE}\n{diff}")));
    }
    errors
}

/// A deadline may come and shrink. `Err`: nothing more is asked then.
fn deadline(new: &Json, old: &Json, path: &Path) -> Result<Errors, Errors> {
    let name = "activeDeadlineSeconds";
    let (new, old) = (new.opt_int(name), old.opt_int(name));
    match (new, old) {
        (Some(seconds), _) if !(0..=i64::from(i32::MAX)).contains(&seconds) => {
            Err(vec![field::invalid(path, seconds, &names::between(0, i32::MAX.into()))])
        }
        (Some(new), Some(old)) if old < new => {
            Err(vec![field::invalid(path, new, "must be less than or equal to previous value")])
        }
        (None, Some(_)) => {
            Ok(vec![field::invalid(path, Json::Null, "must not update from a positive integer to nil value")])
        }
        _ => Ok(Errors::new()),
    }
}

fn added_tolerations(new: &Json, old: &Json, path: &Path) -> Errors {
    let plain = |toleration: &Json| {
        let mut plain = toleration.clone();
        crate::api::tree::remove(&mut plain, "tolerationSeconds");
        plain
    };
    let present: Vec<Json> = new.list("tolerations").iter().map(plain).collect();
    if old.list("tolerations").iter().any(|toleration| !present.contains(&plain(toleration))) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        return vec![field::forbidden(path, detail)];
    }
    scheduling::tolerations(new.list("tolerations"), path)
}

fn removed_gates(new: &Json, old: &Json, path: &Path) -> Errors {
    let had: Vec<&str> = old.list("schedulingGates").iter().map(|gate| gate.text("name")).collect();
    let gates = new.list("schedulingGates").iter().enumerate();
    gates
        .filter(|(_, gate)| !had.contains(&gate.text("name")))
        .map(|(index, gate)| {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{}'", gate.text("name"));
            field::forbidden(&path.index(index).child("name"), &detail)
        })
        .collect()
}

/// The new spec with all that may change as it was.
fn as_before(new: &Json, old: &Json) -> Json {
    let mut kept = new.clone();
    for kind in ["containers", "initContainers"] {
        for (container, before) in crate::api::tree::items(&mut kept, kind).zip(old.list(kind)) {
            put(container, "image", before.field("image"));
        }
    }
    for name in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        put(&mut kept, name, old.field(name));
    }
    if old.int("terminationGracePeriodSeconds") < 0 && new.int("terminationGracePeriodSeconds") == 1 {
        put(&mut kept, "terminationGracePeriodSeconds", old.field("terminationGracePeriodSeconds"));
    }
    kept
}

pub(super) fn put(tree: &mut Json, name: &str, value: &Json) {
    let Some(map) = tree.as_object_mut() else { return };
    if value.is_null() {
        map.remove(name);
    } else {
        map.insert(name.into(), value.clone());
    }
}

/// What else may change before a Pod is scheduled: where it may go, made narrower.
fn while_gated(kept: &mut Json, old: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (selector, before) = (kept.field("nodeSelector").clone(), old.field("nodeSelector"));
    if !same_at("nodeSelector", &selector, before) {
        if before.as_object().into_iter().flatten().any(|(key, value)| selector.field(key) != value) {
            let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
            errors.push(field::invalid(&path.child("nodeSelector"), selector, detail));
        }
        put(kept, "nodeSelector", before);
    }
    let (affinity, before) = (kept.field("affinity").field("nodeAffinity").clone(), old.field("affinity").field("nodeAffinity"));
    if !same(&affinity, before) {
        errors.extend(narrower_affinity(&affinity, before, &path.child("affinity").child("nodeAffinity")));
        let others = |spec: &Json| spec.field("affinity").has("podAffinity") || spec.field("affinity").has("podAntiAffinity");
        if old.field("affinity").is_null() && !others(kept) {
            crate::api::tree::remove(kept, "affinity");
        } else if let Some(affinity) = crate::api::tree::child(kept, "affinity") {
            put(affinity, "nodeAffinity", before);
        }
    }
    errors
}

fn narrower_affinity(new: &Json, old: &Json, path: &Path) -> Errors {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let path = path.child(REQUIRED).child("nodeSelectorTerms");
    let (terms, before) = (new.field(REQUIRED).list("nodeSelectorTerms"), old.field(REQUIRED).list("nodeSelectorTerms"));
    let shown = |term: &Json| internal_form::line("NodeSelectorTerm", term);
    if !before.is_empty() && before.len() != terms.len() {
        let all: Vec<String> = terms.iter().map(shown).collect();
        let all = if terms.is_empty() { "null".to_owned() } else { format!("[{}]", all.join(",")) };
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        return vec![field::invalid_shown(&path, &all, detail)];
    }
    let pairs = terms.iter().zip(before).enumerate();
    pairs
        .filter(|(_, (term, before))| !only_adds(term, before))
        .map(|(index, (term, _))| {
            field::invalid_shown(&path.index(index), &shown(term), "only additions are allowed (no mutations or deletions)")
        })
        .collect()
}

fn only_adds(new: &Json, old: &Json) -> bool {
    let kinds = ["matchExpressions", "matchFields"];
    let is_empty = |term: &Json| kinds.iter().all(|kind| term.list(kind).is_empty());
    if is_empty(old) && !is_empty(new) {
        return false;
    }
    kinds.iter().all(|kind| new.list(kind).starts_with(old.list(kind)))
}

/// What is wrong with a change by the subresource `ephemeralcontainers`: those that are there stay as they are.
pub fn update_ephemeral_containers(new: &Object, old: &Object) -> Errors {
    let options = Options::of_pod(Some(old.json()));
    let mut errors = meta::update(new, old);
    errors.extend(super::metadata_and_spec(new, &options));
    let notes = |object: &Object| object.json().field("metadata").field("annotations").clone();
    errors.extend(annotations::change(&notes(new), &notes(old), new.json().field("spec"), &options));
    if old.annotation(annotations::MIRROR).is_some() {
        return vec![field::forbidden(&Path::nameless(), "static pods do not support ephemeral containers")];
    }
    let path = Path::new("spec").child("ephemeralContainers");
    let present = new.json().field("spec").list("ephemeralContainers");
    for container in old.json().field("spec").list("ephemeralContainers") {
        let name = container.text("name");
        let detail = match present.iter().find(|c| c.text("name") == name) {
            None => format!("existing ephemeral containers {} may not be removed\n", quote(name)),
            Some(now) if !same(container, now) => {
                let diff = internal_form::diff("EphemeralContainer", container, now);
                format!("existing ephemeral containers {} may not be changed\n{diff}", quote(name))
            }
            Some(_) => continue,
        };
        errors.push(field::forbidden(&path, &detail));
    }
    errors
}

/// What is wrong with binding a Pod to what `binding` names.
pub fn bind(binding: &Json) -> Errors {
    let target = binding.field("target");
    let path = Path::new("target");
    let mut errors = Errors::new();
    let kind = target.text("kind");
    if !kind.is_empty() && kind != "Node" {
        errors.push(field::not_supported(&path.child("kind"), kind, &["Node", "<empty>"]));
    }
    if target.text("name").is_empty() {
        errors.push(field::required(&path.child("name"), ""));
    }
    errors
}
