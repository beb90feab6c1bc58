//! Pods: a first status, what each subresource may change, and graceful deletion.
//! Source: pkg/registry/core/pod/strategy.go.

mod apparmor;
mod qos;
mod spread;

use serde_json::json;

use super::{Part, Rules, Strategy, plain, rules};
use crate::api::validation::field::Errors;
use crate::api::tree::{Tree, items};
use crate::api::{Json, Object};
use crate::registry::delete::DeleteOptions;
use crate::registry::metadata;
use crate::registry::run::Run;

pub(crate) struct Pods;

impl Strategy for Pods {
    fn rules(&self) -> &'static Rules {
        rules::rules("", "pods")
    }

    fn prepare_create(&self, run: &mut Run<'_, '_>, object: &mut Object) {
        plain::prepare_create(self.rules(), object);
        object.json_mut()["status"]["qosClass"] = qos::class(object).into();
        let gated = object.at("/spec/schedulingGates").and_then(Json::as_array).is_some_and(|g| !g.is_empty());
        if gated {
            object.json_mut()["status"]["conditions"] = json!([{
                "type": "PodScheduled", "status": "False", "lastProbeTime": null, "lastTransitionTime": run.now(),
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }]);
        }
        spread::select_by_label_keys(object);
        let warnings = apparmor::take_annotations(object);
        run.warn(warnings);
    }

    fn prepare_update(&self, run: &mut Run<'_, '_>, new: &mut Object, old: &Object, part: Part) {
        if part == Part::Other {
            only_of_subresource(run, new, old);
        }
        plain::prepare_update(self.rules(), new, old, part);
        if part == Part::Status {
            keep_in_status(new, old);
        }
    }

    fn validate_other(&self, run: &Run<'_, '_>, new: &Object, old: &Object) -> Errors {
        match run.request.subresource.as_deref() {
            Some("ephemeralcontainers") => crate::api::validation::pod::update_ephemeral_containers(new, old),
            Some("resize") => crate::api::validation::pod::resize(new, old),
            _ => Errors::new(),
        }
    }

    fn grace(&self, pod: &Object, options: &DeleteOptions) -> Option<i64> {
        let phase = pod.str_at("/status/phase").unwrap_or("");
        let unscheduled = pod.str_at("/spec/nodeName").unwrap_or("").is_empty();
        if unscheduled || matches!(phase, "Failed" | "Succeeded") {
            return Some(0);
        }
        let asked = options.grace_period_seconds.or_else(|| pod.i64_at("/spec/terminationGracePeriodSeconds"));
        Some(match asked.unwrap_or(0) {
            negative if negative < 0 => 1,
            seconds => seconds,
        })
    }
}

/// A subresource changes nothing but what it is for.
fn only_of_subresource(run: &Run<'_, '_>, new: &mut Object, old: &Object) {
    let sent_metadata = new.at("/metadata/resourceVersion").cloned();
    let managed = new.at("/metadata/managedFields").cloned();
    let mut kept = Object::clone(old);
    match run.request.subresource.as_deref() {
        Some("ephemeralcontainers") => {
            let sent = new.at("/spec/ephemeralContainers").cloned();
            set(&mut kept.json_mut()["spec"], "ephemeralContainers", sent);
        }
        Some("resize") => take_resources(&mut kept, new),
        _ => {}
    }
    set(&mut kept.json_mut()["metadata"], "resourceVersion", sent_metadata);
    set(&mut kept.json_mut()["metadata"], "managedFields", managed);
    *new = kept;
}

fn set(parent: &mut Json, field: &str, value: Option<Json>) {
    let Some(parent) = parent.as_object_mut() else { return };
    match value {
        Some(value) => parent.insert(field.into(), value),
        None => parent.remove(field),
    };
}

/// Resources and resize policies of containers, found by place as Kubernetes finds them (dropNonResizeUpdates). Lists
/// with other containers are taken as they are: validation refuses them.
fn take_resources(kept: &mut Object, sent: &Object) {
    let names = |object: &Object, list: &str| -> Vec<Json> {
        let containers = object.at("/spec").map_or(&[][..], |spec| spec.list(list));
        containers.iter().map(|c| c.field("name").clone()).collect()
    };
    for list in ["containers", "initContainers"] {
        if names(kept, list) != names(sent, list) {
            set(&mut kept.json_mut()["spec"], list, sent.at(&format!("/spec/{list}")).cloned());
            continue;
        }
        let pointer = format!("/spec/{list}");
        let sent = sent.at(&pointer).and_then(Json::as_array).cloned().unwrap_or_default();
        let kept = kept.json_mut().pointer_mut(&pointer).and_then(Json::as_array_mut);
        for (container, sent) in kept.into_iter().flatten().zip(&sent) {
            for field in ["resources", "resizePolicy"] {
                set(container, field, sent.get(field).cloned());
            }
        }
    }
    let sent = sent.at("/spec/resources").cloned();
    set(&mut kept.json_mut()["spec"], "resources", sent);
}

/// What a status write may leave out and keeps then.
fn keep_in_status(new: &mut Object, old: &Object) {
    let status = &mut new.json_mut()["status"];
    if !status.is_object() {
        *status = json!({});
    }
    if status.get("qosClass").and_then(Json::as_str).unwrap_or("").is_empty() {
        metadata::take_from(status, old.at("/status").unwrap_or(&Json::Null), "qosClass");
    }
    let before = old.at("/status").unwrap_or(&Json::Null);
    keep_generation(status, before);
    // Several conditions may have the same type: the first new one goes with the first old one.
    let mut conditions = before.list("conditions").to_vec();
    for condition in items(status, "conditions") {
        if let Some(index) = conditions.iter().position(|c| c.text("type") == condition.text("type")) {
            keep_generation(condition, &conditions.remove(index));
        }
    }
}

/// A generation that was observed once is not forgotten (preserveOldObservedGeneration).
fn keep_generation(new: &mut Json, old: &Json) {
    if new.int("observedGeneration") == 0 {
        metadata::take_from(new, old, "observedGeneration");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_keeps_the_generations_that_were_observed() {
        let conditions = |generations: [i64; 3]| {
            let kinds = ["A", "A", "B"].into_iter().zip(generations);
            kinds.map(|(kind, generation)| json!({"type": kind, "observedGeneration": generation})).collect::<Vec<_>>()
        };
        let old = Object::new(json!({"status": {"observedGeneration": 3, "conditions": conditions([1, 2, 3])}}));
        let mut new = Object::new(json!({"status": {"conditions": [{"type": "B"}, {"type": "A"}, {"type": "A",
            "observedGeneration": 7}, {"type": "A"}]}}));
        keep_in_status(&mut new, &old);
        let status = &new.json()["status"];
        assert_eq!(status["observedGeneration"], 3);
        let kept: Vec<i64> = status.list("conditions").iter().map(|c| c.int("observedGeneration")).collect();
        assert_eq!(kept, [3, 1, 7, 0]);
    }
}
