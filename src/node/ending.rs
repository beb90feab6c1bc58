//! The end of containers and of whole pods: signals, graces, the order of sidecars.
//! Source: pkg/kubelet/kuberuntime/kuberuntime_container.go, kuberuntime_termination_order.go.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::hooks::{self, HookCall, HookKind, PreStop};
use super::identity::{self, Place};
use super::memory::Kill;
use super::{Context, PodEvent, PodMemory, Step, observed, security};
use crate::api::requests::is_sidecar;
use crate::runtime::{Action, Container, Sandbox};

pub const KILL: i32 = 9;

/// Every container has at least this long between its signal and SIGKILL
/// (kuberuntime_container.go: minimumGracePeriodInSeconds).
pub const LEAST_GRACE: SignedDuration = SignedDuration::from_secs(2);

/// So long a hook may be on its way to another container of its pod before that one is asked to end; the kubelet's signals
/// need as long to get through the runtime.
const HEAD_START: SignedDuration = SignedDuration::from_millis(100);

/// The grace of the pod's spec.
pub fn spec_grace(pod: &Pod) -> SignedDuration {
    let seconds = pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds).unwrap_or(30);
    SignedDuration::from_secs(seconds.max(0))
}

/// Begins to end one container, unless that is under way already.
pub fn begin(
    pod: &Pod,
    container: &Container,
    grace: SignedDuration,
    message: &str,
    memory: &mut PodMemory,
    now: Timestamp,
    events: &mut Vec<PodEvent>,
) {
    if memory.kills.contains_key(&container.id) {
        return;
    }
    let found = identity::find(pod, &container.name);
    let place = found.as_ref().map_or(Place::Main, |(_, place)| *place);
    let hook = found.is_some_and(|(c, _)| hooks::of(&c, HookKind::PreStop).is_some());
    let pre_stop = if hook { PreStop::Due } else { PreStop::None };
    events.push(PodEvent::normal("Killing", message, identity::field_path(place, &container.name)));
    let name = container.name.clone();
    let kill = Kill { name, since: now, pre_stop, term_sent_at: None, on_its_way: false, grace, kill_sent: false, retry_at: None };
    memory.kills.insert(container.id.clone(), kill);
}

/// What kills under way ask for.
#[derive(Default)]
pub struct Signals {
    pub steps: Vec<Step>,
    /// preStop hooks, which begin all at once.
    pub hooks: Vec<HookCall>,
    pub wake_at: Option<Timestamp>,
}

/// The next hooks and signals of all kills under way, and when to look again. Kills of containers that have
/// ended are forgotten.
pub fn signals(
    pod: &Pod,
    observed: Option<&Sandbox>,
    memory: &mut PodMemory,
    context: &Context<'_>,
) -> Signals {
    let now = context.now;
    let running: Vec<&Container> = observed::running(observed).collect();
    memory.kills.retain(|id, _| running.iter().any(|c| &c.id == id));
    let (mut steps, mut calls, mut wake_at) = (Vec::new(), Vec::new(), None::<Timestamp>);
    let whole_pod = memory.ending.is_some() || memory.sandbox.replacing;
    let mut wake = |at: Timestamp| wake_at = Some(wake_at.map_or(at, |w| w.min(at)));
    let hooked = memory.kills.iter().filter(|(_, k)| k.pre_stop.is_awaited()).map(|(id, k)| (id.clone(), k.since + HEAD_START));
    let hooked: Vec<(String, Timestamp)> = hooked.filter(|(_, until)| *until > now).collect();
    for container in &running {
        let turn = !whole_pod || is_its_turn(pod, &container.name, &running);
        let Some(kill) = memory.kills.get_mut(&container.id) else { continue };
        if let Some(at) = kill.retry_at.filter(|at| *at > now) {
            wake(at);
            continue;
        }
        kill.retry_at = None;
        if memory.orphan && kill.term_sent_at.is_none() {
            // Nobody knows any more what it was to be: it is not asked.
            kill.pre_stop = PreStop::None;
            kill.term_sent_at = Some(now);
            kill.kill_sent = true;
            steps.push(signal_step(container, KILL, pod, "is of no pod any more"));
            wake(now + LEAST_GRACE);
            continue;
        }
        if kill.pre_stop == PreStop::Due {
            kill.pre_stop = PreStop::Called;
            let (container, id) = (container.name.clone(), container.id.clone());
            calls.push(HookCall { container, id, kind: HookKind::PreStop });
        }
        if let Some((_, until)) = hooked.iter().find(|(id, _)| id != &container.id).filter(|_| whole_pod && kill.pre_stop == PreStop::None) {
            wake(*until);
            continue;
        }
        let hook_over = !kill.pre_stop.is_awaited() || now >= hooks::pre_stop_until(kill.since, kill.grace);
        let grace_over_at = kill.since + kill.grace;
        match kill.term_sent_at {
            None if hook_over && (turn || now >= grace_over_at) => {
                kill.term_sent_at = Some(now);
                kill.on_its_way = true;
                let signal = stop_signal(container);
                steps.push(signal_step(container, signal, pod, "is to end"));
            }
            None if hook_over => wake(grace_over_at),
            None => wake(hooks::pre_stop_until(kill.since, kill.grace)),
            // When that has come to an end there is news.
            Some(_) if kill.on_its_way => {}
            Some(sent_at) => {
                let deadline = grace_over_at.max(sent_at + LEAST_GRACE);
                if now < deadline {
                    wake(deadline);
                } else if kill.kill_sent {
                    wake(now + LEAST_GRACE);
                } else {
                    kill.kill_sent = true;
                    steps.push(signal_step(container, KILL, pod, "has not ended within its grace"));
                    wake(now + LEAST_GRACE);
                }
            }
        }
    }
    Signals { steps, hooks: calls, wake_at }
}

/// Main containers at once; a sidecar when all that come after it in the spec have ended.
fn is_its_turn(pod: &Pod, name: &str, running: &[&Container]) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let Some(position) = init.iter().position(|c| c.name == name).filter(|i| is_sidecar(&init[*i])) else { return true };
    let later_sidecars = init[position + 1..].iter().filter(|c| is_sidecar(c)).map(|c| c.name.as_str());
    let mut later = spec.containers.iter().map(|c| c.name.as_str()).chain(later_sidecars);
    !later.any(|name| running.iter().any(|c| c.name == name))
}

fn signal_step(container: &Container, signal: i32, pod: &Pod, why: &str) -> Step {
    let action = Action::SignalContainer { id: container.id.clone(), pod_uid: identity::uid(pod).into(), signal };
    Step::new(action, format!("container {} {why}", container.name))
}

fn stop_signal(container: &Container) -> i32 {
    let kept = container.annotations.get(identity::STOP_SIGNAL);
    security::signal_number(kept.map_or("SIGTERM", String::as_str))
}
