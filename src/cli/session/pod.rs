//! Which pod and which container a session is with.
//! Source: k8s.io/kubectl/pkg/polymorphichelpers/{attachablepodforobject,helpers}.go, k8s.io/kubectl/pkg/cmd/util/podcmd/podcmd.go.

use std::cmp::Reverse;
use std::time::Duration;

use jiff::Timestamp;

use super::super::resources::{Info, Selection};
use super::super::{CliError, Context};
use crate::api::selector::LabelSelector;
use crate::api::status::quote;
use crate::api::{Json, Object};
use crate::client::{Ask, Client, segment};
use crate::engine::clock;

/// Between two looks whether there is a pod.
const LOOK: Duration = Duration::from_millis(200);

/// What a session is meant for: one pod, or the best of some.
#[derive(Clone)]
pub struct Target {
    client: Client,
    namespace: String,
    /// One pod's name, or the labels of several.
    wanted: Wanted,
}

#[derive(Clone)]
enum Wanted {
    Pod(String),
    Labelled(String),
}

/// The one object that the arguments mean.
pub async fn object(ctx: &mut Context, selection: &Selection) -> Result<Info, CliError> {
    let mut found = selection.fetch(ctx).await?;
    if let Some(error) = CliError::many(std::mem::take(&mut found.errors)) {
        return Err(error);
    }
    found.infos.into_iter().next().ok_or_else(|| CliError::message("no objects passed"))
}

/// `POD` or `TYPE/NAME`, as one argument.
pub fn selection(argument: &str) -> Selection {
    let argument = if argument.contains('/') { argument.to_owned() } else { format!("pods/{argument}") };
    Selection { args: vec![argument], ..Selection::default() }
}

impl Target {
    pub fn of(client: &Client, info: &Info) -> Result<Self, CliError> {
        let wanted = if info.found.kind == "Pod" && info.found.group.is_empty() {
            Wanted::Pod(info.name.clone())
        } else {
            Wanted::Labelled(labels(info, "cannot attach to")?)
        };
        Ok(Target { client: client.clone(), namespace: info.namespace.clone(), wanted })
    }

    /// The pod; where it may be any of several, waits until there is one.
    pub async fn pod(&self, patience: Duration) -> Result<Object, CliError> {
        let pods = format!("/api/v1/namespaces/{}/pods", segment(&self.namespace));
        let labels = match &self.wanted {
            Wanted::Pod(name) => return Ok(Object::new(self.client.get(&format!("{pods}/{}", segment(name))).await?)),
            Wanted::Labelled(labels) => labels,
        };
        let begun = tokio::time::Instant::now();
        loop {
            let mut list = self.client.send(Ask::get(pods.as_str()).query("labelSelector", labels.as_str())).await?.json()?;
            let Json::Array(items) = list["items"].take() else { return Err(CliError::message("the list has no items")) };
            if let Some(best) = items.into_iter().map(Object::new).max_by_key(activity) {
                return Ok(best);
            }
            if begun.elapsed() >= patience {
                return Err(CliError::message("timed out waiting for the condition"));
            }
            clock::sleep(LOOK.min(patience)).await;
        }
    }
}

/// The labels of a workload's pods, as a selector. `deed`: what cannot be done where it has none.
/// Source: `SelectorsForObject` in k8s.io/kubectl/pkg/polymorphichelpers/helpers.go.
pub fn labels(info: &Info, deed: &str) -> Result<String, CliError> {
    let selector = info.object.pointer("/spec/selector");
    let is_empty = selector.and_then(Json::as_object).is_none_or(|map| map.is_empty());
    let kind = format!("*{}.{}", info.found.version, info.found.kind);
    let why = match info.found.kind.as_str() {
        "Service" if is_empty => format!("invalid service '{}': Service is defined without a selector", info.name),
        "Service" | "ReplicationController" => return Ok(LabelSelector::of_map(selector).to_string()),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => match LabelSelector::of(selector) {
            Ok(selector) => return Ok(selector.to_string()),
            Err(why) => format!("invalid label selector: {why}"),
        },
        _ => format!("selector for {kind} not implemented"),
    };
    Err(CliError::message(format!("{deed} {kind}: {why}")))
}

/// The more, the better: assigned, running, ready, ready for longer, restarted less, older.
/// Source: k8s.io/kubectl/pkg/util/podutils/podutils.go: ActivePods.
fn activity(pod: &Object) -> impl Ord + use<> {
    let time = |text: Option<&str>| Reverse(text.and_then(|t| t.parse::<Timestamp>().ok()).unwrap_or(Timestamp::MAX));
    let phase = match pod.str_at("/status/phase") {
        Some("Running") => 2,
        Some("Unknown") => 1,
        _ => 0,
    };
    let conditions = pod.at("/status/conditions").and_then(Json::as_array);
    let ready = conditions.into_iter().flatten().find(|c| c["type"] == "Ready" && c["status"] == "True");
    let ready_at = ready.map(|c| time(c.get("lastTransitionTime").and_then(Json::as_str)));
    let statuses = pod.at("/status/containerStatuses").and_then(Json::as_array);
    let restarts = statuses.into_iter().flatten().filter_map(|s| s.get("restartCount")?.as_i64()).max().unwrap_or(0);
    let assigned = pod.str_at("/spec/nodeName").is_some_and(|n| !n.is_empty());
    let created = time(pod.str_at("/metadata/creationTimestamp"));
    (assigned, phase, ready.is_some(), ready_at, Reverse(restarts), created, Reverse(pod.name().to_owned()))
}

const LISTS: [(&str, &str); 3] =
    [("/spec/containers", ""), ("/spec/ephemeralContainers", " (ephem)"), ("/spec/initContainers", " (init)")];

/// A container of any sort, by its name.
pub fn container_named<'p>(pod: &'p Object, name: &str) -> Option<&'p Json> {
    let lists = LISTS.iter().filter_map(|(list, _)| pod.at(list)?.as_array());
    lists.flatten().find(|c| c["name"] == name)
}

/// The container that is meant: the one named, that of the annotation, or the first.
pub fn container<'p>(ctx: &mut Context, pod: &'p Object, name: &str, quiet: bool) -> Result<&'p Json, CliError> {
    let names = LISTS.iter().flat_map(|(list, mark)| {
        let list = pod.at(list).and_then(Json::as_array).into_iter().flatten();
        list.filter_map(move |c| Some(format!("{}{mark}", c.get("name")?.as_str()?)))
    });
    let names: Vec<String> = names.collect();
    if !name.is_empty() {
        let why = || format!("container {name} is not valid for pod {} out of: {}", pod.name(), names.join(", "));
        return container_named(pod, name).ok_or_else(|| CliError::message(why()));
    }
    let annotated = pod.annotation("kubectl.kubernetes.io/default-container").filter(|n| !n.is_empty());
    if let Some(container) = annotated.and_then(|name| container_named(pod, name)) {
        return Ok(container);
    }
    let first = pod.at("/spec/containers/0");
    let first = first.ok_or_else(|| CliError::message(format!("pod {} has no containers", quote(pod.name()))))?;
    if names.len() > 1 && !quiet {
        let name = first["name"].as_str().unwrap_or("");
        ctx.err.line(&format!("Defaulted container {} out of: {}", quote(name), names.join(", ")));
    }
    Ok(first)
}

/// A pod that has ended has nothing to talk to.
pub fn refuse_ended(pod: &Object, doing: &str) -> Result<(), CliError> {
    match pod.str_at("/status/phase") {
        Some(phase @ ("Succeeded" | "Failed")) => {
            Err(CliError::message(format!("cannot {doing} a container in a completed pod; current phase is {phase}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, phase: &str, ready_since: Option<&str>, restarts: i64) -> Object {
        let status = if ready_since.is_some() { "True" } else { "False" };
        Object::new(json!({
            "metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"nodeName": "n"},
            "status": {"phase": phase, "containerStatuses": [{"restartCount": restarts}],
                "conditions": [{"type": "Ready", "status": status, "lastTransitionTime": ready_since}]},
        }))
    }

    #[test]
    fn the_most_active_pod_is_taken() {
        let early = Some("2026-01-01T00:00:01Z");
        let pods = [
            pod("pending", "Pending", None, 0),
            pod("unready", "Running", None, 0),
            pod("late", "Running", Some("2026-01-01T00:01:00Z"), 0),
            pod("restarted", "Running", early, 3),
            pod("best", "Running", early, 0),
        ];
        let mut sorted: Vec<&Object> = pods.iter().collect();
        sorted.sort_by_key(|p| activity(p));
        let names: Vec<&str> = sorted.iter().map(|p| p.name()).collect();
        assert_eq!(names, ["pending", "unready", "late", "restarted", "best"]);
    }
}
