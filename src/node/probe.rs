//! Probes without their I/O: when one is due, and what a run of answers means.
//! Source: pkg/kubelet/prober/worker.go, prober_manager.go.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, Probe};

use super::identity::{self, Place};
use super::{PodEvent, PodMemory, observed};
use crate::api::requests::is_sidecar;
use crate::runtime::{ContainerState, Sandbox};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Liveness => "Liveness",
            Kind::Readiness => "Readiness",
        }
    }

    /// The container's probe of this kind.
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Kind::Startup => container.startup_probe.as_ref(),
            Kind::Liveness => container.liveness_probe.as_ref(),
            Kind::Readiness => container.readiness_probe.as_ref(),
        }
    }
}

const KINDS: [Kind; 3] = [Kind::Startup, Kind::Liveness, Kind::Readiness];

/// What one probe answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Success,
    /// Counts as success and makes an event (`ProbeWarning`).
    Warning(String),
    Failure(String),
    /// It could not be asked; counts as nothing.
    Error(String),
    /// The container has ended meanwhile: nobody is told.
    Gone,
}

/// The probes of the newest attempt of one container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probes {
    /// Runtime id of the attempt that the counts are about.
    of: String,
    counts: [Count; 3],
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Count {
    last: Option<bool>,
    run: i32,
    verdict: Option<bool>,
    /// A verdict that ends the container: nothing is asked until there is a new one.
    on_hold: bool,
    /// Number of the last tick that was used, counted from the pod's admission.
    tick: Option<i64>,
    asked: bool,
    /// The last one has not been answered yet: probes of one kind follow each other.
    under_way: bool,
}

impl Probes {
    fn count(&self, kind: Kind, id: &str) -> Option<&Count> {
        (self.of == id).then(|| &self.counts[kind as usize])
    }

    fn verdict(&self, kind: Kind, id: &str) -> Option<bool> {
        self.count(kind, id)?.verdict
    }

    /// Whether the attempt counts as started.
    pub fn started(&self, container: &Container, id: &str) -> bool {
        container.startup_probe.is_none() || self.verdict(Kind::Startup, id) == Some(true)
    }

    /// Whether the readiness probe, if there is one, says yes.
    pub fn ready(&self, container: &Container, id: &str) -> bool {
        container.readiness_probe.is_none() || self.verdict(Kind::Readiness, id) == Some(true)
    }

    /// The probe that has condemned the attempt.
    pub fn condemned(&self, id: &str) -> Option<Kind> {
        [Kind::Startup, Kind::Liveness].into_iter().find(|k| self.verdict(*k, id) == Some(false))
    }

    /// The verdicts are about another attempt from now on; a run of equal answers goes on.
    /// Source: pkg/kubelet/prober/worker.go: doProbe.
    fn renew(&mut self, id: &str) {
        if self.of != id {
            let counts = std::mem::take(&mut self.counts);
            let counts = counts.map(|count| Count { last: count.last, run: count.run, ..Count::default() });
            *self = Probes { of: id.to_owned(), counts };
        }
    }

    fn record(&mut self, kind: Kind, probe: &Probe, success: bool) {
        let count = &mut self.counts[kind as usize];
        if count.last == Some(success) {
            count.run = count.run.saturating_add(1);
        } else {
            count.last = Some(success);
            count.run = 1;
        }
        let threshold = if success { probe.success_threshold.unwrap_or(1) } else { probe.failure_threshold.unwrap_or(3) };
        if count.run < threshold {
            return;
        }
        count.verdict = Some(success);
        if !success && kind != Kind::Readiness {
            count.on_hold = true;
            count.run = 0;
        }
    }
}

/// Takes over what the API says of attempts that run since before this agent: a new agent changes no status by itself.
/// Source: KEP-4781, restarting the kubelet changes no readiness.
pub fn resume(pod: &Pod, sandbox: Option<&Sandbox>, memory: &mut PodMemory) {
    let Some(status) = &pod.status else { return };
    let statuses = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    for told in statuses {
        let Some(newest) = observed::latest(sandbox, &told.name) else { continue };
        let same = told.container_id.as_ref().and_then(|id| id.split_once("://")).is_some_and(|(_, id)| id == newest.id);
        if !same || !matches!(newest.state, ContainerState::Running { .. }) {
            continue;
        }
        let probes = &mut memory.container(&told.name).probes;
        probes.renew(&newest.id);
        for (kind, yes) in [(Kind::Startup, told.started == Some(true)), (Kind::Readiness, told.ready)] {
            if yes {
                probes.counts[kind as usize].verdict = Some(true);
            }
        }
    }
}

/// One probe to ask now.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    pub container: String,
    pub id: String,
    pub kind: Kind,
}

/// The probes that are due at `now`, and when the next will be.
pub fn due(pod: &Pod, sandbox: &Sandbox, memory: &mut PodMemory, now: Timestamp) -> (Vec<Due>, Option<Timestamp>) {
    let (mut list, mut next) = (Vec::new(), None::<Timestamp>);
    let Some(spec) = &pod.spec else { return (list, next) };
    let admitted_at = memory.admitted_at.unwrap_or(now);
    let ending = memory.ending.is_some();
    let sidecars = spec.init_containers.iter().flatten().filter(|c| is_sidecar(c));
    for container in spec.containers.iter().chain(sidecars) {
        let Some(newest) = observed::latest(Some(sandbox), &container.name) else { continue };
        let ContainerState::Running { started_at, .. } = newest.state else { continue };
        if memory.containers.get(&container.name).is_some_and(|m| m.post_start.as_ref().is_some_and(|p| p.id == newest.id)) {
            continue;
        }
        if KINDS.iter().all(|k| k.of(container).is_none()) {
            continue;
        }
        let probes = &mut memory.container(&container.name).probes;
        probes.renew(&newest.id);
        let started = probes.started(container, &newest.id);
        for kind in KINDS {
            let Some(probe) = kind.of(container) else { continue };
            let asleep = probes.counts[kind as usize].on_hold || (started == (kind == Kind::Startup)) || (ending && kind != Kind::Readiness);
            if asleep {
                continue;
            }
            let count = &mut probes.counts[kind as usize];
            if count.under_way {
                // Its answer makes the pod be looked at.
                continue;
            }
            if kind == Kind::Liveness && container.startup_probe.is_some() && count.tick.is_none() {
                // Its ticks came to nothing until now.
                count.tick = Some(ticks(now, admitted_at, period(probe)));
            }
            let at = tick(count, probe, kind, admitted_at, started_at, now);
            match at {
                Tick::Now => {
                    count.under_way = true;
                    list.push(Due { container: container.name.clone(), id: newest.id.clone(), kind });
                }
                Tick::At(_) => {}
            }
            let period = period(probe);
            let wake = match at {
                Tick::At(at) => at,
                Tick::Now => now + period,
            };
            next = Some(next.map_or(wake, |n| n.min(wake)));
        }
    }
    (list, next)
}

enum Tick {
    Now,
    At(Timestamp),
}

fn period(probe: &Probe) -> SignedDuration {
    SignedDuration::from_secs(i64::from(probe.period_seconds.unwrap_or(10).max(1)))
}

/// How many whole periods lie between the admission and `at`.
fn ticks(at: Timestamp, admitted_at: Timestamp, period: SignedDuration) -> i64 {
    i64::try_from(at.duration_since(admitted_at).as_millis().div_euclid(period.as_millis())).unwrap_or(0)
}

/// What has just been started is not asked at once whether it is ready, as it would say no and then have a whole period to
/// wait. The kubelet sees up to a second later that it runs.
const FIRST_LOOK: SignedDuration = SignedDuration::from_millis(250);

/// So long after a start the kubelet sees on the average that a container runs: the list that it looks at is a second old at most.
const SEEN: SignedDuration = SignedDuration::from_millis(500);

/// Ticks come every period since the pod's admission; readiness also looks once as soon as it may.
fn tick(count: &mut Count, probe: &Probe, kind: Kind, admitted_at: Timestamp, started_at: Timestamp, now: Timestamp) -> Tick {
    let period = period(probe);
    let index = ticks(now, admitted_at, period);
    let next = admitted_at + SignedDuration::from_millis(i64::try_from(period.as_millis()).unwrap_or(1000).saturating_mul(index + 1));
    let delay = SignedDuration::from_secs(i64::from(probe.initial_delay_seconds.unwrap_or(0)));
    let first = if kind == Kind::Readiness && !count.asked { FIRST_LOOK } else { SignedDuration::ZERO };
    let delayed_until = started_at + delay.max(first);
    if now < delayed_until {
        return Tick::At(delayed_until.max(if kind == Kind::Readiness { delayed_until } else { next.min(delayed_until) }));
    }
    let at_once = kind == Kind::Readiness && !count.asked;
    if !at_once && count.tick.is_none() {
        // The ticks before the container was seen to run came to nothing.
        count.tick = Some(ticks(started_at + SEEN, admitted_at, period));
    }
    if at_once || count.tick.is_some_and(|t| t < index) {
        count.tick = Some(index);
        count.asked = true;
        return Tick::Now;
    }
    Tick::At(next)
}

/// What an answer brought.
#[derive(Debug, Default, PartialEq)]
pub struct Recorded {
    pub events: Vec<PodEvent>,
    /// The verdict is another one now, so that the pod is to be looked at.
    pub turned: bool,
}

/// Takes in what a probe answered.
pub fn record(pod: &Pod, memory: &mut PodMemory, due: &Due, answer: &Answer) -> Recorded {
    let Some((container, place)) = identity::find(pod, &due.container) else { return Recorded::default() };
    let Some(probe) = due.kind.of(&container) else { return Recorded::default() };
    let path = identity::field_path(place, &due.container);
    let kind = due.kind.name();
    let probes = &mut memory.container(&due.container).probes;
    if probes.of != due.id {
        return Recorded::default();
    }
    probes.counts[due.kind as usize].under_way = false;
    let before = probes.verdict(due.kind, &due.id);
    let told = match answer {
        Answer::Success | Answer::Warning(_) => Some(true),
        Answer::Failure(_) => Some(false),
        Answer::Gone | Answer::Error(_) => None,
    };
    if let Some(success) = told {
        probes.record(due.kind, probe, success);
    }
    let turned = probes.verdict(due.kind, &due.id) != before;
    let event = match answer {
        Answer::Success | Answer::Gone => None,
        Answer::Warning(text) => Some(("ProbeWarning", format!("{kind} probe warning: {text}"))),
        Answer::Failure(text) => Some(("Unhealthy", format!("{kind} probe failed: {text}"))),
        Answer::Error(text) => Some(("Unhealthy", format!("{kind} probe errored: {text}"))),
    };
    let events = event.map(|(reason, message)| PodEvent::warning(reason, message, path));
    Recorded { events: events.into_iter().collect(), turned }
}

/// What the kubelet says when it ends a container because of a probe.
pub(super) fn kill_message(kind: Kind, place: Place, name: &str, restarts: bool) -> String {
    let what = match place {
        Place::Init => "Init container",
        Place::Main => "Container",
        Place::Ephemeral => "Ephemeral container",
    };
    let probe = if kind == Kind::Startup { "startup" } else { "liveness" };
    let message = format!("{what} {name} failed {probe} probe");
    if restarts && place == Place::Main { format!("{message}, will be restarted") } else { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(success: i32, failure: i32) -> Probe {
        Probe { success_threshold: Some(success), failure_threshold: Some(failure), ..Probe::default() }
    }

    #[test]
    fn a_verdict_needs_a_whole_run_of_equal_answers() {
        let mut probes = Probes { of: "a".into(), ..Probes::default() };
        let p = probe(2, 3);
        for (answer, verdict) in [
            (true, None),
            (false, None),
            (true, None),
            (true, Some(true)),
            (false, Some(true)),
            (false, Some(true)),
            (false, Some(false)),
            (true, Some(false)),
            (true, Some(true)),
        ] {
            probes.record(Kind::Readiness, &p, answer);
            assert_eq!(probes.verdict(Kind::Readiness, "a"), verdict);
        }
        assert_eq!(probes.verdict(Kind::Readiness, "b"), None);
    }

    #[test]
    fn an_answer_that_leaves_the_verdict_is_no_reason_to_look() {
        let pod: Pod = serde_json::from_value(serde_json::json!({"spec": {"containers": [
            {"name": "c", "readinessProbe": {"tcpSocket": {"port": 80}, "failureThreshold": 2}}]}}))
        .expect("a pod");
        let mut memory = PodMemory::default();
        memory.container("c").probes.renew("a");
        let due = Due { container: "c".into(), id: "a".into(), kind: Kind::Readiness };
        let failure = || Answer::Failure("refused".into());
        for (answer, turned, events) in [
            (Answer::Success, true, 0),
            (Answer::Success, false, 0),
            (failure(), false, 1),
            (failure(), true, 1),
            (failure(), false, 1),
            (Answer::Error("no such port".into()), false, 1),
            (Answer::Success, true, 0),
        ] {
            let recorded = record(&pod, &mut memory, &due, &answer);
            assert_eq!((recorded.turned, recorded.events.len()), (turned, events), "{answer:?}");
        }
    }

    #[test]
    fn a_condemned_container_is_not_asked_again() {
        let mut probes = Probes { of: "a".into(), ..Probes::default() };
        probes.record(Kind::Liveness, &probe(1, 1), false);
        assert_eq!(probes.condemned("a"), Some(Kind::Liveness));
        assert!(probes.counts[Kind::Liveness as usize].on_hold);
        probes.renew("b");
        assert_eq!(probes.condemned("b"), None);
    }

    #[test]
    fn a_run_of_equal_answers_goes_on_with_the_next_attempt() {
        let mut probes = Probes { of: "a".into(), ..Probes::default() };
        let p = probe(3, 3);
        (0..5).for_each(|_| probes.record(Kind::Readiness, &p, true));
        probes.renew("b");
        assert_eq!(probes.verdict(Kind::Readiness, "b"), None, "nobody is ready unasked");
        probes.record(Kind::Readiness, &p, true);
        assert_eq!(probes.verdict(Kind::Readiness, "b"), Some(true));
    }

    #[test]
    fn readiness_is_asked_a_moment_after_the_start_and_one_probe_follows_the_other() {
        let readiness = serde_json::json!({"tcpSocket": {"port": 80}, "periodSeconds": 5});
        let pod = serde_json::json!({"spec": {"containers": [{"name": "c", "readinessProbe": readiness}]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let start = Timestamp::from_second(100).unwrap();
        let state = ContainerState::Running { started_at: start, pid: 1, paused: false };
        let container = crate::runtime::Container {
            id: "a".into(),
            name: "c".into(),
            attempt: 0,
            state,
            image: String::new(),
            image_id: String::new(),
            spec_hash: String::new(),
            created_at: start,
            log_path: String::new(),
            annotations: Default::default(),
        };
        let sandbox = Sandbox {
            uid: "u".into(),
            namespace: "ns".into(),
            name: "p".into(),
            id: "s".into(),
            state: crate::runtime::SandboxState::Ready,
            attempt: 0,
            created_at: start,
            ips: Vec::new(),
            pid: None,
            containers: vec![container],
            annotations: Default::default(),
        };
        let mut memory = PodMemory { admitted_at: Some(start), ..PodMemory::default() };
        let at = |millis: i64, memory: &mut PodMemory| {
            due(&pod, &sandbox, memory, start + SignedDuration::from_millis(millis)).0.len()
        };
        assert_eq!(at(10, &mut memory), 0);
        assert_eq!(at(260, &mut memory), 1);
        assert_eq!(at(5100, &mut memory), 0, "the first has no answer yet");
        let asked = Due { container: "c".into(), id: "a".into(), kind: Kind::Readiness };
        record(&pod, &mut memory, &asked, &Answer::Failure("no".into()));
        assert_eq!(at(5200, &mut memory), 1, "its tick was missed");
        record(&pod, &mut memory, &asked, &Answer::Gone);
        assert_eq!(at(5300, &mut memory), 0);
    }
}
