//! How a step went: what is remembered of it, and which events it makes.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::identity;
use super::memory::{Checked, StartError};
use super::backoff::SOON;
use super::{PodEvent, PodMemory, backoff, eviction, resize, volumes};
use crate::runtime::{Action, Outcome, RuntimeError, RuntimeErrorKind};

impl PodMemory {
    /// Takes in how `action` went at `now`.
    pub fn record(
        &mut self,
        pod: &Pod,
        action: &Action,
        result: &Result<Outcome, RuntimeError>,
        now: Timestamp,
    ) -> Vec<PodEvent> {
        let mut events = Vec::new();
        match (action, result) {
            (Action::WriteVolume(content), Ok(_)) => {
                let volume = self.volumes.entry(content.name.clone()).or_default();
                volume.written = Some(volumes::content_hash(content));
                volume.failures = 0;
                volume.retry_at = None;
            }
            (Action::WriteVolume(content), Err(error)) => self.volume_failed(&content.name, &error.message, now, &mut events),
            (Action::RunSandbox(_), Ok(_)) => {
                self.sandbox.retry_at = None;
                self.sandbox.failures = 0;
                // What failed in the sandbox before, because somebody took it away, need not fail in this one.
                self.containers.values_mut().for_each(|container| container.retry_at = None);
            }
            (Action::RunSandbox(_), Err(error)) => {
                events.push(PodEvent::warning("FailedCreatePodSandBox", format!("Failed to create pod sandbox: {error}"), ""));
                // Sooner than the kubelet at first where it helps: a port or a name is often free again in a moment.
                let passes = matches!(error.kind, RuntimeErrorKind::Unavailable | RuntimeErrorKind::AddressInUse | RuntimeErrorKind::Exists);
                let soon = SOON.saturating_mul(1 << self.sandbox.failures.min(4));
                let delay = if passes { soon.min(retry_after(error)) } else { backoff::RETRY };
                self.sandbox.failures = self.sandbox.failures.saturating_add(1);
                self.sandbox.retry_at = Some(now + delay);
            }
            (Action::InspectImage { image }, result) => self.image_looked_at(pod, image, result, now, &mut events),
            (Action::PullImage { image, .. }, result) => self.pulled(pod, image, result, now, &mut events),
            (Action::CreateContainer(config), result) => {
                if let Some(memory) = self.containers.get_mut(&config.name).filter(|_| result.is_ok()) {
                    // What is lost is told as the last state of the attempt after it, and of no other.
                    memory.lost = memory.lost.take().filter(|lost| lost.attempt.saturating_add(1) == config.attempt);
                }
                self.created(pod, &config.name, result.as_ref().err(), now, &mut events);
            }
            (Action::StartContainer { id, .. }, result) => {
                if let Some(name) = self.name_of(id) {
                    self.started(pod, &name, id, result.as_ref().err(), now, &mut events);
                }
            }
            (Action::SignalContainer { id, signal, .. }, Ok(_)) if *signal != super::ending::KILL => self.signal_sent(id, now),
            (Action::SignalContainer { id, signal, .. }, Err(error)) => self.signal_failed(id, *signal, error, now),
            (Action::MeasureStorage { .. }, result) => eviction::record(pod, result, self, now),
            (Action::UpdateContainer { .. } | Action::UpdateSandbox { .. }, result) => {
                resize::record(pod, result, self, now, &mut events);
            }
            (Action::StopSandbox { .. } | Action::RemoveSandbox { .. }, Ok(_)) => {
                if let Some(ending) = &mut self.ending {
                    ending.released = true;
                }
                self.sandbox.replacing = false;
            }
            (Action::StopSandbox { .. } | Action::RemoveSandbox { .. }, Err(_)) => {
                self.sandbox.retry_at = Some(now + SOON);
                if let Some(ending) = &mut self.ending {
                    ending.retry_at = Some(now + SOON);
                }
            }
            (
                Action::SignalContainer { .. }
                | Action::RemoveContainer { .. }
                | Action::ResumeContainer { .. }
                | Action::FreeStorage { .. }
                | Action::ExecSync { .. },
                _,
            ) => {}
        }
        events
    }

    /// Notes that a volume could not be made: an event, and a pause that doubles from 0.5 s to 2 min.
    /// Source: pkg/volume/util/operationexecutor, pkg/util/goroutinemap/exponentialbackoff.
    pub(super) fn volume_failed(&mut self, name: &str, message: &str, now: Timestamp, events: &mut Vec<PodEvent>) {
        let volume = self.volumes.entry(name.to_owned()).or_default();
        let delay = SignedDuration::from_millis(500).saturating_mul(1 << volume.failures.min(8));
        volume.failures = volume.failures.saturating_add(1);
        volume.retry_at = Some(now + delay.min(SignedDuration::from_secs(122)));
        let message = format!("MountVolume.SetUp failed for volume \"{name}\" : {message}");
        events.push(PodEvent::warning("FailedMount", message, ""));
    }

    /// Notes that a volume's claim leads to none; the whole sync comes to nothing, and is tried again.
    /// Source: pkg/kubelet/volumemanager/volume_manager.go: WaitForAttachAndMount.
    pub(super) fn claim_failed(&mut self, name: &str, unmounted: &[String], why: &str, now: Timestamp) -> PodEvent {
        self.volumes.entry(name.to_owned()).or_default().retry_at = Some(now + backoff::RETRY);
        let message = format!(
            "Unable to attach or mount volumes: unmounted volumes=[{}], unattached volumes=[], failed to process volumes=[{name}]: {why}",
            unmounted.join(" ")
        );
        PodEvent::warning("FailedMount", message, "")
    }

    /// The containers that wait for `image`.
    fn trying(&self, pod: &Pod, image: &str) -> Vec<(String, String)> {
        let waits = |name: &str| self.containers.get(name).is_some_and(|m| m.trying);
        let containers = identity::all(pod).filter(|(c, _)| c.image.as_deref().unwrap_or_default() == image && waits(&c.name));
        containers.map(|(c, place)| (c.name.clone(), identity::field_path(place, &c.name))).collect()
    }

    fn image_looked_at(
        &mut self,
        pod: &Pod,
        image: &str,
        result: &Result<Outcome, RuntimeError>,
        now: Timestamp,
        events: &mut Vec<PodEvent>,
    ) {
        let waits = |name: &str| self.containers.get(name).is_some_and(|m| m.image.is_none());
        let Some((name, path)) = self.trying(pod, image).into_iter().find(|(name, _)| waits(name)) else { return };
        match result {
            Ok(Outcome::Image(Some(info))) => self.container(&name).image = Some(Checked::Present(Box::new(info.clone()))),
            Ok(_) => self.container(&name).image = Some(Checked::Missing),
            Err(error) => {
                let message = format!("Failed to inspect image \"{image}\": {error}");
                let reason = if error.kind == RuntimeErrorKind::ImageName { "InvalidImageName" } else { "ImageInspectError" };
                events.push(PodEvent::warning("InspectFailed", &*message, &*path));
                events.push(PodEvent::warning("Failed", format!("Error: {reason}"), path));
                self.container(&name).give_up(reason, message, Some(now + retry_after(error)));
            }
        }
    }

    fn pulled(
        &mut self,
        pod: &Pod,
        image: &str,
        result: &Result<Outcome, RuntimeError>,
        now: Timestamp,
        events: &mut Vec<PodEvent>,
    ) {
        let Some((name, path)) = self.trying(pod, image).into_iter().next() else { return };
        match result {
            Ok(outcome) => {
                if let Outcome::Pulled { size_bytes, took, took_with_wait, .. } = outcome {
                    let message = format!(
                        "Successfully pulled image \"{image}\" in {} ({} including waiting). Image size: {size_bytes} bytes.",
                        short(*took),
                        short(*took_with_wait)
                    );
                    events.push(PodEvent::normal("Pulled", message, &*path));
                }
                // Its back-off runs out by itself (pkg/kubelet/images/image_manager.go: EnsureImageExists).
                let container = self.container(&name);
                container.fetched = true;
                container.image = None;
            }
            Err(error) => {
                events.push(PodEvent::warning("Failed", format!("Failed to pull image \"{image}\": {error}"), &*path));
                events.push(PodEvent::warning("Failed", "Error: ErrImagePull", path));
                let pull = self.pulls.entry(image.to_owned()).or_default();
                pull.backoff.next(now, now);
                pull.error = error.message.clone();
                // After the first failure news of the sandbox make the kubelet look again soon.
                let first = self.containers.get(&name).is_none_or(|c| c.waiting.is_none());
                let retry_at = now + if first { SOON } else { pull.backoff.delay().min(backoff::RETRY) };
                self.container(&name).give_up("ErrImagePull", error.message.clone(), Some(retry_at));
            }
        }
    }

    fn created(&mut self, pod: &Pod, name: &str, error: Option<&RuntimeError>, now: Timestamp, events: &mut Vec<PodEvent>) {
        let path = identity::find(pod, name).map(|(_, place)| identity::field_path(place, name)).unwrap_or_default();
        match error {
            None => {
                events.push(PodEvent::normal("Created", format!("Created container: {name}"), path));
            }
            Some(error) if is_no_fault_of_its_own(error) => self.container(name).try_again(now + SOON),
            Some(error) if matches!(error.kind, RuntimeErrorKind::Volume | RuntimeErrorKind::SubPath) => {
                // Source: pkg/kubelet/kubelet_pods.go: makeMounts.
                let mounts = identity::find(pod, name).and_then(|(c, _)| c.volume_mounts.clone()).unwrap_or_default();
                let mount = mounts.iter().find(|m| m.sub_path.is_some() || m.sub_path_expr.is_some());
                let volume = mount.map(|m| m.name.clone()).unwrap_or_default();
                let what = if error.kind == RuntimeErrorKind::SubPath { "create subPath directory" } else { "prepare subPath" };
                let message = format!("failed to {what} for volumeMount \"{volume}\" of container \"{name}\"");
                events.push(PodEvent::warning("Failed", format!("Error: {message}"), path));
                let retry_at = Some(now + self.pause(name));
                self.container(name).give_up("CreateContainerConfigError", message, retry_at);
            }
            Some(error) => {
                events.push(PodEvent::warning("Failed", format!("Error: {error}"), path));
                let retry_at = Some(now + self.pause(name));
                self.container(name).give_up("CreateContainerError", error.message.clone(), retry_at);
            }
        }
    }

    fn started(
        &mut self,
        pod: &Pod,
        name: &str,
        id: &str,
        error: Option<&RuntimeError>,
        now: Timestamp,
        events: &mut Vec<PodEvent>,
    ) {
        let path = identity::find(pod, name).map(|(_, place)| identity::field_path(place, name)).unwrap_or_default();
        let container = self.container(name);
        container.end_try();
        match error {
            None => {
                events.push(PodEvent::normal("Started", format!("Started container {name}"), path));
                container.waiting = None;
                container.must_restart = false;
                container.judged_by = None;
                self.told.remove(&format!("backoff {name}"));
                self.begin_post_start(pod, name, id);
            }
            Some(error) if is_no_fault_of_its_own(error) => container.try_again(now + SOON),
            Some(error) => {
                events.push(PodEvent::warning("Failed", format!("Error: {error}"), path));
                container.start_errors.retain(|_, e| now.duration_since(e.at) < SignedDuration::from_hours(1));
                container.start_errors.insert(id.to_owned(), StartError { message: error.message.clone(), at: now });
                // An earlier try that came to nothing excuses this one no more.
                container.judged_by = None;
                container.give_up("RunContainerError", error.message.clone(), None);
            }
        }
    }

    /// Until the next try of what cannot be: soon after the first, as news of the sandbox make the kubelet look again.
    pub(super) fn pause(&self, name: &str) -> SignedDuration {
        let tried = self.containers.get(name).is_some_and(|m| m.waiting.is_some());
        if tried { backoff::RETRY } else { SOON }
    }

    /// Which container an attempt belongs to that was to be started.
    fn name_of(&self, id: &str) -> Option<String> {
        let found = self.containers.iter().find(|(_, memory)| memory.starting.as_deref() == Some(id));
        found.map(|(name, _)| name.clone())
    }

    /// A container has its grace from when it was told to end, however long that took
    /// (kuberuntime_container.go: killContainer leaves it to the runtime to count).
    fn signal_sent(&mut self, id: &str, now: Timestamp) {
        let Some(kill) = self.kills.get_mut(id).filter(|kill| kill.on_its_way) else { return };
        kill.on_its_way = false;
        if let Some(asked_at) = kill.term_sent_at.replace(now) {
            kill.since += now.duration_since(asked_at);
        }
    }

    fn signal_failed(&mut self, id: &str, signal: i32, error: &RuntimeError, now: Timestamp) {
        let Some(kill) = self.kills.get_mut(id).filter(|_| error.kind != RuntimeErrorKind::NotFound) else { return };
        // What does not run needs no signal: the next observation tells.
        if signal == super::ending::KILL {
            kill.kill_sent = false;
            kill.retry_at = Some(now + SOON);
            return;
        }
        kill.on_its_way = false;
        if error.kind == RuntimeErrorKind::Unavailable {
            kill.term_sent_at = None;
        }
        kill.retry_at = Some(now + SOON);
    }
}

/// Nobody answered, or what was acted on has gone meanwhile: the next look tells what to do.
fn is_no_fault_of_its_own(error: &RuntimeError) -> bool {
    matches!(error.kind, RuntimeErrorKind::Unavailable | RuntimeErrorKind::NotFound)
}

fn retry_after(error: &RuntimeError) -> SignedDuration {
    if error.kind == RuntimeErrorKind::Unavailable { SOON } else { backoff::RETRY }
}

/// A duration as Go prints one that was cut to milliseconds.
fn short(duration: std::time::Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (minutes, seconds) = (millis / 60_000, (millis % 60_000) as f64 / 1000.0);
    if minutes == 0 { format!("{seconds}s") } else { format!("{minutes}m{seconds}s") }
}
