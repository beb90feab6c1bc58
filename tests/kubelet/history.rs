//! What happened in one scenario, as it was recorded or as it was seen here, and conditions on it.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// One thing that a watch of pods told.
#[derive(Clone, Debug)]
pub struct PodChange {
    pub at: f64,
    pub status: Json,
    pub deleted: bool,
    pub maybe: bool,
}

#[derive(Clone, Debug)]
pub struct EventSeen {
    pub pod: String,
    pub kind: String,
    pub reason: String,
    pub message: String,
    pub field_path: String,
    pub component: String,
    pub count: i64,
    /// When each count was seen.
    pub seen: Vec<f64>,
    pub maybe: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub at: f64,
    pub text: String,
    pub is_err: bool,
}

#[derive(Clone, Debug, Default)]
pub struct History {
    pub pods: BTreeMap<String, Vec<PodChange>>,
    pub events: Vec<EventSeen>,
    /// By `pod/container/attempt`.
    pub logs: BTreeMap<String, Vec<Line>>,
}

fn text<'a>(tree: &'a Json, key: &str) -> &'a str {
    tree[key].as_str().unwrap_or_default()
}

impl History {
    /// From a record.
    pub fn recorded(record: &Json) -> Self {
        let mut history = History::default();
        for (name, changes) in record["pods"].as_object().into_iter().flatten() {
            let mut status = Json::Null;
            for change in changes.as_array().into_iter().flatten() {
                if let Some(new) = change.get("status") {
                    status = new.clone();
                }
                history.pods.entry(name.clone()).or_default().push(PodChange {
                    at: change["t"].as_f64().unwrap_or(0.0),
                    status: status.clone(),
                    deleted: change["deleted"] == true,
                    maybe: change["maybe"] == true,
                });
            }
        }
        for event in record["events"].as_array().into_iter().flatten() {
            history.events.push(EventSeen {
                pod: text(event, "pod").into(),
                kind: text(event, "type").into(),
                reason: text(event, "reason").into(),
                message: text(event, "message").into(),
                field_path: text(event, "fieldPath").into(),
                component: text(event, "component").into(),
                count: event["count"].as_i64().unwrap_or(1),
                seen: event["seen"].as_array().into_iter().flatten().filter_map(Json::as_f64).collect(),
                maybe: event["maybe"] == true,
            });
        }
        for (key, lines) in record["logs"].as_object().into_iter().flatten() {
            let line = |l: &Json| Line {
                at: l[0].as_f64().unwrap_or(0.0),
                text: l[1].as_str().unwrap_or_default().into(),
                is_err: l[2] == "err",
            };
            history.logs.insert(key.clone(), lines.as_array().into_iter().flatten().map(line).collect());
        }
        history
    }

    /// The first moment at which a condition holds.
    pub fn first(&self, condition: &Json) -> Option<f64> {
        let pods = self.pods.values().flatten().map(|c| c.at);
        let events = self.events.iter().flat_map(|e| e.seen.iter().copied());
        let lines = self.logs.values().flatten().map(|l| l.at);
        let mut moments: Vec<f64> = pods.chain(events).chain(lines).collect();
        moments.sort_by(f64::total_cmp);
        moments.into_iter().find(|at| self.holds(condition, *at))
    }

    /// Whether a condition held at a moment.
    pub fn holds(&self, condition: &Json, at: f64) -> bool {
        let all = |key: &str| condition[key].as_array();
        if let Some(list) = all("any") {
            return list.iter().any(|c| self.holds(c, at));
        }
        if let Some(list) = all("all") {
            return list.iter().all(|c| self.holds(c, at));
        }
        let pod = condition["pod"].as_str();
        if let Some(reason) = condition["event"].as_str() {
            let least = condition["count"].as_u64().unwrap_or(1) as usize;
            let part = condition["text"].as_str().unwrap_or_default();
            let fits =
                |e: &&EventSeen| e.reason == reason && e.message.contains(part) && pod.is_none_or(|p| names(&e.pod, p));
            return self.events.iter().filter(fits).map(|e| e.seen.iter().filter(|t| **t <= at).count()).sum::<usize>()
                >= least;
        }
        if let Some(part) = condition["log"].as_str() {
            let container = condition["container"].as_str();
            let fits = |key: &str| {
                let mut parts = key.split('/');
                let (of, name) = (parts.next().unwrap_or_default(), parts.next());
                pod.is_none_or(|p| names(of, p)) && (container.is_none() || container == name)
            };
            let lines = self.logs.iter().filter(|(key, _)| fits(key)).flat_map(|(_, lines)| lines);
            return lines.filter(|l| l.at <= at).any(|l| l.text.contains(part));
        }
        self.of_pod(condition, pod.unwrap_or("p"), at)
    }

    fn of_pod(&self, condition: &Json, pod: &str, at: f64) -> bool {
        let changes = self.pods.iter().filter(|(name, _)| names(name, pod)).flat_map(|(_, changes)| changes);
        let last = changes.filter(|c| c.at <= at).max_by(|a, b| a.at.total_cmp(&b.at));
        if condition["gone"] == true {
            return last.is_some_and(|c| c.deleted);
        }
        let Some(change) = last.filter(|c| !c.deleted) else { return false };
        let status = &change.status;
        match &condition["phase"] {
            Json::String(phase) if status["phase"] != *phase.as_str() => return false,
            Json::Array(list) if !list.contains(&status["phase"]) => return false,
            _ => {}
        }
        if let Some(ready) = condition["ready"].as_bool()
            && (condition_of(status, "Ready") == Some("True")) != ready
        {
            return false;
        }
        if let Some(wanted) = condition["cond"].as_object()
            && !wanted.iter().all(|(kind, value)| condition_of(status, kind) == value.as_str())
        {
            return false;
        }
        match condition["container"].as_str() {
            None => true,
            Some(name) => container_of(status, name).is_some_and(|c| of_container(condition, c)),
        }
    }
}

/// `p@2` is the second pod of the name `p`.
fn names(full: &str, name: &str) -> bool {
    full.split('@').next() == Some(name)
}

fn condition_of<'a>(status: &'a Json, kind: &str) -> Option<&'a str> {
    status["conditions"].as_array()?.iter().find(|c| c["type"] == kind)?["status"].as_str()
}

fn container_of<'a>(status: &'a Json, name: &str) -> Option<&'a Json> {
    let lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    lists.iter().filter_map(|l| status[*l].as_array()).flatten().find(|c| c["name"] == name)
}

fn of_container(condition: &Json, container: &Json) -> bool {
    let state = container["state"].as_object().and_then(|s| s.iter().next());
    let (kind, detail) = state.map_or(("waiting", &Json::Null), |(k, v)| (k.as_str(), v));
    condition["state"].as_str().is_none_or(|wanted| wanted == kind)
        && condition["reason"].as_str().is_none_or(|wanted| detail["reason"] == wanted)
        && condition["restarts"].as_i64().is_none_or(|least| container["restartCount"].as_i64().unwrap_or(0) >= least)
}
