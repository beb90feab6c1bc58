//! The steps that make containers run with what was promised: room in the pod's cgroup, the containers one after the other,
//! then the pod's cgroup as it shall be. So limits never stand above those of the pod, and never below what is in use.
//! Source: pkg/kubelet/kuberuntime/kuberuntime_manager.go: computePodResizeAction, doPodResizeAction.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};

use super::amounts::{self, Compute};
use super::{Progress, forget_ended, generation, promise, runs_with};
use crate::node::sync::Look;
use crate::node::{PodEvent, PodMemory, Step, backoff, identity, observed, resources};
use crate::runtime::{self, Action, ContainerState, LinuxResources, Outcome, RuntimeError, RuntimeErrorKind};

/// A step that is under way, and what it makes true.
#[derive(Clone, Debug, PartialEq)]
pub enum Sent {
    Raise,
    Container { id: String, started_at: Timestamp, has: ResourceRequirements },
    Settle,
}

impl Look<'_> {
    /// The next step of a resize, if one can be taken now; true: it was.
    pub(in crate::node) fn resize(&mut self) -> bool {
        forget_ended(self.memory, self.observed);
        let differs = self.differing();
        if self.memory.resize.progress.is_none() {
            if differs.is_empty() || self.context.machine.lacks_controllers {
                return false;
            }
            self.memory.resize.progress = Some(Progress { generation: generation(self.pod), ..Progress::default() });
        }
        let Some(progress) = &mut self.memory.resize.progress else { return false };
        if let Some(at) = progress.retry_at.filter(|at| *at > self.context.now) {
            self.wake(Some(at));
            return false;
        }
        let (raised, settled) = (progress.raised, progress.settled);
        if !raised {
            if let Some(most) = self.most() {
                return self.change_sandbox(Sent::Raise, most, "the pod's cgroup gets room for its containers");
            }
            if let Some(progress) = &mut self.memory.resize.progress {
                progress.raised = true;
            }
            // Containers that have to start again are seen to by the next look.
            self.wake(Some(self.context.now));
        }
        for (container, running, has) in &differs {
            if must_restart(container, &Compute::of(has), &Compute::of(&promise::of(self.pod, &container.name))) {
                continue;
            }
            if self.change_container(container, running, has) {
                return true;
            }
        }
        if !self.differing().is_empty() {
            return false;
        }
        let spec = self.pod.spec.clone().unwrap_or_default();
        if !settled {
            return self.change_sandbox(Sent::Settle, resources::pod(&spec), "the pod's cgroup is to be as promised");
        }
        self.completed();
        false
    }

    fn completed(&mut self) {
        let Some(progress) = self.memory.resize.progress.take() else { return };
        let message = amounts::message("Pod resize completed", self.pod, progress.generation, "");
        self.events.push(PodEvent::normal("ResizeCompleted", message, ""));
    }

    /// Running containers that do not run with what was promised.
    fn differing(&self) -> Vec<(Container, runtime::Container, ResourceRequirements)> {
        let running = observed::running(self.observed).filter(|c| promise::is_resizable(self.pod, &c.name));
        let latest = running.filter(|c| observed::latest(self.observed, &c.name).is_some_and(|l| l.id == c.id));
        latest
            .filter_map(|running| {
                let has = runs_with(self.pod, running, self.memory);
                let (container, _) = identity::find(self.pod, &running.name)?;
                let same = Compute::of(&has) == Compute::of(&promise::of(self.pod, &running.name));
                (!same).then(|| (container.into_owned(), running.clone(), has))
            })
            .collect()
    }

    /// The larger of what the pod's cgroup has and what it shall have; `None`: it has that.
    fn most(&self) -> Option<LinuxResources> {
        self.observed?;
        let spec = self.pod.spec.as_ref()?;
        let now = promise::spec_with(spec, |container| {
            let running = observed::running(self.observed).find(|c| c.name == container.name)?;
            Some(runs_with(self.pod, running, self.memory))
        });
        let (now, then) = (resources::pod(&now), resources::pod(spec));
        // No limit is the largest.
        let larger = |a: Option<i64>, b: Option<i64>| a.zip(b).map(|(a, b)| a.max(b));
        let most = LinuxResources {
            cpu_shares: now.cpu_shares.max(then.cpu_shares),
            cpu_quota: larger(now.cpu_quota, then.cpu_quota),
            cpu_period: now.cpu_period.and(then.cpu_period),
            memory_limit_bytes: larger(now.memory_limit_bytes, then.memory_limit_bytes),
            ..LinuxResources::default()
        };
        (most != now).then_some(most)
    }

    fn change_sandbox(&mut self, sent: Sent, resources: LinuxResources, why: &str) -> bool {
        let Some(sandbox) = self.observed else { return false };
        let action = Action::UpdateSandbox { id: sandbox.id.clone(), pod_uid: identity::uid(self.pod).into(), resources };
        self.memory.resize.sent = Some(sent);
        self.steps.push(Step::new(action, why));
        true
    }

    /// False: there is nothing that the runtime could change.
    fn change_container(&mut self, container: &Container, running: &runtime::Container, has: &ResourceRequirements) -> bool {
        let ContainerState::Running { started_at, .. } = running.state else { return false };
        let wanted = promise::of(self.pod, &container.name);
        let (before, after) = (Compute::of(has), Compute::of(&wanted));
        if before.cpu == after.cpu && before.memory.1 == after.memory.1 {
            // The kernel knows no requests of memory.
            self.memory.resize.changed.insert(running.id.clone(), (started_at, wanted));
            return false;
        }
        let Some(spec) = &self.pod.spec else { return false };
        let all = resources::container(self.pod, spec, container, self.context.machine.memory_bytes);
        let resources = LinuxResources { oom_score_adj: None, hugepage_limits: Default::default(), ..all };
        self.memory.resize.sent = Some(Sent::Container { id: running.id.clone(), started_at, has: wanted });
        let action = Action::UpdateContainer { id: running.id.clone(), pod_uid: identity::uid(self.pod).into(), resources };
        self.steps.push(Step::new(action, format!("container {} was promised other resources", container.name)));
        true
    }
}

/// Whether the change has a resource whose policy is to start the container again.
fn must_restart(container: &Container, before: &Compute, after: &Compute) -> bool {
    let policy = |name: &str| {
        let found = container.resize_policy.iter().flatten().find(|p| p.resource_name == name);
        found.is_some_and(|p| p.restart_policy == "RestartContainer")
    };
    (before.cpu != after.cpu && policy("cpu")) || (before.memory != after.memory && policy("memory"))
}

/// Whether a running container has to be started again for what it was promised. `pod`: as it was promised.
pub fn needs_restart(pod: &Pod, container: &Container, running: &runtime::Container, memory: &PodMemory) -> bool {
    let ready = memory.resize.progress.as_ref().is_some_and(|p| p.raised);
    ready
        && promise::is_resizable(pod, &container.name)
        && must_restart(
            container,
            &Compute::of(&runs_with(pod, running, memory)),
            &Compute::of(&promise::of(pod, &container.name)),
        )
}

/// Takes in how a step of a resize went.
pub fn record(pod: &Pod, result: &Result<Outcome, RuntimeError>, memory: &mut PodMemory, now: Timestamp, events: &mut Vec<PodEvent>) {
    let (Some(sent), Some(progress)) = (memory.resize.sent.take(), &mut memory.resize.progress) else { return };
    match result {
        Ok(_) => {
            (progress.error, progress.retry_at) = (None, None);
            match sent {
                Sent::Raise => progress.raised = true,
                Sent::Settle => progress.settled = true,
                Sent::Container { id, started_at, has } => {
                    memory.resize.changed.insert(id, (started_at, has));
                }
            }
        }
        // What has gone meanwhile, or nobody who answers, is no failure of the resize.
        Err(error) if matches!(error.kind, RuntimeErrorKind::NotFound | RuntimeErrorKind::Unavailable) => {
            progress.retry_at = Some(now + backoff::SOON);
        }
        Err(error) => {
            progress.retry_at = Some(now + backoff::RETRY);
            if progress.error.as_deref() != Some(&error.message) {
                progress.error = Some(error.message.clone());
                let message = amounts::message("Pod resize error", pod, progress.generation, &error.message);
                events.push(PodEvent::warning("ResizeError", message, ""));
            }
        }
    }
}
