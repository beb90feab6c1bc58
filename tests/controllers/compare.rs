//! How a run is held against its recording.

use std::collections::HashSet;

use serde_json::{Value as Json, json};

use crate::api::{merge, resource_of};
use crate::cluster::Cluster;
use crate::reduce::{object as reduced, unnumbered};

/// What agreed; `None`, or the first difference.
#[derive(Default)]
pub struct Verdict {
    pub end: Option<String>,
    pub decisions: Option<String>,
    pub status: Option<String>,
    pub events: Option<String>,
}

impl Verdict {
    pub fn agrees(&self) -> bool {
        self.end.is_none() && self.decisions.is_none() && self.status.is_none() && self.events.is_none()
    }
}

/// Equal, with seconds that may be one apart.
pub fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Object(x), Json::Object(y)) => {
            // When a volume changed is a matter of the machine that recorded it.
            let timing = |k: &str| k == "lastPhaseTransitionTime";
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| timing(k) || same(v, w)))
        }
        (Json::Array(x), Json::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(v, w)| same(v, w)),
        (Json::String(x), Json::String(y)) => {
            let second = |t: &str| t.strip_prefix("T+").and_then(|n| n.parse::<i64>().ok());
            x == y || matches!((second(x), second(y)), (Some(p), Some(q)) if (p - q).abs() <= 2)
        }
        _ => a == b,
    }
}

fn text(tree: &Json, name: &str) -> String {
    tree[name].as_str().unwrap_or("").to_owned()
}

/// Whether objects of this kind are compared in this case.
fn compared(group: &str, kind: &str, name: &str) -> bool {
    let bookkeeping = kind == "ServiceAccount" || name == "kube-root-ca.crt" || kind == "Node";
    !bookkeeping && (group == "namespace" || kind != "Namespace")
}

pub fn judge(case: &Json, cluster: &Cluster) -> Verdict {
    // Where two recordings of the real controllers differ from each other there is nothing to agree with.
    let comparable = |part: &str| case["repeat"][part] != false;
    let when = |compared: bool, difference: &dyn Fn(&Json, &Cluster) -> Option<String>| {
        if compared { difference(case, cluster) } else { None }
    };
    Verdict {
        end: when(comparable("final"), &differing_end),
        decisions: when(comparable("decisions"), &differing_decisions),
        status: when(comparable("decisions"), &differing_status),
        events: when(comparable("events"), &differing_events),
    }
}

fn differing_end(case: &Json, cluster: &Cluster) -> Option<String> {
    let group = text(case, "group");
    let mut expected: Vec<Json> = case["final"].as_array().unwrap().iter().map(unnumbered).collect();
    for object in &mut expected {
        tidy(object);
    }
    expected.retain(|o| {
        o["gone"].is_null() && compared(&group, &text(o, "kind"), o["metadata"]["name"].as_str().unwrap_or(""))
    });
    let mut actual = Vec::new();
    let state = &cluster.api.state;
    let namespaces = resource_of("Namespace");
    let itself = state.all(&namespaces).filter(|namespace| namespace.name() == cluster.namespace);
    let resources: Vec<_> = state.resources().cloned().collect();
    let mut objects: Vec<_> = itself.collect();
    for resource in &resources {
        objects.extend(state.in_namespace(resource, &cluster.namespace));
    }
    for object in objects.into_iter().filter(|o| compared(&group, o.kind(), o.name())) {
        let mut tree = cluster.names.shown(&reduced(object));
        tree["kind"] = json!(object.kind());
        tidy(&mut tree);
        actual.push(tree);
    }
    unmatched(expected, actual)
}

/// Lists whose order says nothing, and times of another clock: of endpoints.
fn tidy_endpoints(object: &mut Json) {
    let metadata = object.get_mut("metadata").and_then(Json::as_object_mut);
    if let Some(annotations) = metadata.and_then(|m| m.remove("annotations")) {
        let mut annotations = annotations.as_object().cloned().unwrap_or_default();
        annotations.remove("endpoints.kubernetes.io/last-change-trigger-time");
        if !annotations.is_empty() {
            object["metadata"]["annotations"] = Json::Object(annotations);
        }
    }
    let sorted = |list: Option<&mut Json>| {
        if let Some(list) = list.and_then(Json::as_array_mut) {
            list.sort_by_key(Json::to_string);
        }
    };
    sorted(object.get_mut("endpoints"));
    sorted(object.get_mut("ports"));
    for subset in object.get_mut("subsets").and_then(Json::as_array_mut).into_iter().flatten() {
        for list in ["addresses", "notReadyAddresses", "ports"] {
            sorted(subset.get_mut(list));
        }
    }
    sorted(object.get_mut("subsets"));
}

/// Whether a kind is written anew with every pod that changes: how many of them one write takes in is a
/// matter of timing, as with a status.
fn tells_of_pods(kind: &str) -> bool {
    matches!(kind, "Endpoints" | "EndpointSlice")
}

/// Leaves out what depends on the order within a batch.
fn tidy(object: &mut Json) {
    if tells_of_pods(object["kind"].as_str().unwrap_or("")) {
        tidy_endpoints(object);
    }
    let is_set = object["kind"] == "ReplicaSet";
    if let Some(status) = object.get_mut("status").and_then(Json::as_object_mut) {
        if is_set {
            status.remove("observedGeneration");
        }
        status.remove("podIP");
        status.remove("containers");
        if status.is_empty() {
            object.as_object_mut().unwrap().remove("status");
        }
    }
    // How many writes it took is compared with the decisions.
    object["metadata"].as_object_mut().unwrap().remove("generation");
    object["metadata"].as_object_mut().unwrap().remove("deleting");
    object.as_object_mut().unwrap().remove("deleting");
}

fn unmatched(expected: Vec<Json>, mut actual: Vec<Json>) -> Option<String> {
    let mut missing = Vec::new();
    for object in expected {
        match actual.iter().position(|a| same(a, &object)) {
            Some(at) => drop(actual.swap_remove(at)),
            None => missing.push(object),
        }
    }
    if missing.is_empty() && actual.is_empty() {
        return None;
    }
    let lines = |list: &[Json]| list.iter().map(Json::to_string).collect::<Vec<_>>().join("\n    ");
    Some(format!("missing:\n    {}\n  surplus:\n    {}", lines(&missing), lines(&actual)))
}

/// One decision: whose, on what, and what.
#[derive(Clone, Debug)]
struct Step {
    by: String,
    kind: String,
    verb: String,
    name: String,
    body: Json,
    at: f64,
}

fn recorded_steps(case: &Json) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut collected = HashSet::new();
    for entry in case["trace"].as_array().unwrap() {
        if entry.get("code").is_some() || entry.get("noop").is_some() {
            continue;
        }
        // The collector deletes again what it has not seen going yet.
        let is_collection = entry["verb"] == "delete" && entry["by"] == "generic-garbage-collector";
        if is_collection && !collected.insert(format!("{} {}", entry["kind"], entry["name"])) {
            continue;
        }
        let entry = unnumbered(entry);
        let verb = text(&entry, "verb");
        let (verb, body) = match verb.as_str() {
            "create" => ("create", entry["object"].clone()),
            "update" | "patch" => {
                let mut change = entry["change"].clone();
                if let Some(metadata) = change.get_mut("metadata").and_then(Json::as_object_mut) {
                    metadata.remove("generation");
                }
                // What it was compared with lacks annotations that were there.
                if entry["by"] == "generic-garbage-collector"
                    && let Some(metadata) = change.get_mut("metadata").and_then(Json::as_object_mut)
                {
                    metadata.remove("annotations");
                }
                // A binding that came between: the change is against the object as it was recorded last.
                if entry["kind"] == "Pod" && change["spec"].as_object().is_some_and(|spec| spec.keys().eq(["nodeName"]))
                {
                    change.as_object_mut().unwrap().remove("spec");
                }
                ("change", change)
            }
            "delete" => ("delete", entry["options"]["propagationPolicy"].clone()),
            "status" => {
                let body = entry.get("status").map(|s| {
                    let change = entry.get("metadata_change").cloned().unwrap_or(json!({}));
                    json!({"status": s, "metadata_change": change})
                });
                ("status", body.unwrap_or(entry["change"].clone()))
            }
            other => (other, Json::Null),
        };
        let at = entry["at"].as_f64().unwrap();
        steps.push(Step {
            by: text(&entry, "by"),
            kind: text(&entry, "kind"),
            verb: verb.into(),
            name: text(&entry, "name"),
            body,
            at,
        });
    }
    steps
}

fn own_steps(cluster: &Cluster) -> Vec<Step> {
    let show = |e: &crate::cluster::Entry| Step {
        by: e.by.clone(),
        kind: e.kind.clone(),
        verb: e.verb.into(),
        name: cluster.names.show(&e.name),
        body: cluster.names.shown(&e.body),
        at: e.at,
    };
    cluster.trace.iter().map(show).collect()
}

fn by_controller(steps: Vec<Step>, group: &str, status: bool) -> Vec<((String, String, String), Vec<Step>)> {
    let mut groups: Vec<((String, String, String), Vec<Step>)> = Vec::new();
    for step in steps {
        if (step.verb == "status") != status || !compared(group, &step.kind, &step.name) {
            continue;
        }
        if matches!(step.by.as_str(), "root-ca-cert-publisher" | "ttl-controller") {
            continue;
        }
        // The kinds of a namespace go in no order, and what is left to others depends on it.
        if group == "namespace" && (step.verb.starts_with("delete") || tells_of_pods(&step.kind)) {
            continue;
        }
        let owner = if status {
            step.name.clone()
        } else if step.kind == "Pod" {
            step.name.split("<p>").next().unwrap().to_owned()
        } else {
            String::new()
        };
        let key = (step.by.clone(), step.kind.clone(), owner);
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, list)) => list.push(step),
            None => groups.push((key, vec![step])),
        }
    }
    groups.sort_by(|a, b| a.0.cmp(&b.0));
    groups
}

/// Sorts what one look wrote: it was written side by side.
fn sort_batches(steps: &mut [Step]) {
    let mut from = 0;
    while from < steps.len() {
        let mut to = from + 1;
        while to < steps.len() && steps[to].verb == steps[from].verb && steps[to].at - steps[from].at < 1.0 {
            to += 1;
        }
        steps[from..to].sort_by_cached_key(|s| (s.name.clone(), s.body.to_string()));
        from = to;
    }
}

fn differing_decisions(case: &Json, cluster: &Cluster) -> Option<String> {
    let group = text(case, "group");
    let mut expected = by_controller(recorded_steps(case), &group, false);
    let mut actual = by_controller(own_steps(cluster), &group, false);
    type Keyed = ((String, String, String), Vec<Step>);
    let keys = |g: &[Keyed]| g.iter().map(|(k, _)| k.clone()).collect::<Vec<_>>();
    if keys(&expected) != keys(&actual) {
        return Some(format!("who wrote what: recorded {:?}, here {:?}", keys(&expected), keys(&actual)));
    }
    for ((key, wanted), (_, got)) in expected.iter_mut().zip(&mut actual) {
        if tells_of_pods(&key.1) {
            if let Some(difference) = differing_contents(wanted, got) {
                return Some(format!("{key:?} {difference}"));
            }
            continue;
        }
        if key.1 != "ReplicaSet" {
            sort_batches(wanted);
            sort_batches(got);
        }
        for at in 0..wanted.len().max(got.len()) {
            let (w, g) = (wanted.get(at), got.get(at));
            let equal = match (w, g) {
                (Some(w), Some(g)) => w.verb == g.verb && w.name == g.name && same(&w.body, &g.body),
                _ => false,
            };
            if !equal {
                return Some(format!("{key:?} step {at}:\n    recorded {}\n    here     {}", line(w), line(g)));
            }
        }
    }
    None
}

/// What Endpoints or slices said one after the other: the same in the end, and one run says nothing
/// that the other leaves out but for what lies between two of its own.
fn differing_contents(wanted: &[Step], got: &[Step]) -> Option<String> {
    let (wanted, got) = (contents(wanted), contents(got));
    let is_among = |few: &[Json], many: &[Json]| {
        let mut rest = many.iter();
        few.iter().all(|one| rest.any(|other| same(one, other)))
    };
    let ends = |list: &[Json]| list.last().map(Json::to_string);
    if ends(&wanted) != ends(&got) || !(is_among(&wanted, &got) || is_among(&got, &wanted)) {
        let lines = |list: &[Json]| list.iter().map(Json::to_string).collect::<Vec<_>>().join("\n    ");
        return Some(format!("says:\n    recorded {}\n    here     {}", lines(&wanted), lines(&got)));
    }
    None
}

/// All objects of the kind, by name, after each write.
fn contents(steps: &[Step]) -> Vec<Json> {
    let mut now: Vec<(usize, Json)> = Vec::new();
    let mut states: Vec<Json> = Vec::new();
    for step in steps {
        // Names are not told apart by their numbers: the newest of a name that has such a change.
        match step.verb.as_str() {
            "create" => now.push((now.len(), step.body.clone())),
            "delete" => drop(now.pop()),
            _ => {
                let fits = |object: &Json| !object["endpoints"].is_array() || shares_address(object, &step.body);
                let at = now.iter().rposition(|(_, object)| fits(object)).or(now.len().checked_sub(1));
                if let Some(at) = at {
                    merge(&mut now[at].1, &step.body);
                }
            }
        }
        let mut all: Vec<Json> = now.iter().map(|(_, object)| object.clone()).collect();
        all.iter_mut().for_each(tidy_endpoints);
        all.sort_by_key(Json::to_string);
        let all = Json::Array(all);
        if states.last() != Some(&all) {
            states.push(all);
        }
    }
    states
}

fn shares_address(object: &Json, change: &Json) -> bool {
    let addresses = |tree: &Json| -> Vec<String> {
        let list = tree["endpoints"].as_array().into_iter().flatten();
        list.map(|endpoint| endpoint["addresses"].to_string()).collect()
    };
    let own = addresses(object);
    let changed = addresses(change);
    changed.is_empty() || changed.iter().any(|address| own.contains(address))
}

fn line(step: Option<&Step>) -> String {
    step.map_or("nothing".into(), |s| format!("{:.1} {} {} {}", s.at, s.verb, s.name, s.body))
}

fn differing_status(case: &Json, cluster: &Cluster) -> Option<String> {
    let group = text(case, "group");
    let mut expected = by_controller(recorded_steps(case), &group, true);
    let mut actual = by_controller(own_steps(cluster), &group, true);
    for (_, steps) in expected.iter_mut().chain(&mut actual) {
        steps.dedup_by(|b, a| same(&a.body, &b.body));
    }
    for (key, wanted) in &expected {
        let Some((_, got)) = actual.iter().find(|(k, _)| k == key) else {
            return Some(format!("{key:?} never written"));
        };
        let (w, g) = (wanted.last(), got.last());
        if !same(&w.unwrap().body["status"], &g.unwrap().body["status"]) {
            return Some(format!("{key:?} ends differently:\n    recorded {}\n    here     {}", line(w), line(g)));
        }
        if let Some(odd) = astray(got, wanted)
            && astray(wanted, got).is_some()
        {
            return Some(format!("{key:?} is not among the recorded states:\n    {}", line(Some(odd))));
        }
    }
    let extra = actual.iter().find(|(key, _)| expected.iter().all(|(k, _)| k != key));
    extra.map(|(key, steps)| format!("{key:?} was never recorded: {}", line(steps.first())))
}

/// The first of `steps` that is neither one of `all`, in order, nor on the way from one to the next. How
/// many states lie between two, and how many Pods one look takes in at once, is a matter of timing.
fn astray<'a>(steps: &'a [Step], all: &[Step]) -> Option<&'a Step> {
    let mut from = 0;
    steps.iter().find(|step| {
        let exact = (from..all.len()).find(|at| same(&all[*at].body, &step.body));
        let at = exact.or_else(|| {
            let first = from.saturating_sub(1);
            (first..all.len()).find(|at| {
                let next = all.get(at + 1);
                next.is_some_and(|next| {
                    is_between(&step.body["status"], &all[*at].body["status"], &next.body["status"])
                })
            })
        });
        from = at.unwrap_or(from);
        at.is_none()
    })
}

/// Whether each count lies between those of two states, and everything else is as in one of them.
fn is_between(state: &Json, a: &Json, b: &Json) -> bool {
    let (Some(s), Some(x), Some(y)) = (state.as_object(), a.as_object(), b.as_object()) else { return false };
    // A template that has changed in between begins with no pod.
    let is_new = x.get("observedGeneration") != y.get("observedGeneration");
    let names = s.keys().chain(x.keys()).chain(y.keys());
    names.into_iter().all(|name| {
        let (now, from, to) = (s.get(name), x.get(name), y.get(name));
        let number = |value: Option<&Json>| value.map_or(Some(0), Json::as_i64);
        if let (Some(n), Some(p), Some(q)) = (number(now), number(from), number(to)) {
            let least = if is_new && name == "updatedReplicas" { 0 } else { p.min(q) };
            return least <= n && n <= p.max(q);
        }
        if name == "conditions" {
            let listed = |list: Option<&Json>| list.and_then(Json::as_array).cloned().unwrap_or_default();
            let known = [listed(from), listed(to)].concat();
            return listed(now).iter().all(|c| known.iter().any(|k| same(c, k)));
        }
        let equal = |other: Option<&Json>| match (now, other) {
            (Some(v), Some(w)) => same(v, w),
            (v, w) => v.is_none() && w.is_none(),
        };
        equal(from) || equal(to)
    })
}

fn differing_events(case: &Json, cluster: &Cluster) -> Option<String> {
    let group = text(case, "group");
    let pick = |e: &Json| json!([e["by"], e["reason"], e["type"], e["object"], e["message"]]);
    let expected = case["events"].as_array().unwrap().iter().map(unnumbered).map(|e| pick(&e));
    let actual = cluster.events.iter().map(|e| cluster.names.shown(e)).map(|e| pick(&e));
    let counts = |e: &Json| group == "namespace" || !e[3].as_str().unwrap().starts_with("Node/");
    let mut expected: Vec<Json> = expected.filter(counts).collect();
    let mut actual: Vec<Json> = actual.filter(counts).collect();
    expected.sort_by_key(Json::to_string);
    actual.sort_by_key(Json::to_string);
    unmatched(expected, actual)
}
