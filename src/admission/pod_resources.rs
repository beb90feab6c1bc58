//! What a Pod asks for in all: the sums and maxima that quotas and limits count by.
//! Source: `PodRequests` and `PodLimits` in k8s.io/component-helpers/resource/helpers.go.

use std::collections::BTreeMap;

use crate::api::Json;
use crate::api::quantity::Quantity;
use crate::api::tree::Tree;

/// Amounts by resource name.
pub type Amounts = BTreeMap<String, Quantity>;

/// A map of quantities as a tree has it; what is no quantity does not count.
pub(super) fn amounts(tree: &Json) -> Amounts {
    let entries = tree.as_object().into_iter().flatten();
    entries.filter_map(|(k, v)| Some((k.clone(), quantity(v)?))).collect()
}

pub(super) fn quantity(value: &Json) -> Option<Quantity> {
    match value {
        Json::String(text) => Quantity::parse(text).ok(),
        Json::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

pub(super) fn add(to: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        match to.get_mut(name) {
            Some(sum) => sum.add(amount),
            None => {
                to.insert(name.clone(), amount.clone());
            }
        }
    }
}

fn raise(to: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        match to.get_mut(name) {
            Some(present) if *present >= *amount => {}
            _ => {
                to.insert(name.clone(), amount.clone());
            }
        }
    }
}

/// Resources that may be set for a Pod as a whole.
fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// What the Pod's containers request in all.
pub(super) fn requests(spec: &Json) -> Amounts {
    let mut sum = aggregate(spec, "requests");
    override_by_pod(&mut sum, spec, "requests");
    add(&mut sum, &amounts(spec.field("overhead")));
    sum
}

/// What the Pod's containers are limited to in all. Overhead counts only where there is a limit.
pub(super) fn limits(spec: &Json) -> Amounts {
    let mut sum = aggregate(spec, "limits");
    override_by_pod(&mut sum, spec, "limits");
    let overhead = amounts(spec.field("overhead"));
    for (name, amount) in overhead {
        if let Some(limit) = sum.get_mut(&name).filter(|l| !l.is_zero()) {
            limit.add(&amount);
        }
    }
    sum
}

fn override_by_pod(sum: &mut Amounts, spec: &Json, kind: &str) {
    for (name, amount) in amounts(spec.field("resources").field(kind)) {
        if is_pod_level(&name) {
            sum.insert(name, amount);
        }
    }
}

/// Containers run together; init containers one after the other, beside the sidecars started so far.
fn aggregate(spec: &Json, kind: &str) -> Amounts {
    let of = |container: &Json| amounts(container.field("resources").field(kind));
    let mut sum = Amounts::new();
    for container in spec.list("containers") {
        add(&mut sum, &of(container));
    }
    let (mut sidecars, mut init) = (Amounts::new(), Amounts::new());
    for container in spec.list("initContainers") {
        let mut now = of(container);
        if container.text("restartPolicy") == "Always" {
            add(&mut sum, &now);
            add(&mut sidecars, &now);
            now = sidecars.clone();
        } else {
            add(&mut now, &sidecars);
        }
        raise(&mut init, &now);
    }
    raise(&mut sum, &init);
    sum
}
