//! The subresource `eviction` of a Pod: a deletion that asks its PodDisruptionBudget first.
//! Source: pkg/registry/core/pod/storage/eviction.go.

use std::sync::Arc;

use serde_json::json;

use super::delete::{self, DeleteOptions, Preconditions};
use super::run::Run;
use super::{Answer, Body, Options, Request, Verb, admit, body, metadata};
use crate::api::schema::Schema;
use crate::api::selector::LabelSelector;
use crate::api::tree::Tree;
use crate::api::{GroupResource, Gvk, Json, Object, Status};

/// How many evictions may wait for the budget's controller (MaxDisruptedPodSize).
const MOST_DISRUPTED: usize = 2000;
const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

/// Evicts the pod that the request names.
pub(crate) fn create(mut run: Run<'_, '_>) -> Result<Answer, Status> {
    let gvk = Gvk::of("policy/v1", "Eviction");
    let mut eviction = body::object_of(&mut run, &gvk, &["policy/v1beta1"])?;
    metadata::match_namespace(&run, &mut eviction)?;
    let name = run.request.name.clone();
    if eviction.name() != name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let (options, dry_run) = options(&run, &eviction)?;
    admit::mutate(&mut run, admit::Operation::Create, &mut eviction, None)?;
    admit::validate(&mut run, admit::Operation::Create, &eviction, None)?;
    let pod = run.get(&name)?;
    let budget = if ignores_budgets(&pod) { None } else { budget(&run, &pod)? };
    let (counted, uncounted) = match budget {
        Some(budget) if may_go_unready(&pod, &budget) => (None, Some(budget)),
        counted => (counted, None),
    };
    if let Some(budget) = counted {
        decrement(&mut run, &pod, &budget, dry_run)?;
    }
    let by_version = options.preconditions.as_ref().is_some_and(|p| p.resource_version.is_some());
    delete(&mut run, &pod, options, dry_run).map_err(|status| match uncounted {
        Some(budget) if status.code == 409 && !by_version => {
            too_many(&budget, "is still being processed by the server.", Some(10))
        }
        _ => status,
    })?;
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(Answer { code: 201, body, warnings: run.warnings })
}

/// The eviction's DeleteOptions, and whether all is only to be tried (propagateDryRun).
fn options(run: &Run<'_, '_>, eviction: &Object) -> Result<(DeleteOptions, bool), Status> {
    let asked = run.request.options.dry_run;
    let mut options = match eviction.at("/deleteOptions") {
        Some(tree) => delete::parse(tree.clone())?,
        None => DeleteOptions::default(),
    };
    let said = options.dry_run.clone().unwrap_or_default();
    if asked && !said.is_empty() && said != ["All"] {
        let said = said.join(" ");
        let why = format!("Non-matching dry-run options in request and content: [All] and [{said}]");
        return Err(Status::new(500, "", why));
    }
    let dry_run = asked || !said.is_empty();
    options.dry_run = dry_run.then(|| vec!["All".into()]);
    Ok((options, dry_run))
}

/// Whether the pod disturbs nobody by going (canIgnorePDB).
fn ignores_budgets(pod: &Object) -> bool {
    pod.is_deleting() || matches!(pod.str_at("/status/phase"), Some("Succeeded" | "Failed" | "Pending"))
}

/// The one budget that selects the pod.
fn budget(run: &Run<'_, '_>, pod: &Object) -> Result<Option<Arc<Object>>, Status> {
    let resource = GroupResource::new("policy", "poddisruptionbudgets");
    let selects = |budget: &&Arc<Object>| {
        LabelSelector::of(budget.at("/spec/selector")).is_ok_and(|selector| selector.matches(pod))
    };
    let found: Vec<&Arc<Object>> = run.state.in_namespace(&resource, pod.namespace()).filter(selects).collect();
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some((*one).clone())),
        _ => {
            let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            Err(Status::new(500, "", why))
        }
    }
}

/// A pod that is not ready counts for nothing where the policy or the other pods' health allows it to go.
fn may_go_unready(pod: &Object, budget: &Object) -> bool {
    let conditions = pod.json().field("status").list("conditions");
    if conditions.iter().any(|c| c.text("type") == "Ready" && c.text("status") == "True") {
        return false;
    }
    let status = budget.json().field("status");
    let (healthy, desired) = (status.int("currentHealthy"), status.int("desiredHealthy"));
    budget.str_at("/spec/unhealthyPodEvictionPolicy") == Some("AlwaysAllow") || (healthy >= desired && desired > 0)
}

fn too_many(budget: &Object, why: &str, retry_after: Option<i64>) -> Status {
    let cause = json!({"reason": "DisruptionBudget", "message": format!("The disruption budget {} {why}", budget.name())});
    let mut details = json!({"causes": [cause]});
    if let Some(seconds) = retry_after {
        details["retryAfterSeconds"] = seconds.into();
    }
    Status::new(429, "TooManyRequests", REFUSED).with_details(details)
}

/// Why the budget allows no disruption now (checkAndDecrement).
fn check(budget: &Object) -> Result<(), Status> {
    let status = budget.json().field("status");
    let forbidden = |why: &str| Status::forbidden(&GroupResource::new("policy", "poddisruptionbudget"), budget.name(), why);
    if status.int("observedGeneration") < budget.generation() {
        return Err(too_many(budget, "is still being processed by the server.", Some(10)));
    }
    let allowed = status.int("disruptionsAllowed");
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    if status.entries("disruptedPods").len() > MOST_DISRUPTED {
        return Err(forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller"));
    }
    if allowed > 0 {
        return Ok(());
    }
    let failed = status.list("conditions").iter().find(|c| {
        c.text("type") == "DisruptionAllowed" && c.text("status") == "False" && c.text("reason") == "SyncFailed"
    });
    let (healthy, desired) = (status.int("currentHealthy"), status.int("desiredHealthy"));
    let why = match failed {
        Some(condition) => {
            format!("does not allow evicting pods currently because it failed sync: {}", condition.text("message"))
        }
        None if healthy <= desired => format!("needs {desired} healthy pods and has {healthy} currently"),
        None => "does not allow evicting pods currently".into(),
    };
    Err(too_many(budget, &why, None))
}

/// Takes one disruption from the budget and notes in it which pod is about to go.
fn decrement(run: &mut Run<'_, '_>, pod: &Object, budget: &Object, dry_run: bool) -> Result<(), Status> {
    check(budget)?;
    if dry_run {
        return Ok(());
    }
    let now = run.now();
    let mut tree = budget.json().clone();
    let status = &mut tree["status"];
    let left = status.int("disruptionsAllowed") - 1;
    status["disruptionsAllowed"] = left.into();
    if status["disruptedPods"].is_null() {
        status["disruptedPods"] = json!({});
    }
    status["disruptedPods"][pod.name()] = now.as_str().into();
    if left == 0 {
        none_allowed(status, &now);
    }
    let resource = Schema::get().resource("policy", "v1", "poddisruptionbudgets");
    let resource = resource.ok_or_else(|| Status::internal("the schema has no PodDisruptionBudget"))?;
    let request = Request {
        verb: Verb::Update,
        resource: Arc::new(resource.clone()),
        subresource: Some("status".into()),
        namespace: budget.namespace().into(),
        name: budget.name().into(),
        body: Body::Tree(tree),
        options: Options { user_agent: "kube-apiserver".into(), ..Options::default() },
    };
    super::within(run, &request).map(|_| ())
}

/// The condition that goes with the last disruption
/// (k8s.io/component-helpers/apps/poddisruptionbudget: UpdateDisruptionAllowedCondition).
fn none_allowed(status: &mut Json, now: &str) {
    let generation = status.field("observedGeneration").clone();
    if status["conditions"].is_null() {
        status["conditions"] = json!([]);
    }
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    let mut condition = json!({
        "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
        "lastTransitionTime": now,
    });
    if !generation.is_null() {
        condition["observedGeneration"] = generation;
    }
    match conditions.iter_mut().find(|c| c.text("type") == "DisruptionAllowed") {
        Some(present) => {
            if present.text("status") == "False" {
                condition["lastTransitionTime"] = present.field("lastTransitionTime").clone();
            }
            *present = condition;
        }
        None => conditions.push(condition),
    }
}

/// Marks the pod as disrupted and deletes it (addConditionAndDeletePod).
fn delete(run: &mut Run<'_, '_>, pod: &Arc<Object>, mut options: DeleteOptions, dry_run: bool) -> Result<(), Status> {
    delete::check_preconditions(run, pod, &options)?;
    let marked = if dry_run { None } else { marked(pod, &run.now()) };
    let pod = match marked {
        Some(marked) => {
            let kept = run.state.put(run.key(pod.name()), marked);
            if let Some(Preconditions { resource_version: Some(version), .. }) = &mut options.preconditions {
                *version = kept.resource_version().to_owned();
            }
            kept
        }
        None => pod.clone(),
    };
    delete::one(run, &pod, &options, dry_run).map(|_| ())
}

/// The pod with the condition that says why it goes; `None`: it has it.
fn marked(pod: &Object, now: &str) -> Option<Object> {
    let conditions = pod.json().field("status").list("conditions");
    let mut condition = json!({
        "type": "DisruptionTarget", "status": "True", "lastProbeTime": null, "lastTransitionTime": now,
        "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
    });
    let mut all = conditions.to_vec();
    match all.iter_mut().find(|c| c.text("type") == "DisruptionTarget") {
        Some(present) => {
            if present.text("status") == "True" {
                condition["lastTransitionTime"] = present.field("lastTransitionTime").clone();
            }
            *present = condition;
        }
        None => all.push(condition),
    }
    if all == conditions {
        return None;
    }
    let mut marked = pod.clone();
    marked.json_mut()["status"]["conditions"] = all.into();
    Some(marked)
}
