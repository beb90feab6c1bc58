//! `Priority`: turns a Pod's `priorityClassName` into its priority, and keeps the default class single.
//! Source: plugin/pkg/admission/priority/admission.go.

use super::{Attributes, Operation, World};
use crate::api::tree::{self, Tree};
use crate::api::{GroupResource, Json, Object, Status};

/// Classes that are there whether anybody made them or not.
/// Source: `SystemPriorityClasses` in pkg/apis/scheduling/v1/helpers.go.
const SYSTEM: &[(&str, i64)] = &[("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

const PREEMPTS: &str = "PreemptLowerPriority";

struct Class {
    name: String,
    value: i64,
    policy: String,
}

impl Class {
    fn of(object: &Object) -> Self {
        let policy = object.str_at("/preemptionPolicy").unwrap_or(PREEMPTS);
        Class { name: object.name().into(), value: object.i64_at("/value").unwrap_or(0), policy: policy.into() }
    }

    fn named(world: &World<'_>, name: &str) -> Option<Self> {
        if let Some(object) = world.get("scheduling.k8s.io", "priorityclasses", "", name) {
            return Some(Class::of(object));
        }
        let (name, value) = SYSTEM.iter().find(|(n, _)| *n == name)?;
        Some(Class { name: (*name).into(), value: *value, policy: PREEMPTS.into() })
    }

    /// The global default of lowest value, or priority 0.
    fn default(world: &World<'_>) -> Self {
        let none = Class { name: String::new(), value: 0, policy: PREEMPTS.into() };
        defaults(world).map(Class::of).min_by_key(|c| c.value).unwrap_or(none)
    }
}

fn defaults<'a>(world: &'a World<'_>) -> impl Iterator<Item = &'a Object> {
    let resource = GroupResource::new("scheduling.k8s.io", "priorityclasses");
    let all: Vec<&Object> = world.state.all(&resource).map(AsRef::as_ref).collect();
    all.into_iter().filter(|c| c.json().flag("globalDefault"))
}

pub(super) fn mutate(
    world: &World<'_>,
    attributes: &Attributes<'_>,
    object: &mut Object,
    old: Option<&Object>,
) -> Result<(), Status> {
    if !attributes.is_pods() || !attributes.is_main() {
        return Ok(());
    }
    match (attributes.operation, old) {
        (Operation::Create, _) => admit_pod(world, attributes, object),
        (Operation::Update, Some(old)) => {
            keep(object, old);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What was computed at creation stays, though an update does not say it.
fn keep(object: &mut Object, old: &Object) {
    for field in ["priority", "preemptionPolicy"] {
        let value = old.json().field("spec").field(field).clone();
        if let (false, Some(spec)) = (value.is_null(), tree::child(object.json_mut(), "spec")) {
            tree::default_to(spec, field, value);
        }
    }
}

fn admit_pod(world: &World<'_>, attributes: &Attributes<'_>, object: &mut Object) -> Result<(), Status> {
    let spec = object.json().field("spec");
    let name = spec.text("priorityClassName");
    let class = if name.is_empty() {
        Class::default(world)
    } else {
        Class::named(world, name).ok_or_else(|| {
            attributes.forbidden(object, &format!("no PriorityClass with name {name} was found"))
        })?
    };
    if let Some(priority) = spec.opt_int("priority").filter(|p| *p != class.value) {
        let why = format!(
            "the integer value of priority ({priority}) must not be provided in pod spec; \
             priority admission controller computed {} from the given PriorityClass name",
            class.value
        );
        return Err(attributes.forbidden(object, &why));
    }
    if let Some(policy) = spec.opt_text("preemptionPolicy").filter(|p| *p != class.policy) {
        let why = format!(
            "the string value of PreemptionPolicy ({policy}) must not be provided in pod spec; \
             priority admission controller computed {} from the given PriorityClass name",
            class.policy
        );
        return Err(attributes.forbidden(object, &why));
    }
    if let Some(spec) = tree::object_at(object.json_mut(), "spec") {
        if !class.name.is_empty() {
            spec.insert("priorityClassName".into(), class.name.into());
        }
        spec.insert("priority".into(), class.value.into());
        spec.insert("preemptionPolicy".into(), Json::from(class.policy));
    }
    Ok(())
}

pub(super) fn validate(world: &World<'_>, attributes: &Attributes<'_>, object: &Object) -> Result<(), Status> {
    if !attributes.is("scheduling.k8s.io", "priorityclasses") || !attributes.is_main() {
        return Ok(());
    }
    if attributes.operation == Operation::Delete || !object.json().flag("globalDefault") {
        return Ok(());
    }
    let other = defaults(world).min_by_key(|c| c.i64_at("/value").unwrap_or(0));
    match other {
        Some(other) if attributes.operation == Operation::Create || other.name() != object.name() => {
            let why = format!(
                "PriorityClass {} is already marked as default. Only one default can exist",
                other.name()
            );
            Err(attributes.forbidden(object, &why))
        }
        _ => Ok(()),
    }
}
