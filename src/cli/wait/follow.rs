//! Follows objects until all have settled, one has failed, or time is over.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::report::Progress as Report;
use super::settle::{self, Progress, progress};
use super::trouble::{Trouble, before_begin, troubles};
use crate::api::{Json, Object};
use crate::cli::declare::Target;
use crate::cli::{CliError, Context};
use crate::client::{Ask, Client, Found, WatchEvent};

/// How long a trouble that does not heal must last before waiting is given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for a pod that does not fit: others may be about to leave.
const ROOM_PATIENCE: Duration = Duration::from_secs(10);
/// So long a container that no probe asks must be up: one that ends as soon as it has begun was available for a moment.
const STAYS: Duration = Duration::from_millis(150);
/// The same for one that has ended before.
const STAYS_AGAIN: Duration = Duration::from_secs(3);
/// So long a DaemonSet may want no pod before that is believed: of a watch that begins just now the node may not be known yet.
const NODE_COMES: Duration = Duration::from_secs(3);
/// The same while there is no node at all.
const NO_NODE: Duration = Duration::from_secs(15);
/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(500);
/// News are collected for so long for each object that is still waited for, so that looking at ten thousand costs no more of
/// a processor than looking at ten.
const LOOK: Duration = Duration::from_micros(50);

/// How one object ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    Settled,
    /// With the whole reason.
    Failed(String),
    /// Time is over; what was missing.
    TimedOut(String),
}

/// What became of all.
#[derive(Debug, Default)]
pub struct Outcome {
    /// By label: `deployment.apps/web`.
    pub ended: Vec<(String, Ended)>,
    /// A Job was among the failed.
    pub job_failed: bool,
}

/// Waits for all `targets`. `timeout` zero: for ever.
pub async fn until_settled(
    ctx: &mut Context,
    client: &Client,
    targets: &[Target],
    timeout: Duration,
    report: &mut Report,
) -> Result<Outcome, CliError> {
    // What settles by being kept needs no waiting.
    let targets: Vec<&Target> = targets.iter().filter(|t| settle::moves(&t.found.group, &t.found.kind)).collect();
    let targets = targets.as_slice();
    if targets.is_empty() {
        return Ok(Outcome::default());
    }
    let mut following = Following::start(client, targets).await?;
    let end = (!timeout.is_zero()).then(|| Instant::now() + timeout);
    let mut waiting: BTreeSet<usize> = (0..targets.len()).collect();
    let mut outcome = Outcome::default();
    // Since when what was not as wanted is so.
    let mut settled_at: HashMap<usize, Instant> = HashMap::new();
    let mut first = true;
    loop {
        let mut soon = TICK;
        for index in waiting.clone() {
            let target = targets[index];
            let (sentence, ended) = match following.judge(target) {
                Progress::Settled(sentence) => {
                    let since = settled_at.entry(index).or_insert_with(Instant::now).elapsed();
                    let wants_none = following.wants_none(target);
                    let least = match wants_none {
                        true if has_node(client).await => NODE_COMES,
                        true => NO_NODE,
                        false => following.must_stay(target, first, ctx.now()),
                    };
                    if since < least {
                        soon = soon.min(least.saturating_sub(since));
                        continue;
                    }
                    (sentence, Some(Ended::Settled))
                }
                Progress::Failed(sentence) => (sentence.clone(), Some(Ended::Failed(sentence))),
                Progress::Waiting(sentence) => match following.lasting_trouble(target) {
                    Some(why) => (sentence, Some(Ended::Failed(why))),
                    None => (sentence, None),
                },
            };
            settled_at.remove(&index);
            let over = end.is_some_and(|end| Instant::now() >= end);
            let ended = ended.or_else(|| over.then(|| Ended::TimedOut(sentence.clone())));
            if !sentence.is_empty() || ended.is_some() {
                report.tell(ctx, &target.label(), &sentence, ended.as_ref());
            }
            if let Some(ended) = ended {
                waiting.remove(&index);
                let ended = match ended {
                    Ended::Failed(why) => Ended::Failed(following.explain(client, target, why).await),
                    Ended::TimedOut(missing) => Ended::TimedOut(following.with_trouble(target, missing)),
                    Ended::Settled => Ended::Settled,
                };
                outcome.job_failed |= target.found.kind == "Job" && matches!(ended, Ended::Failed(_));
                outcome.ended.push((target.label(), ended));
            }
        }
        if waiting.is_empty() {
            report.finish(ctx);
            return Ok(outcome);
        }
        first = false;
        following.next(soon).await?;
        let pause = LOOK * u32::try_from(waiting.len()).unwrap_or(u32::MAX);
        tokio::time::sleep(pause.min(TICK)).await;
        following.take_in()?;
    }
}

type Place = (String, String, String);

/// How the warnings of pods are kept among what is followed.
const EVENTS: &str = "warnings";

/// The objects as last seen.
#[derive(Default)]
struct Seen {
    objects: HashMap<Place, Object>,
    /// Where the objects are that belong to one, by its uid: those that it controls, the warnings about it.
    of: HashMap<String, BTreeSet<Place>>,
}

impl Seen {
    fn put(&mut self, place: Place, object: Option<Object>) {
        if let Some(old) = self.objects.remove(&place)
            && let Some(holder) = holder(&place, &old)
            && let Some(places) = self.of.get_mut(holder)
        {
            places.remove(&place);
            if places.is_empty() {
                self.of.remove(holder);
            }
        }
        let Some(object) = object else { return };
        if let Some(holder) = holder(&place, &object) {
            self.of.entry(holder.to_owned()).or_default().insert(place.clone());
        }
        self.objects.insert(place, object);
    }

    /// What belongs to the object with this uid, in order of names.
    fn of<'s>(&'s self, uid: &str, kind: &'static str) -> impl Iterator<Item = &'s Object> {
        let places = self.of.get(uid).into_iter().flatten();
        places.filter(move |place| place.0 == kind).filter_map(|place| self.objects.get(place))
    }
}

fn holder<'o>(place: &Place, object: &'o Object) -> Option<&'o str> {
    if place.0 == EVENTS { object.str_at("/involvedObject/uid") } else { object.controller_uid() }
}

/// What is followed, and its news.
struct Following {
    updates: mpsc::Receiver<Result<(Place, Option<Object>), CliError>>,
    seen: Seen,
    /// Since when a pod's container has had a trouble that does not heal.
    since: HashMap<(String, String), Instant>,
    _tasks: JoinSet<()>,
}

impl Following {
    async fn start(client: &Client, targets: &[&Target]) -> Result<Self, CliError> {
        let discovery = client.discovery().await?;
        let mut wanted: BTreeMap<(String, String), Arc<Found>> = BTreeMap::new();
        for target in targets {
            wanted.insert((target.found.qualified(), target.namespace.clone()), target.found.clone());
            for beside in ["pods", "replicasets.apps"] {
                if let Some(lookup) = discovery.lookup(beside).filter(|_| target.found.namespaced) {
                    wanted.insert((beside.into(), target.namespace.clone()), lookup.found);
                }
            }
        }
        let (send, updates) = mpsc::channel(256);
        let mut tasks = JoinSet::new();
        for target in targets.iter().filter(|t| t.found.namespaced) {
            if let Some(lookup) = discovery.lookup("events") {
                wanted.insert((EVENTS.into(), target.namespace.clone()), lookup.found);
            }
        }
        for ((qualified, namespace), found) in wanted {
            let (client, send) = (client.clone(), send.clone());
            let fields = if qualified == EVENTS { "type=Warning,involvedObject.kind=Pod" } else { "" };
            tasks.spawn(async move {
                if let Err(error) = follow(&client, &found, &qualified, &namespace, fields, &send).await {
                    let _ = send.send(Err(error)).await;
                }
            });
        }
        let mut following = Following { updates, seen: Seen::default(), since: HashMap::new(), _tasks: tasks };
        // The first lists: without them everything would look as if it were missing.
        following.next(Duration::from_secs(5)).await?;
        Ok(following)
    }

    /// Takes in what has changed; returns after the first news, or when `at_most` has passed.
    async fn next(&mut self, at_most: Duration) -> Result<(), CliError> {
        let Ok(Some(first)) = tokio::time::timeout(at_most, self.updates.recv()).await else { return Ok(()) };
        let (place, object) = first?;
        self.seen.put(place, object);
        self.take_in()
    }

    /// Takes in what has come already.
    fn take_in(&mut self) -> Result<(), CliError> {
        while let Ok(news) = self.updates.try_recv() {
            let (place, object) = news?;
            self.seen.put(place, object);
        }
        Ok(())
    }

    fn object(&self, target: &Target) -> Option<&Object> {
        self.seen.objects.get(&(target.found.qualified(), target.namespace.clone(), target.name.clone()))
    }

    fn judge(&self, target: &Target) -> Progress {
        match self.object(target) {
            Some(object) => progress(object.json()),
            None => Progress::Waiting(String::new()),
        }
    }

    /// The newest pods of a target: those whose troubles are its own.
    fn pods(&self, target: &Target) -> Vec<&Object> {
        let Some(object) = self.object(target) else { return Vec::new() };
        if target.found.kind == "Pod" && target.found.group.is_empty() {
            return vec![object];
        }
        let owner = if target.found.kind == "Deployment" {
            let revision = object.annotation("deployment.kubernetes.io/revision");
            let mut owned = self.seen.of(object.uid(), "replicasets.apps");
            let newest = owned.find(|rs| rs.annotation("deployment.kubernetes.io/revision") == revision);
            match newest {
                Some(replica_set) => replica_set.uid(),
                None => return Vec::new(),
            }
        } else {
            object.uid()
        };
        let update = object.str_at("/status/updateRevision");
        let hash = |pod: &Object| pod.label("controller-revision-hash").map(str::to_owned);
        self.seen
            .of(owner, "pods")
            .filter(|pod| !pod.is_deleting())
            .filter(|pod| target.found.kind != "StatefulSet" || hash(pod).as_deref() == update)
            .collect()
    }

    /// Why a target will not settle by itself, once that has lasted long enough.
    fn lasting_trouble(&mut self, target: &Target) -> Option<String> {
        // A Job counts its own failures.
        if target.found.kind == "Job" {
            return None;
        }
        let found = self.troubles(target);
        let now = Instant::now();
        let mut given_up = None;
        let mut current = BTreeSet::new();
        for (pod, trouble) in found.into_iter().filter(|(_, t)| t.lasting) {
            let key = (pod.clone(), trouble.container.clone());
            let since = *self.since.entry(key.clone()).or_insert(now);
            current.insert(key);
            let patience = if trouble.container.is_empty() { ROOM_PATIENCE } else { PATIENCE };
            if now.duration_since(since) >= patience && given_up.is_none() {
                given_up = Some(told(&pod, &trouble));
            }
        }
        let names: BTreeSet<String> = self.pods(target).iter().map(|p| p.name().to_owned()).collect();
        self.since.retain(|key, _| !names.contains(&key.0) || current.contains(key));
        given_up
    }

    /// What keeps the pods of a target, by pod.
    fn troubles(&self, target: &Target) -> Vec<(String, Trouble)> {
        let of_pod = |pod: &Object| {
            let events: Vec<&Json> = self.seen.of(pod.uid(), EVENTS).map(Object::json).collect();
            let mut found = troubles(pod.json());
            found.extend(before_begin(pod.json(), &events));
            found.into_iter().map(|trouble| (pod.name().to_owned(), trouble)).collect::<Vec<_>>()
        };
        self.pods(target).into_iter().flat_map(of_pod).collect()
    }

    /// What is missing, with the first trouble that there is.
    fn with_trouble(&self, target: &Target, missing: String) -> String {
        match self.troubles(target).into_iter().next() {
            Some((pod, trouble)) => format!("{missing}\n  {}", told(&pod, &trouble)),
            None => missing,
        }
    }

    /// Whether it is a DaemonSet that knows no node for its pods.
    fn wants_none(&self, target: &Target) -> bool {
        let object = self.object(target);
        target.found.kind == "DaemonSet"
            && object.and_then(|o| o.at("/status/desiredNumberScheduled")?.as_i64()).unwrap_or_default() == 0
    }

    /// How long a target must stay as wanted before that is believed: longest for containers that nothing but their own
    /// end tells from those that work. `first`: this is the first look, and nothing has been changed since.
    fn must_stay(&self, target: &Target, first: bool, now: Timestamp) -> Duration {
        if target.found.kind == "Job" {
            return Duration::ZERO;
        }
        let of_pod = |pod: &&Object| must_stay_up(pod, now, first);
        self.pods(target).iter().map(of_pod).max().unwrap_or_default()
    }

    /// Adds what the pod's events and the dead container's log say.
    async fn explain(&self, client: &Client, target: &Target, why: String) -> String {
        let mut text = why;
        let Some((pod, trouble)) = self.pods(target).into_iter().find_map(|pod| {
            Some((pod, troubles(pod.json()).into_iter().find(|t| !t.container.is_empty())?))
        }) else {
            return text;
        };
        if let Some(answer) = last_probe(client, pod).await {
            text.push_str(&format!("\n  last probe: {answer}"));
        }
        if trouble.has_previous {
            let lines = last_lines(client, pod, &trouble.container).await;
            if !lines.is_empty() {
                text.push_str(&format!("\n  last lines of container {}:", trouble.container));
                for line in lines {
                    text.push_str(&format!("\n    {line}"));
                }
            }
        }
        text
    }
}

/// Whether the server knows a node. Where it cannot be asked, that is for others to tell.
async fn has_node(client: &Client) -> bool {
    let nodes = client.get("/api/v1/nodes?limit=1").await;
    nodes.map_or(true, |list| list["items"].as_array().is_none_or(|items| !items.is_empty()))
}

/// How much longer the containers of a pod that no probe asks must be up.
fn must_stay_up(pod: &Object, now: Timestamp, first: bool) -> Duration {
    let list = |pointer: &str| pod.at(pointer).and_then(Json::as_array).into_iter().flatten();
    let unprobed = |name: Option<&Json>| {
        list("/spec/containers").any(|c| c.get("name") == name && c.get("readinessProbe").is_none())
    };
    let of_container = |status: &Json| {
        let restarted = status.get("restartCount").and_then(Json::as_i64).unwrap_or_default() > 0;
        let least = if restarted { STAYS_AGAIN } else { STAYS };
        let begun = status.pointer("/state/running/startedAt").and_then(Json::as_str);
        let up: Option<Duration> = begun.and_then(|text| text.parse::<Timestamp>().ok()).and_then(|t| now.duration_since(t).try_into().ok());
        match up {
            Some(up) if first || restarted => least.saturating_sub(up),
            _ => least,
        }
    };
    let statuses = list("/status/containerStatuses").filter(|status| unprobed(status.get("name")));
    statuses.map(of_container).max().unwrap_or_default()
}

fn told(pod: &str, trouble: &Trouble) -> String {
    let container = if trouble.container.is_empty() { String::new() } else { format!(", container {}", trouble.container) };
    format!("pod {pod}{container}: {}", trouble.what)
}

/// The newest `Unhealthy` event's message.
async fn last_probe(client: &Client, pod: &Object) -> Option<String> {
    let path = format!("/api/v1/namespaces/{}/events", pod.namespace());
    let ask = Ask::get(path).query("fieldSelector", format!("involvedObject.uid={},reason=Unhealthy", pod.uid()));
    let list = client.send(ask).await.ok()?.json().ok()?;
    let events = list.get("items")?.as_array()?;
    let newest = events.iter().max_by_key(|e| e.get("lastTimestamp").and_then(Json::as_str).unwrap_or("").to_owned())?;
    Some(newest.get("message")?.as_str()?.to_owned())
}

/// The last ten lines of a container's dead attempt, or of the one that runs.
async fn last_lines(client: &Client, pod: &Object, container: &str) -> Vec<String> {
    let path = format!("/api/v1/namespaces/{}/pods/{}/log", pod.namespace(), pod.name());
    for previous in ["false", "true"] {
        let ask = Ask::get(path.clone())
            .query("container", container)
            .query("previous", previous)
            .query("tailLines", "10");
        if let Ok(answer) = client.send(ask).await {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            if !text.trim().is_empty() {
                return text.lines().map(crate::cli::terminal::escape).collect();
            }
        }
    }
    Vec::new()
}

/// Lists a collection and then follows it, for ever.
async fn follow(
    client: &Client,
    found: &Found,
    qualified: &str,
    namespace: &str,
    fields: &'static str,
    send: &mpsc::Sender<Result<(Place, Option<Object>), CliError>>,
) -> Result<(), CliError> {
    let path = found.path(namespace, "");
    let selected = |ask: Ask| if fields.is_empty() { ask } else { ask.query("fieldSelector", fields) };
    let place = |object: &Object| (qualified.to_owned(), namespace.to_owned(), object.name().to_owned());
    let whole = |mut object: Object| {
        let json = object.json_mut();
        if let Some(map) = json.as_object_mut() {
            map.insert("apiVersion".into(), found.api_version().into());
            map.insert("kind".into(), found.kind.clone().into());
        }
        object
    };
    loop {
        let list = client.send(selected(Ask::get(path.clone()))).await?.json()?;
        for item in list.get("items").and_then(Json::as_array).into_iter().flatten() {
            let object = whole(Object::new(item.clone()));
            if send.send(Ok((place(&object), Some(object)))).await.is_err() {
                return Ok(());
            }
        }
        let revision = list.pointer("/metadata/resourceVersion").and_then(Json::as_str).unwrap_or("").to_owned();
        let ask = Ask::get(path.clone()).query("watch", "true").query("resourceVersion", revision);
        let mut watch = client.watch(selected(ask)).await?;
        while let Some(event) = watch.next().await? {
            let (object, gone) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                WatchEvent::Deleted(object) => (object, true),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(_) => break,
            };
            let place = place(&object);
            let news = if gone { None } else { Some(whole(object)) };
            if send.send(Ok((place, news))).await.is_err() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_belongs_to_an_object_is_found_by_its_uid() {
        let pod = |owner: &str| {
            Object::new(json!({"metadata": {"name": "p", "ownerReferences": [{"uid": owner, "controller": true}]}}))
        };
        let at = |kind: &str, name: &str| -> Place { (kind.into(), "default".into(), name.into()) };
        let mut seen = Seen::default();
        let names = |seen: &Seen, uid: &str, kind| seen.of(uid, kind).map(|o| o.name().to_owned()).collect::<Vec<_>>();
        seen.put(at("pods", "p"), Some(pod("a")));
        seen.put(at(EVENTS, "e"), Some(Object::new(json!({"metadata": {"name": "e"}, "involvedObject": {"uid": "a"}}))));
        assert_eq!((names(&seen, "a", "pods"), names(&seen, "a", EVENTS)), (vec!["p".to_owned()], vec!["e".to_owned()]));
        seen.put(at("pods", "p"), Some(pod("b")));
        assert_eq!((names(&seen, "a", "pods"), names(&seen, "b", "pods")), (vec![], vec!["p".to_owned()]));
        seen.put(at("pods", "p"), None);
        seen.put(at(EVENTS, "e"), None);
        assert!(seen.of.is_empty() && seen.objects.is_empty());
    }

    #[test]
    fn containers_without_a_probe_must_be_up_for_a_while_longer_where_they_have_ended_before() {
        let pod = |restarts: i64, probe: bool, state: Json| {
            let probe = if probe { json!({"tcpSocket": {"port": 80}}) } else { Json::Null };
            let mut container = json!({"name": "c", "readinessProbe": probe});
            if container["readinessProbe"].is_null() {
                container.as_object_mut().expect("a map").remove("readinessProbe");
            }
            Object::new(json!({"spec": {"containers": [container]}, "status": {"containerStatuses": [
                {"name": "c", "restartCount": restarts, "state": state}]}}))
        };
        let now: Timestamp = "2026-01-01T00:00:02Z".parse().expect("a time");
        let up = |time: &str| json!({"running": {"startedAt": time}});
        let (long, just) = (up("2026-01-01T00:00:00Z"), up("2026-01-01T00:00:02Z"));
        let crashed = json!({"terminated": {"exitCode": 7}});
        let cases = [
            (pod(0, false, long.clone()), true, Duration::ZERO),
            (pod(0, false, just.clone()), true, STAYS),
            (pod(0, false, long.clone()), false, STAYS),
            (pod(1, false, long), true, Duration::from_secs(1)),
            (pod(1, false, just.clone()), false, STAYS_AGAIN),
            (pod(0, false, crashed), true, STAYS),
            (pod(3, true, just), false, Duration::ZERO),
        ];
        for (pod, first, wanted) in cases {
            assert_eq!(must_stay_up(&pod, now, first), wanted, "{}", pod.json());
        }
    }
}
