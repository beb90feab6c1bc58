//! A pod's sandbox made, found lost, and made anew.
//! Source: pkg/kubelet/kuberuntime/kuberuntime_manager.go: SyncPod, computePodActions.

use super::identity::{self, Place};
use super::memory::Lost;
use super::observed::{self, Seen};
use super::sync::Look;
use super::{PodEvent, Step, backoff, ending, sandbox};
use crate::runtime::{Action, Sandbox};

impl Look<'_> {
    pub(super) fn run_sandbox(&mut self, attempt: u32) {
        let now = self.context.now;
        if let Some(at) = self.memory.sandbox.retry_at.filter(|at| *at > now) {
            self.wake(Some(at));
            return;
        }
        match sandbox::config(self.pod, attempt, self.context) {
            Ok((config, events)) => {
                self.events.extend(events);
                let why = if attempt == 0 { "the pod is to run" } else { "the pod's sandbox was lost" };
                self.steps.push(Step::new(Action::RunSandbox(Box::new(config)), why));
            }
            Err(message) => {
                let retry_at = now + backoff::RETRY;
                self.memory.sandbox.retry_at = Some(retry_at);
                self.wake(Some(retry_at));
                let message = format!("Failed to create pod sandbox: {message}");
                self.events.push(PodEvent::warning("FailedCreatePodSandBox", message, ""));
            }
        }
    }

    /// The sandbox that is there is of no use any more: all that runs in it ends, then it goes.
    pub(super) fn replace_sandbox(&mut self) {
        let Some(sandbox) = self.observed else { return };
        let now = self.context.now;
        if !self.memory.sandbox.replacing {
            self.memory.sandbox.replacing = true;
            let message = "Pod sandbox changed, it will be killed and re-created.";
            self.events.push(PodEvent::normal("SandboxChanged", message, ""));
            self.start_again();
        }
        let running: Vec<_> = observed::running(self.observed).cloned().collect();
        if !running.is_empty() {
            for container in &running {
                let message = format!("Stopping container {}", container.name);
                ending::begin(self.pod, container, ending::spec_grace(self.pod), &message, self.memory, now, &mut self.events);
            }
            self.signals();
            return;
        }
        if let Some(at) = self.memory.sandbox.retry_at.filter(|at| *at > now) {
            self.wake(Some(at));
            return;
        }
        self.remember_lost(sandbox);
        self.memory.sandbox.last_attempt = Some(sandbox.attempt);
        let action = Action::RemoveSandbox { id: sandbox.id.clone(), pod_uid: identity::uid(self.pod).into(), forget_pod: false };
        self.steps.push(Step::new(action, "the pod's sandbox was lost"));
    }

    /// What runs when the sandbox is found lost is to run in the next one, however it ends; where there are init containers
    /// these come first, and what ended is judged then.
    /// Source: pkg/kubelet/kuberuntime/kuberuntime_manager.go: computePodActions.
    fn start_again(&mut self) {
        if self.pod.spec.as_ref().is_some_and(|s| s.init_containers.as_ref().is_some_and(|i| !i.is_empty())) {
            return;
        }
        for container in observed::running(self.observed) {
            if matches!(identity::find(self.pod, &container.name), Some((_, Place::Main))) {
                self.memory.container(&container.name).must_restart = true;
            }
        }
    }

    fn remember_lost(&mut self, sandbox: &Sandbox) {
        let names: std::collections::BTreeSet<&str> = sandbox.containers.iter().map(|c| c.name.as_str()).collect();
        let runtime_name = &self.context.machine.runtime_name;
        for name in names {
            let Some(latest) = observed::latest(self.observed, name) else { continue };
            let Seen::Exited { exit, .. } = observed::of(latest, self.memory) else { continue };
            let exit = exit.into_owned();
            let lost = Lost {
                attempt: latest.attempt,
                id: format!("{runtime_name}://{}", latest.id),
                image: latest.image.clone(),
                image_id: latest.annotations.get(identity::IMAGE_REFERENCE).cloned().unwrap_or_else(|| latest.image_id.clone()),
                exit,
            };
            let memory = self.memory.container(name);
            memory.lost = Some(lost);
            // Everything starts again with the new sandbox, without back-off.
            memory.judged_by = Some(None);
        }
    }
}
