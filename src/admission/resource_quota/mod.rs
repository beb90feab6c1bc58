//! `ResourceQuota`: a namespace's quotas are charged with what its objects use, and refuse what is too much.
//! Usage is counted anew from the state, so that nothing can be charged twice or forgotten.
//! Source: k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go, pkg/quota/v1.

mod scopes;
mod usage;

use std::collections::BTreeMap;

use super::pod_resources::{Amounts, amounts};
use super::{Attributes, Operation, World};
use crate::api::quantity::Quantity;
use crate::api::tree::Tree;
use crate::api::{GroupResource, Json, Key, Object, Status};
use crate::state::State;

use usage::Evaluator;

fn quotas() -> GroupResource {
    GroupResource::new("", "resourcequotas")
}

fn hard(quota: &Object) -> Amounts {
    amounts(quota.json().field("spec").field("hard"))
}

pub(super) fn validate(
    world: &World<'_>,
    attributes: &Attributes<'_>,
    object: &Object,
    old: Option<&Object>,
) -> Result<(), Status> {
    if attributes.namespace.is_empty() || attributes.operation == Operation::Delete {
        return Ok(());
    }
    let evaluator = Evaluator::of(&attributes.resource.group, &attributes.resource.resource);
    if !evaluator.handles(attributes) {
        return Ok(());
    }
    for quota in world.state.in_namespace(&quotas(), attributes.namespace) {
        check(world, attributes, &evaluator, quota, object, old)?;
    }
    Ok(())
}

fn check(
    world: &World<'_>,
    attributes: &Attributes<'_>,
    evaluator: &Evaluator<'_>,
    quota: &Object,
    object: &Object,
    old: Option<&Object>,
) -> Result<(), Status> {
    let hard = hard(quota);
    let restricted: Vec<&String> = hard.keys().filter(|name| evaluator.counts(name)).collect();
    if restricted.is_empty() || !scopes::matches(evaluator, quota.json(), object.json()) {
        return Ok(());
    }
    if let Err(why) = evaluator.constraints(&restricted, object.json()) {
        return Err(attributes.forbidden(object, &format!("failed quota: {}: {why}", quota.name())));
    }
    let mut asked = evaluator.usage(object.json(), world.now);
    if let Some(old) = old.filter(|old| scopes::matches(evaluator, quota.json(), old.json())) {
        asked = grown(asked, &evaluator.usage(old.json(), world.now));
    }
    asked.retain(|name, amount| hard.contains_key(name) && !amount.is_zero());
    if asked.is_empty() {
        return Ok(());
    }
    let used = used_by(world.state, evaluator, quota, world.now);
    let exceeded: Vec<&String> = asked
        .iter()
        .filter(|(name, amount)| {
            let mut sum = used.get(*name).cloned().unwrap_or_else(Quantity::zero);
            sum.add(amount);
            hard.get(*name).is_some_and(|hard| sum > *hard)
        })
        .map(|(name, _)| name)
        .collect();
    if exceeded.is_empty() {
        return Ok(());
    }
    let show = |amounts: &Amounts| {
        let parts: Vec<_> = exceeded.iter().filter_map(|n| Some(format!("{n}={}", amounts.get(*n)?))).collect();
        parts.join(",")
    };
    let why = format!(
        "exceeded quota: {}, requested: {}, used: {}, limited: {}",
        quota.name(),
        show(&asked),
        show(&used),
        show(&hard)
    );
    Err(attributes.forbidden(object, &why))
}

/// What is used more than before.
fn grown(mut now: Amounts, before: &Amounts) -> Amounts {
    for (name, amount) in &mut now {
        if let Some(before) = before.get(name) {
            amount.sub(before);
            if amount.signum() < 0 {
                *amount = Quantity::zero();
            }
        }
    }
    now
}

/// What the objects of one resource use of a quota, zeros included.
fn used_by(state: &State, evaluator: &Evaluator<'_>, quota: &Object, now: jiff::Timestamp) -> Amounts {
    let hard = hard(quota);
    let mut used: Amounts =
        hard.keys().filter(|n| evaluator.counts(n)).map(|n| (n.clone(), Quantity::zero())).collect();
    let resource = GroupResource::new(evaluator.group, evaluator.resource);
    for object in state.in_namespace(&resource, quota.namespace()) {
        if !scopes::matches(evaluator, quota.json(), object.json()) {
            continue;
        }
        for (name, amount) in evaluator.usage(object.json(), now) {
            if let Some(sum) = used.get_mut(&name) {
                sum.add(&amount);
            }
        }
    }
    used
}

/// All that is used of a quota, of every resource that it counts.
pub fn used(state: &State, quota: &Object, now: jiff::Timestamp) -> BTreeMap<String, Quantity> {
    let mut all = Amounts::new();
    for name in hard(quota).keys() {
        if all.contains_key(name) {
            continue;
        }
        if let Some(evaluator) = Evaluator::counting(name) {
            all.extend(used_by(state, &evaluator, quota, now));
        }
    }
    all
}

/// The quotas of a namespace whose status does not say what is used now, with a status that does.
pub fn outdated(state: &State, namespace: &str, now: jiff::Timestamp) -> Vec<(Key, Object)> {
    let mut found = Vec::new();
    for quota in state.in_namespace(&quotas(), namespace) {
        let used: serde_json::Map<String, Json> =
            used(state, quota, now).into_iter().map(|(name, amount)| (name, amount.to_string().into())).collect();
        let mut status = serde_json::Map::new();
        if let Some(hard) = quota.at("/spec/hard") {
            status.insert("hard".into(), hard.clone());
        }
        if !used.is_empty() {
            status.insert("used".into(), Json::Object(used));
        }
        let status = Json::Object(status);
        if *quota.json().field("status") == status {
            continue;
        }
        let mut fresh = Object::clone(quota);
        if let Some(root) = fresh.json_mut().as_object_mut() {
            root.insert("status".into(), status);
        }
        found.push((Key::new(quotas(), namespace, quota.name()), fresh));
    }
    found
}
