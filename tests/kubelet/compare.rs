//! Holds what was seen here against a record, by the rules of the records' README.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::departures::Departures;
use crate::history::{EventSeen, History, Line, PodChange};
use crate::normalise;
use crate::play::Played;

/// What is compared, each for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    Problems,
    Results,
    Final,
    Sequence,
    Events,
    Logs,
}

impl Aspect {
    pub fn name(self) -> &'static str {
        match self {
            Aspect::Problems => "problems",
            Aspect::Results => "results",
            Aspect::Final => "final",
            Aspect::Sequence => "sequence",
            Aspect::Events => "events",
            Aspect::Logs => "logs",
        }
    }
}

/// Reasons whose messages are the runtime's own words.
const OWN_WORDS: [&str; 6] =
    ["StartError", "RunContainerError", "CreateContainerError", "ErrImagePull", "ImagePullBackOff", "InvalidImageName"];

/// All differences that no departure explains.
pub fn differences(record: &Json, played: &Played, departures: &Departures) -> Vec<(Aspect, String)> {
    let id = record["id"].as_str().unwrap_or_default();
    let recorded = History::recorded(record);
    let mut found: Vec<(Aspect, String)> = played.problems.iter().map(|p| (Aspect::Problems, p.clone())).collect();
    found.extend(results(record, &played.results).into_iter().map(|d| (Aspect::Results, d)));
    for (name, changes) in &recorded.pods {
        let live = played.history.pods.get(name).map(Vec::as_slice).unwrap_or_default();
        if record["repeat"]["final"] == true
            && let Some(difference) = last(changes, live)
        {
            found.push((Aspect::Final, format!("{name}: {difference}")));
        }
        if let Some(difference) = sequence(changes, live, departures, id) {
            found.push((Aspect::Sequence, format!("{name}: {difference}")));
        }
    }
    let last = || recorded.pods.values().filter_map(|c| c.last()).filter(|c| !c.deleted);
    let moving = last().any(|c| in_motion(&c.status) || is_tried_again(&c.status));
    if record["repeat"]["events"] != false {
        let list = events(&recorded.events, &played.history.events, moving, departures, id);
        found.extend(list.into_iter().map(|d| (Aspect::Events, d)));
    }
    if record["repeat"]["logs"] == true {
        let list = logs(&recorded.logs, &played.history.logs, moving, departures, id);
        found.extend(list.into_iter().map(|d| (Aspect::Logs, d)));
    }
    found.retain(|(aspect, difference)| !departures.explain(id, aspect.name(), difference));
    found
}

fn results(record: &Json, live: &[(usize, Json)]) -> Vec<String> {
    let mut found = Vec::new();
    for (index, answer) in live {
        let step = &record["steps"][*index];
        let wanted = &step["result"];
        let what = step["do"].as_str().unwrap_or_default();
        let code = answer["code"].as_u64().unwrap_or(0);
        match what {
            "host" | "exec" => {
                // Paths below the recorded node's own cgroups exist there only.
                if !step["cmd"].to_string().contains("wlpeer")
                    && (answer["rc"] != wanted["rc"] || (answer.get("out").is_some() && answer["out"] != wanted["out"]))
                {
                    found.push(format!("{what}: {answer} instead of {wanted}"));
                }
            }
            _ if wanted.is_null() => {
                if code >= 400 {
                    found.push(format!("{what} is refused: {code} {}", answer["answer"]));
                }
            }
            _ => {
                let text = wanted.get("error").or(wanted["answer"].is_string().then_some(&wanted["answer"]));
                let same = text
                    .is_none_or(|t| answer["answer"].as_str().unwrap_or_default() == t.as_str().unwrap_or_default());
                if wanted["code"] != code || !same {
                    found.push(format!(
                        "{what}: {code} {} instead of {} {}",
                        answer["answer"],
                        wanted["code"],
                        text.unwrap_or(&Json::Null)
                    ));
                }
            }
        }
    }
    found
}

/// What of a status is compared.
pub fn reduce(status: &Json) -> Json {
    let mut reduced = json!({"phase": status["phase"], "qosClass": status["qosClass"]});
    for key in ["reason", "message"] {
        if let Some(text) = status[key].as_str() {
            reduced[key] = json!(normalise::recorded(text));
        }
    }
    let condition = |c: &Json| {
        let message = c["message"].as_str().map(normalise::recorded).unwrap_or_default();
        json!(format!("{}={} {} {message}", text(c, "type"), text(c, "status"), text(c, "reason")).trim_end())
    };
    reduced["conditions"] = status["conditions"].as_array().into_iter().flatten().map(condition).collect();
    for list in ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"] {
        if let Some(statuses) = status[list].as_array().filter(|l| !l.is_empty()) {
            reduced[list] = statuses.iter().map(container).collect();
        }
    }
    reduced
}

fn text<'a>(tree: &'a Json, key: &str) -> &'a str {
    tree[key].as_str().unwrap_or_default()
}

fn container(status: &Json) -> Json {
    let mut shown = format!("{} {}", text(status, "name"), state(&status["state"]));
    if status["ready"] == true {
        shown.push_str(" ready");
    }
    if status["started"] == true {
        shown.push_str(" started");
    }
    shown.push_str(&format!(" restarts={}", status["restartCount"].as_i64().unwrap_or(0)));
    if let Some(last) = status["lastState"]["terminated"].as_object() {
        shown.push_str(&format!(
            " last={} {}",
            last.get("reason").and_then(Json::as_str).unwrap_or_default(),
            last["exitCode"]
        ));
    }
    json!(shown)
}

fn state(state: &Json) -> String {
    let Some((kind, detail)) = state.as_object().and_then(|s| s.iter().next()) else { return "none".into() };
    let reason = text(detail, "reason");
    let mut shown = kind.clone();
    if !reason.is_empty() {
        shown.push_str(&format!(" {reason}"));
    }
    for key in ["exitCode", "signal"] {
        if let Some(number) = detail[key].as_i64() {
            shown.push_str(&format!(" {number}"));
        }
    }
    let mut message = normalise::recorded(text(detail, "message"));
    if let Some(at) = message.find("failed - error: ").map(|at| at + "failed - error: ".len())
        && !["command '", "Get "].iter().any(|own| message[at..].starts_with(own))
    {
        // The runtime could not begin the command, and says so in its own words.
        message.truncate(at);
    }
    if !message.is_empty() && !OWN_WORDS.contains(&reason) {
        shown.push_str(&format!(" {message:?}"));
    }
    shown
}

/// Whether a state goes on by itself, so that the cut decides what is seen last.
fn in_motion(status: &Json) -> bool {
    let restarts = |c: &Json| {
        let waits = text(&c["state"]["waiting"], "reason");
        waits.contains("BackOff") || waits.starts_with("ErrImage") || c["restartCount"].as_i64().unwrap_or(0) > 0
    };
    let lists = ["initContainerStatuses", "containerStatuses"];
    let moving = lists.iter().filter_map(|l| status[*l].as_array()).flatten().any(restarts);
    moving && !matches!(text(status, "phase"), "Succeeded" | "Failed")
}

/// Whether each sync tries again what it cannot do, and looks at the image for it.
fn is_tried_again(status: &Json) -> bool {
    let lists = ["initContainerStatuses", "containerStatuses"];
    let statuses = lists.iter().filter_map(|l| status[*l].as_array()).flatten();
    statuses.map(|c| text(&c["state"]["waiting"], "reason")).any(|why| why.starts_with("CreateContainer"))
}

fn last(recorded: &[PodChange], live: &[PodChange]) -> Option<String> {
    let wanted = recorded.last()?;
    let Some(seen) = live.last() else { return Some("was not seen".into()) };
    if wanted.deleted != seen.deleted {
        return Some(if wanted.deleted { "is not gone".into() } else { "is gone".into() });
    }
    if in_motion(&wanted.status) {
        return None;
    }
    let (wanted, seen) = (reduce(&wanted.status), reduce(&seen.status));
    (wanted != seen).then(|| format!("\n     seen {seen}\n   wanted {wanted}"))
}

fn distinct(changes: &[PodChange], without_maybe: bool) -> Vec<(f64, Json)> {
    let mut list: Vec<(f64, Json)> = Vec::new();
    for change in changes.iter().filter(|c| !(without_maybe && c.maybe)) {
        let reduced = reduce(&change.status);
        if list.last().is_none_or(|(_, last)| *last != reduced) {
            list.push((change.at, reduced));
        }
    }
    list
}

/// Each recorded state is seen here, in the same order.
fn sequence(recorded: &[PodChange], live: &[PodChange], departures: &Departures, id: &str) -> Option<String> {
    let wanted = distinct(recorded, true);
    let seen = distinct(live, false);
    let mut rest = seen.iter();
    for (_, state) in &wanted {
        let shown = state.to_string();
        if departures.explain(id, "state", &shown) {
            continue;
        }
        if !rest.any(|(_, s)| same(state, s)) {
            let there = seen.iter().any(|(_, s)| same(state, s));
            let why = if there { "in another order" } else { "never seen" };
            let all: Vec<String> = seen.iter().map(|(at, s)| format!("\n     seen {at:.1} {s}")).collect();
            return Some(format!("{why}:\n   wanted {shown}{}", all.concat()));
        }
    }
    None
}

/// Equal, but that a pod whose container ended within a second may or may not have been called Running.
fn same(wanted: &Json, seen: &Json) -> bool {
    if wanted == seen {
        return true;
    }
    let phases = [text(wanted, "phase"), text(seen, "phase")];
    let quick =
        phases.contains(&"Pending") && phases.contains(&"Running") && wanted.to_string().contains(" terminated ");
    let without = |tree: &Json| {
        let mut tree = tree.clone();
        tree["phase"] = Json::Null;
        tree
    };
    quick && without(wanted) == without(seen)
}

/// What tells an event from others.
fn event_key(event: &EventSeen) -> String {
    let mut message = normalise::recorded(&event.message).replace("(combined from similar events): ", "");
    for head in ["Failed to pull image \"", "Failed to apply default image tag"] {
        if message.starts_with(head) {
            // The runtime's own words follow.
            let end = message.match_indices('"').nth(1).map_or(head.len(), |(at, _)| at + 1);
            message.truncate(end.min(message.len()));
        }
    }
    if message.starts_with("Failed to create pod sandbox: ") && !message.contains("FQDN") {
        message = "Failed to create pod sandbox: …".into();
    }
    if let Some(at) = message.find(" characters is the max, ") {
        // How long a name is depends on that of the namespace.
        message.truncate(at);
    }
    if event.reason == "Failed"
        && let Some(why) = message.strip_prefix("Error: ")
        && !is_the_kubelets(why)
    {
        message = "Error: …".into();
    }
    if let Some(at) = message.find(" probe errored: ") {
        message.truncate(at + " probe errored: ".len());
    }
    format!("{} {} {} {} [{}] {message}", event.kind, event.reason, event.pod, event.field_path, event.component)
}

/// Whether an error of a container's start is told in the kubelet's words, not in those of the runtime.
fn is_the_kubelets(why: &str) -> bool {
    let heads = [
        "configmap \"",
        "secret \"",
        "couldn't find key",
        "container",
        "failed to prepare subPath",
        "failed to resolve",
    ];
    !why.contains(' ') || heads.iter().any(|head| why.starts_with(head))
}

/// Those of which every sync or probe makes another.
fn is_counted_loosely(reason: &str) -> bool {
    matches!(
        reason,
        "BackOff"
            | "Failed"
            | "Unhealthy"
            | "FailedMount"
            | "FailedScheduling"
            | "DeadlineExceeded"
            | "ProbeWarning"
            | "FailedToRetrieveImagePullSecret"
            | "ErrImageNeverPull"
            | "InspectFailed"
            | "FailedCreatePodSandBox"
            | "DNSConfigForming"
            | "FailedPrepareDynamicResources"
    )
}

/// `moving`: where it was cut off, one round more or less may have happened.
fn events(recorded: &[EventSeen], live: &[EventSeen], moving: bool, departures: &Departures, id: &str) -> Vec<String> {
    let sum = |list: &[EventSeen], maybe: bool| {
        let mut sums: BTreeMap<String, (i64, String)> = BTreeMap::new();
        for event in list.iter().filter(|e| maybe || !e.maybe) {
            let entry = sums.entry(event_key(event)).or_default();
            entry.0 += event.count;
            entry.1.clone_from(&event.reason);
        }
        sums
    };
    let (wanted, allowed, seen) = (sum(recorded, false), sum(recorded, true), sum(live, true));
    let mut found = Vec::new();
    for (key, (count, reason)) in &wanted {
        let have = seen.get(key).map_or(0, |(n, _)| *n);
        let slack = match reason.as_str() {
            r if !is_counted_loosely(r) => i64::from(moving),
            _ => 1.max(count * 3 / 10),
        };
        let one_less = moving && *count == 1;
        if (have == 0 && !one_less) || (have - count).abs() > slack {
            let at: Vec<f64> =
                live.iter().filter(|e| event_key(e) == *key).flat_map(|e| e.seen.iter().copied()).collect();
            let at = at.iter().map(|at| (at * 10.0).round() / 10.0).collect::<Vec<_>>();
            found.push(format!("event {key}: {have} times instead of {count} (seen at {at:?})"));
        }
    }
    for (key, (count, reason)) in &seen {
        let one_more = moving && *count == 1 && reason == "BackOff";
        if !allowed.contains_key(key) && reason != "FailedScheduling" && !one_more {
            found.push(format!("event {key}: {count} times instead of 0"));
        }
    }
    found.retain(|d| !departures.explain(id, "event", d));
    found
}

/// Lines of one stream in order; repeats of one line are not counted.
fn logs(
    recorded: &BTreeMap<String, Vec<Line>>,
    live: &BTreeMap<String, Vec<Line>>,
    moving: bool,
    departures: &Departures,
    id: &str,
) -> Vec<String> {
    let mut found = Vec::new();
    for (key, lines) in recorded {
        let seen = live.get(key).map(Vec::as_slice).unwrap_or_default();
        for is_err in [false, true] {
            let of = |list: &[Line]| -> Vec<String> {
                let mut shown: Vec<String> = Vec::new();
                for line in list.iter().filter(|l| l.is_err == is_err) {
                    let line = without_age(&normalise::recorded(&line.text));
                    if !shown.contains(&line) && !departures.explain(id, "log", &line) {
                        shown.push(line);
                    }
                }
                shown
            };
            let (mut wanted, mut have) = (of(lines), of(seen));
            if wanted.iter().any(|line| line.starts_with("KUBERNETES_PORT=")) {
                // A whole environment, whose order is nobody's.
                wanted.sort();
                have.sort();
            }
            let cut = moving && (wanted.starts_with(&have) || have.starts_with(&wanted));
            let fit = wanted.len() == have.len() && wanted.iter().zip(&have).all(|(w, h)| normalise::fits(w, h));
            // Lines that were recorded as one may differ here in what the record leaves open.
            let mut told: Vec<&String> = Vec::new();
            for line in &have {
                let line = wanted.iter().find(|w| normalise::fits(w, line)).unwrap_or(line);
                if !told.contains(&line) {
                    told.push(line);
                }
            }
            let fit = fit || wanted.iter().eq(told);
            if !fit && !cut {
                found.push(format!("log {key}:\n     seen {have:?}\n   wanted {wanted:?}"));
            }
        }
    }
    found
}

/// `/t` begins some lines with its age.
fn without_age(line: &str) -> String {
    match line.split_once(' ') {
        Some((age, rest)) if age.contains('.') && age.parse::<f64>().is_ok() => rest.to_owned(),
        _ => line.to_owned(),
    }
}
