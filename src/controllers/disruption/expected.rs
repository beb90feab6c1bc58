//! How many pods a budget is about, and how many of them have to be healthy.

use std::collections::BTreeMap;

use crate::api::{Json, Object};
use crate::controllers::pods::PodView;
use crate::controllers::quantities::scaled;
use crate::controllers::resources::dig;
use crate::state::State;

pub(super) struct Expected {
    pub pods: i64,
    pub healthy: i64,
    /// Pods without a controller do not count where the number comes from controllers.
    pub some_are_unmanaged: bool,
}

/// Source: getExpectedPodCount.
pub(super) fn of(state: &State, budget: &Object, pods: &[PodView<'_>]) -> Result<Expected, String> {
    let spec = |field: &str| dig(budget.json(), &["spec", field]);
    let (most_missing, least) = (spec("maxUnavailable"), spec("minAvailable"));
    let invalid = |value: &Json| format!("invalid value for IntOrString: {value}");
    if !most_missing.is_null() {
        let (all, some_are_unmanaged) = scale(state, pods)?;
        let missing = scaled(most_missing, all, true).ok_or_else(|| invalid(most_missing))?;
        return Ok(Expected { pods: all, healthy: (all - missing).max(0), some_are_unmanaged });
    }
    if let Some(healthy) = least.as_i64() {
        let all = i64::try_from(pods.len()).unwrap_or(i64::MAX);
        return Ok(Expected { pods: all, healthy, some_are_unmanaged: false });
    }
    if least.is_null() {
        return Ok(Expected { pods: 0, healthy: 0, some_are_unmanaged: false });
    }
    let (all, some_are_unmanaged) = scale(state, pods)?;
    let healthy = scaled(least, all, true).ok_or_else(|| invalid(least))?;
    Ok(Expected { pods: all, healthy, some_are_unmanaged })
}

/// The sum of the scales of the pods' controllers, and whether some pods have none.
fn scale(state: &State, pods: &[PodView<'_>]) -> Result<(i64, bool), String> {
    let mut scales: BTreeMap<String, i64> = BTreeMap::new();
    let mut some_are_unmanaged = false;
    for pod in pods {
        let Some(reference) = pod.controller_ref() else {
            some_are_unmanaged = true;
            continue;
        };
        let (uid, scale) = scale_of(state, reference, pod)?;
        scales.insert(uid, scale);
    }
    Ok((scales.values().sum(), some_are_unmanaged))
}

/// The controller that a pod's number comes from: the Deployment above a ReplicaSet.
fn scale_of(state: &State, reference: &Json, pod: &PodView<'_>) -> Result<(String, i64), String> {
    let name = |field: &str| dig(reference, &[field]).as_str().unwrap_or("");
    let group = name("apiVersion").split_once('/').map_or("", |(group, _)| group);
    let kind = name("kind");
    let has_scale = matches!(
        (group, kind),
        ("", "ReplicationController") | ("apps", "ReplicaSet" | "StatefulSet" | "Deployment")
    );
    if !has_scale {
        let (plural, dot) = (kind.to_lowercase(), if group.is_empty() { "" } else { "." });
        return Err(format!("{plural}s{dot}{group} does not implement the scale subresource"));
    }
    let missing = || format!("found no controllers for pod \"{}\"", pod.name());
    let controller = |uid: Option<&str>| {
        state.with_uid(uid?).filter(|found| found.namespace() == pod.namespace())
    };
    let owner = controller(pod.controller_uid()).ok_or_else(missing)?;
    let above = controller(owner.controller_uid()).filter(|above| above.kind() == "Deployment");
    let counted = above.unwrap_or(owner);
    Ok((counted.uid().to_owned(), dig(counted.json(), &["spec", "replicas"]).as_i64().unwrap_or(1)))
}

/// A LabelSelector as Go prints it.
pub(super) fn shown(selector: &Json) -> String {
    let labels = dig(selector, &["matchLabels"]).as_object().cloned().unwrap_or_default();
    let mut labels: Vec<(String, Json)> = labels.into_iter().collect();
    labels.sort_by(|a, b| a.0.cmp(&b.0));
    let labels: String =
        labels.iter().map(|(name, value)| format!("{name}: {},", value.as_str().unwrap_or(""))).collect();
    let expressions = dig(selector, &["matchExpressions"]).as_array().into_iter().flatten();
    let expressions: String = expressions
        .map(|expression| {
            let text = |field: &str| dig(expression, &[field]).as_str().unwrap_or("").to_owned();
            let values = dig(expression, &["values"]).as_array().into_iter().flatten().filter_map(Json::as_str);
            let values = values.collect::<Vec<_>>().join(" ");
            let (key, operator) = (text("key"), text("operator"));
            format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{values}],}},")
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}
