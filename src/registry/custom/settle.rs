//! What follows a write of a definition or of a custom resource: whether its names are free, and what goes with it.
//! Source: k8s.io/apiextensions-apiserver/pkg/controller/{status/naming_controller.go,establish,finalizer}.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::definitions;
use crate::api::tree::Tree;
use crate::api::validation::definition_parts::{Approval, is_protected};
use crate::api::{GroupResource, Json, Key, Object};
use crate::registry::metadata;
use crate::registry::run::Run;

/// Holds a definition until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Brings the definitions in step with what there is.
pub(crate) fn settle(run: &mut Run<'_, '_>) {
    let resource = &run.request.resource;
    let of_definitions = resource.group_resource() == definitions();
    if !of_definitions && !resource.custom {
        return;
    }
    // What goes frees its names.
    let gone = clean_up(run);
    if of_definitions || gone {
        accept_names(run);
    }
}

fn all(run: &Run<'_, '_>) -> Vec<Arc<Object>> {
    run.state.all(&definitions()).cloned().collect()
}

/// The names of resources and of kinds that definitions of a group may not share.
#[derive(Default)]
struct Taken {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Taken {
    /// By all definitions of the group, this one too (getAcceptedNamesForGroup).
    fn of(all: &[Arc<Object>], group: Option<&str>) -> Self {
        let mut taken = Self::default();
        for definition in all.iter().filter(|other| other.str_at("/spec/group") == group) {
            let names = definition.json().field("status").field("acceptedNames");
            let resources = [names.text("plural"), names.text("singular")].into_iter().chain(names.texts("shortNames"));
            taken.resources.extend(resources.map(str::to_owned));
            taken.kinds.extend([names.text("kind"), names.text("listKind")].map(str::to_owned));
        }
        taken
    }
}

fn accept_names(run: &mut Run<'_, '_>) {
    for definition in all(run) {
        let all = all(run);
        let mut new = Object::clone(&definition);
        accept(&mut new, &Taken::of(&all, definition.str_at("/spec/group")), &run.now());
        approve(&mut new, &run.now());
        if new != *definition {
            run.state.put(Key::new(definitions(), "", definition.name()), new);
        }
    }
}

/// Takes the names that nobody else has, and says what is taken, the last of it
/// (calculateNamesAndConditions).
fn accept(definition: &mut Object, taken: &Taken, now: &str) {
    let wanted = definition.json().field("spec").field("names").clone();
    let before = definition.json().field("status").field("acceptedNames").clone();
    let mut accepted = before.clone();
    let in_use = |name: &str| format!("{} is already in use", crate::api::status::quote(name));
    let mut conflict: Option<(&str, String)> = None;
    for (part, reason) in [
        ("plural", "PluralConflict"),
        ("singular", "SingularConflict"),
        ("shortNames", "ShortNamesConflict"),
        ("kind", "KindConflict"),
        ("listKind", "ListKindConflict"),
    ] {
        let taken = if part.ends_with("ind") { &taken.kinds } else { &taken.resources };
        let (asked, own) = (names_at(&wanted, part), names_at(&before, part));
        let clashes: Vec<String> =
            asked.into_iter().filter(|name| !own.contains(name) && taken.contains(*name)).map(in_use).collect();
        match clashes.as_slice() {
            [] => copy(&mut accepted, &wanted, part),
            [one] => conflict = Some((reason, one.clone())),
            all => conflict = Some((reason, format!("[{}]", all.join(", ")))),
        }
    }
    copy(&mut accepted, &wanted, "categories");
    definition.json_mut()["status"]["acceptedNames"] = accepted;
    let established = has(definition, "Established");
    match conflict {
        Some((reason, message)) => {
            condition(definition, ("NamesAccepted", false), (reason, message.as_str()), now);
            if !established {
                condition(definition, ("Established", false), ("NotAccepted", "not all names are accepted"), now);
            }
        }
        None => {
            condition(definition, ("NamesAccepted", true), ("NoConflicts", "no conflicts found"), now);
            if !established {
                let why = ("InitialNamesAccepted", "the initial names have been accepted");
                condition(definition, ("Established", true), why, now);
            }
        }
    }
}

fn names_at<'a>(names: &'a Json, part: &str) -> Vec<&'a str> {
    match names.field(part) {
        Json::Array(_) => names.texts(part),
        Json::String(name) => vec![name],
        _ => Vec::new(),
    }
}

/// Says whether a definition in a group of Kubernetes' community is approved.
/// Source: …/pkg/controller/apiapproval/apiapproval_controller.go.
fn approve(definition: &mut Object, now: &str) {
    if !is_protected(definition.str_at("/spec/group").unwrap_or("")) {
        return;
    }
    let (state, message) = Approval::of(definition);
    let (is, reason) = match state {
        Approval::Invalid => (false, "InvalidAnnotation"),
        Approval::Missing => (false, "MissingAnnotation"),
        Approval::Bypassed => (false, "UnapprovedAnnotation"),
        Approval::Approved => (true, "ApprovedAnnotation"),
    };
    condition(definition, ("KubernetesAPIApprovalPolicyConformant", is), (reason, message.as_str()), now);
}

fn copy(to: &mut Json, from: &Json, part: &str) {
    let Some(map) = to.as_object_mut() else { return };
    match from.get(part) {
        Some(value) => map.insert(part.into(), value.clone()),
        None => map.remove(part),
    };
}

fn has(definition: &Object, kind: &str) -> bool {
    let conditions = definition.json().field("status").list("conditions");
    conditions.iter().any(|c| c.text("type") == kind && c.text("status") == "True")
}

/// Sets a condition; its time changes with its status only (SetCRDCondition).
pub(crate) fn condition(definition: &mut Object, (kind, is): (&str, bool), (reason, message): (&str, &str), now: &str) {
    let mut new = json!({
        "type": kind, "status": if is { "True" } else { "False" }, "lastTransitionTime": now, "reason": reason, "message": message,
    });
    let status = &mut definition.json_mut()["status"];
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    match conditions.iter_mut().find(|c| c.text("type") == kind) {
        Some(present) => {
            if present.field("status") == new.field("status") {
                new["lastTransitionTime"] = present.field("lastTransitionTime").clone();
            }
            *present = new;
        }
        None => conditions.push(new),
    }
}

/// The objects of definitions in deletion go, and the definitions with the last of them. Whether one has gone.
fn clean_up(run: &mut Run<'_, '_>) -> bool {
    let mut gone = false;
    let leaving = |definition: &Arc<Object>| definition.is_deleting() && definition.finalizers().any(|f| f == CLEANUP);
    for definition in all(run).into_iter().filter(leaving) {
        let text = |at: &str| definition.str_at(at).unwrap_or("").to_owned();
        let kept_as = GroupResource::new(&text("/spec/group"), &text("/spec/names/plural"));
        let instances: Vec<Arc<Object>> = run.state.all(&kept_as).cloned().collect();
        for instance in instances {
            let key = Key::new(kept_as.clone(), instance.namespace(), instance.name());
            remove(run, key, &instance);
        }
        let mut new = Object::clone(&definition);
        if run.state.count(&kept_as) > 0 {
            let why = ("InstanceDeletionInProgress", "CustomResource deletion is in progress");
            condition(&mut new, ("Terminating", true), why, &run.now());
        } else {
            let rest = definition.finalizers().filter(|f| *f != CLEANUP).map(str::to_owned).collect();
            metadata::set_finalizers(&mut new, rest);
        }
        let key = Key::new(definitions(), "", definition.name());
        if new.finalizers().next().is_none() {
            run.state.remove(&key);
            gone = true;
        } else if new != *definition {
            run.state.put(key, new);
        }
    }
    gone
}

fn remove(run: &mut Run<'_, '_>, key: Key, instance: &Object) {
    if instance.finalizers().next().is_none() {
        run.state.remove(&key);
        return;
    }
    if instance.is_deleting() {
        return;
    }
    let mut marked = instance.clone();
    let now = run.now();
    let metadata = marked.metadata_mut();
    metadata.insert("deletionTimestamp".into(), now.into());
    metadata.insert("deletionGracePeriodSeconds".into(), 0.into());
    run.state.put(key, marked);
}
