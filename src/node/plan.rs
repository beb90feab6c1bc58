//! Which containers should be ended and which started, by what has run so far.
//! Source: pkg/kubelet/kuberuntime/kuberuntime_manager.go: computePodActions, computeInitContainerActions.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Probe};

use super::identity::{self, Place};
use super::observed::{self, Seen};
use super::{PodMemory, probe, resize};
use crate::api::requests::is_sidecar;
use crate::runtime::{Exit, Sandbox, SandboxState};

/// What a look at the whole pod comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    Nothing,
    /// There is no sandbox.
    Sandbox { attempt: u32 },
    /// The sandbox has ended under the pod.
    ReplaceSandbox,
    Containers { kill: Vec<KillOrder>, start: Vec<String> },
    /// Nothing is left to run.
    EndPod,
}

/// A container to be ended while the pod goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct KillOrder {
    pub id: String,
    pub message: String,
    pub restart: bool,
    /// `None`: the pod's.
    pub grace: Option<SignedDuration>,
}

/// Decides; equal situations give equal plans.
pub fn make(pod: &Pod, observed: Option<&Sandbox>, memory: &PodMemory) -> Plan {
    let Some(spec) = &pod.spec else { return Plan::Nothing };
    let view = View { pod, spec, observed, memory };
    match observed {
        None => {
            let attempt = memory.sandbox.last_attempt.map_or(0, |a| a.saturating_add(1));
            view.new_sandbox(Plan::Sandbox { attempt })
        }
        Some(sandbox) if sandbox.state != SandboxState::Ready || memory.sandbox.replacing => view.new_sandbox(Plan::ReplaceSandbox),
        Some(_) => view.containers(),
    }
}

/// Whether a container that does not run would be started (again).
pub fn restarts(pod: &Pod, observed: Option<&Sandbox>, memory: &PodMemory, container: &Container, place: Place) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let view = View { pod, spec, observed, memory };
    let seen = view.seen(&container.name);
    match (place, &seen) {
        (Place::Ephemeral, Some(Seen::Exited { start_error, .. })) => *start_error,
        (Place::Init, Some(Seen::Exited { .. })) if is_sidecar(container) => true,
        (Place::Init, Some(Seen::Exited { exit, .. })) if has_completed(exit) => false,
        _ => view.should_restart(container, seen.as_ref()),
    }
}

struct View<'a> {
    pod: &'a Pod,
    spec: &'a PodSpec,
    observed: Option<&'a Sandbox>,
    memory: &'a PodMemory,
}

impl View<'_> {
    fn policy(&self) -> &str {
        self.spec.restart_policy.as_deref().unwrap_or("Always")
    }

    fn seen(&self, name: &str) -> Option<Seen<'_>> {
        observed::seen(self.pod, self.observed, self.memory, name)
    }

    /// Whether a pod that lost its sandbox (or never had one) gets one.
    fn new_sandbox(&self, plan: Plan) -> Plan {
        let any = self.spec.containers.iter().any(|c| self.seen(&c.name).is_some());
        let any_init = self.spec.init_containers.iter().flatten().any(|c| self.seen(&c.name).is_some());
        let lost = any || any_init;
        if lost && self.policy() == "Never" {
            return Plan::EndPod;
        }
        let done = |c: &Container| {
            let must = self.memory.containers.get(&c.name).is_some_and(|m| m.must_restart);
            !must && self.policy() == "OnFailure" && matches!(self.seen(&c.name), Some(Seen::Exited { exit, .. }) if exit.code == 0)
        };
        if any && self.spec.containers.iter().all(done) {
            // What was begun when main containers still ran goes on: the init containers run again.
            let begun = self.memory.sandbox.replacing || self.memory.sandbox.last_attempt.is_some();
            let init = self.spec.init_containers.as_deref().is_some_and(|i| !i.is_empty());
            return if begun && init { plan } else { Plan::EndPod };
        }
        plan
    }

    fn containers(&self) -> Plan {
        let (mut kill, mut start) = (Vec::new(), self.ephemeral());
        match self.init_containers(&mut kill, &mut start) {
            Init::Failed => return Plan::EndPod,
            Init::UnderWay => return Plan::Containers { kill, start },
            Init::Done => {}
        }
        let mut keep = 0;
        let mut main_start = Vec::new();
        for container in &self.spec.containers {
            match self.seen(&container.name) {
                Some(Seen::Running(running)) => match self.replacement(container, running, Place::Main) {
                    None => keep += 1,
                    Some(order) => {
                        if order.restart {
                            keep += 1;
                        }
                        kill.push(order);
                    }
                },
                other => {
                    if self.should_restart(container, other.as_ref()) {
                        main_start.push(container.name.clone());
                    }
                }
            }
        }
        if keep == 0 && main_start.is_empty() {
            return Plan::EndPod;
        }
        start.extend(main_start);
        Plan::Containers { kill, start }
    }

    /// Ephemeral containers that were never tried: each runs once, whatever becomes of it.
    fn ephemeral(&self) -> Vec<String> {
        let list = self.spec.ephemeral_containers.iter().flatten();
        let fresh = list.filter(|c| match self.seen(&c.name) {
            Some(Seen::Created(_)) => true,
            Some(Seen::Running(_) | Seen::Exited { .. }) => false,
            None => !observed::status_of(self.pod, &c.name).is_some_and(observed::ever_ran),
        });
        fresh.map(|c| c.name.clone()).collect()
    }

    /// Source: pkg/kubelet/container/helpers.go: ShouldContainerBeRestarted.
    fn should_restart(&self, container: &Container, seen: Option<&Seen<'_>>) -> bool {
        match seen {
            None | Some(Seen::Created(_)) => true,
            Some(Seen::Running(_)) => false,
            Some(Seen::Exited { exit, container: attempt, .. }) => {
                let memory = self.memory.containers.get(&container.name);
                let must = memory.is_some_and(|m| m.must_restart);
                let changed = attempt.is_some_and(|a| a.spec_hash != identity::spec_hash(container));
                if must || changed {
                    return true;
                }
                match self.container_policy(container, exit.code) {
                    Restart::Always => true,
                    Restart::OnFailure => exit.code != 0,
                    Restart::Never => false,
                }
            }
        }
    }

    /// The container's own policy and rules, or the pod's.
    /// Source: pkg/kubelet/container/helpers.go: ShouldContainerBeRestarted (ContainerRestartRules).
    fn container_policy(&self, container: &Container, code: i32) -> Restart {
        for rule in container.restart_policy_rules.iter().flatten() {
            let Some(codes) = &rule.exit_codes else { continue };
            let listed = codes.values.iter().flatten().any(|v| *v == code);
            let hit = match codes.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                _ => false,
            };
            if hit && rule.action == "Restart" {
                return Restart::Always;
            }
        }
        match container.restart_policy.as_deref().unwrap_or(self.policy()) {
            "Never" => Restart::Never,
            "OnFailure" => Restart::OnFailure,
            _ => Restart::Always,
        }
    }

    /// Why a running container has to go, if it has to.
    fn replacement(&self, container: &Container, running: &crate::runtime::Container, place: Place) -> Option<KillOrder> {
        // A sidecar that has not started yet is looked at for its startup probe alone.
        let starts = place == Place::Init && !self.has_started(container, running);
        if !starts && running.spec_hash != identity::spec_hash(container) {
            let message = match place {
                Place::Init => format!("Init container {} definition changed", container.name),
                Place::Main | Place::Ephemeral => format!("Container {} definition changed, will be restarted", container.name),
            };
            return Some(KillOrder { id: running.id.clone(), message, restart: true, grace: None });
        }
        if !starts && resize::needs_restart(self.pod, container, running, self.memory) {
            let message = format!("Container {} resize requires restart", container.name);
            return Some(KillOrder { id: running.id.clone(), message, restart: true, grace: None });
        }
        let probes = &self.memory.containers.get(&container.name)?.probes;
        let kind = probes.condemned(&running.id)?;
        let restart = place == Place::Init || self.policy() != "Never";
        let message = probe::kill_message(kind, place, &container.name, restart);
        let grace = kind.of(container).and_then(|p: &Probe| p.termination_grace_period_seconds);
        Some(KillOrder { id: running.id.clone(), message, restart, grace: grace.map(SignedDuration::from_secs) })
    }

    fn has_started(&self, container: &Container, running: &crate::runtime::Container) -> bool {
        let memory = self.memory.containers.get(&container.name);
        memory.map_or(container.startup_probe.is_none(), |m| m.probes.started(container, &running.id))
    }

    /// What the init containers need, and whether main containers may run.
    fn init_containers(&self, kill: &mut Vec<KillOrder>, start: &mut Vec<String>) -> Init {
        let list = self.spec.init_containers.as_deref().unwrap_or_default();
        if list.is_empty() {
            return Init::Done;
        }
        let main_ran = self.spec.containers.iter().any(|c| observed::latest(self.observed, &c.name).is_some());
        let (mut before, mut done) = (main_ran, main_ran);
        let mut wanted = Vec::new();
        for (index, container) in list.iter().enumerate().rev() {
            let sidecar = is_sidecar(container);
            let Some(newest) = observed::latest(self.observed, &container.name) else {
                if before && sidecar {
                    wanted.push(index);
                }
                continue;
            };
            if before && !sidecar {
                continue;
            }
            let mut follow = false;
            match observed::of(newest, self.memory) {
                Seen::Created(_) => wanted.push(index),
                Seen::Running(_) if !sidecar => {}
                Seen::Running(running) => {
                    kill.extend(self.replacement(container, running, Place::Init));
                    // What follows does not wait for one that has started and is ended since.
                    follow = self.has_started(container, running) && !before;
                }
                Seen::Exited { .. } if sidecar => wanted.push(index),
                Seen::Exited { exit, .. } if has_completed(&exit) => follow = true,
                Seen::Exited { exit, .. } => {
                    let again = match self.container_policy(container, exit.code) {
                        Restart::Never => false,
                        Restart::OnFailure | Restart::Always => true,
                    };
                    if !again {
                        return Init::Failed;
                    }
                    wanted.push(index);
                }
            }
            if follow {
                if index + 1 == list.len() { done = true } else { wanted.push(index + 1) }
            }
            before = true;
        }
        if !before {
            wanted.push(0);
        }
        wanted.sort_unstable();
        wanted.dedup();
        start.extend(wanted.into_iter().map(|i| list[i].name.clone()));
        if done { Init::Done } else { Init::UnderWay }
    }
}

/// Whether an init container has done its work: one that ran out of memory has not, whatever its code is.
/// Source: pkg/kubelet/kuberuntime/helpers.go: isInitContainerFailed.
fn has_completed(exit: &Exit) -> bool {
    exit.code == 0 && !exit.oom_killed
}

enum Init {
    Done,
    UnderWay,
    /// One has failed for good.
    Failed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Restart {
    Always,
    OnFailure,
    Never,
}
