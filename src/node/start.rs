//! Bringing one container from nothing to running, one step a look: back-off, image, create, start.
//! Source: pkg/kubelet/kuberuntime/kuberuntime_container.go: startContainer; pkg/kubelet/images.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod};

use super::images::{self, Policy};
use super::memory::{Checked, PodMemory};
use super::observed::{self, Seen};
use super::{Backoff, Context, PodEvent, Step, backoff, container, identity, statics, volumes};
use crate::api::requests::is_sidecar;
use crate::runtime::{Action, Sandbox};

/// Where no more than this lies between two changes of a pod, no list of the kubelet's is without one.
const UNSEEN: SignedDuration = SignedDuration::from_millis(1500);

/// What can be done for a container that should run.
pub enum Next {
    Step(Step),
    /// Nothing before then (or before something changes).
    Wait(Option<Timestamp>),
}

/// One container on its way.
pub struct Start<'a> {
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub field_path: String,
    pub observed: &'a Sandbox,
}

impl Start<'_> {
    /// The next step; `memory` and `events` take note of what is found.
    pub fn next(&self, memory: &mut PodMemory, context: &Context<'_>, events: &mut Vec<PodEvent>) -> Next {
        let name = &self.container.name;
        let now = context.now;
        let exit = match observed::seen(self.pod, Some(self.observed), memory, name) {
            Some(Seen::Created(made)) => {
                let id = made.id.clone();
                return self.start(id, memory);
            }
            Some(Seen::Exited { exit, .. }) => Some(exit.finished_at),
            Some(Seen::Running(_)) | None => None,
        };
        if let Some(at) = memory.container(name).retry_at.filter(|at| *at > now) {
            return Next::Wait(Some(at));
        }
        if !memory.container(name).trying {
            if let Some(until) = self.hold_back(exit, memory, context, events) {
                return Next::Wait(Some(until.min(now + backoff::RETRY)));
            }
            memory.container(name).trying = true;
        }
        self.image(memory, context, events)
    }

    fn start(&self, id: String, memory: &mut PodMemory) -> Next {
        let state = memory.container(&self.container.name);
        state.trying = true;
        state.starting = Some(id.clone());
        let action = Action::StartContainer { id, pod_uid: identity::uid(self.pod).into() };
        Next::Step(Step::new(action, format!("container {} is made and not started", self.container.name)))
    }

    /// Until when the container is in back-off; otherwise this try is noted.
    fn hold_back(
        &self,
        exit: Option<Timestamp>,
        memory: &mut PodMemory,
        context: &Context<'_>,
        events: &mut Vec<PodEvent>,
    ) -> Option<Timestamp> {
        let now = context.now;
        let name = &self.container.name;
        let resumed = self.resumed_backoff();
        let news = observed::news(self.pod, Some(self.observed), memory);
        let hash = identity::spec_hash(self.container);
        let is_behind = self.is_a_sync_behind();
        let state = memory.container(name);
        if state.backoff_of != hash {
            let fresh = !state.backoff_known;
            state.backoff = resumed.filter(|_| fresh).unwrap_or_default();
            state.backoff_known = true;
            state.backoff_of = hash;
        }
        let Some(failed_at) = state.judged_by.take().unwrap_or(exit) else {
            state.backoff.touch(now);
            return None;
        };
        let Some(until) = state.backoff.until(failed_at, now) else {
            state.backoff.next(failed_at, now);
            return None;
        };
        let delay = backoff::show(state.backoff.delay());
        let pod = identity::pod_text(self.pod);
        let message = format!("back-off {delay} restarting failed container={name} pod={pod}");
        // A failed try that came to no container, and a back-off that is known already, show at once.
        let killed = state.must_restart;
        let before = state.waiting.take();
        state.give_up("CrashLoopBackOff", message, None);
        if let Some(waiting) = &mut state.waiting {
            match before {
                Some(known) if known.message == waiting.message => *waiting = known,
                before => {
                    // What a kill of the node's own has ended is seen to have ended a second later.
                    let soon = killed || is_behind || before.as_ref().is_some_and(|w| w.reason == "PostStartHookError");
                    let later = if soon { backoff::SHOWN } else { backoff::RETRY };
                    waiting.from = Some(until.min(now + later));
                    waiting.before = before.map(Box::new);
                    waiting.tells_again = soon;
                    waiting.news = Some(news);
                }
            }
        }
        if memory.tell(&format!("backoff {name}"), now) {
            let message = format!("Back-off restarting failed container {name} in pod {pod}");
            events.push(PodEvent::warning("BackOff", message, &self.field_path));
        }
        Some(until)
    }

    /// Whether the kubelet is one sync behind what happens: a change that comes while it works on the pod makes it look again with
    /// its next list of containers, a second later, which then has the next change; so it goes on until a list has nothing new.
    /// It begins where the first sync takes long (several containers, volumes) or a static pod's mirror comes meanwhile; init
    /// containers were seen to be either way, and count as behind.
    /// Source: pkg/kubelet/pod_workers.go: podWorkerLoop (GetNewerThan); pkg/kubelet/pleg/generic.go: Relist.
    fn is_a_sync_behind(&self) -> bool {
        let Some(spec) = &self.pod.spec else { return false };
        let is_init = spec.init_containers.iter().flatten().any(|c| c.name == self.container.name && !is_sidecar(c));
        let from = if is_init || statics::is_static_pod(self.pod) || volumes::are_mounted(spec) {
            Some(self.observed.created_at)
        } else {
            let main = self.observed.containers.iter().filter(|c| spec.containers.iter().any(|m| m.name == c.name));
            main.filter_map(|c| observed::ran(c).map(|(began, _)| began)).min().filter(|_| spec.containers.len() > 1)
        };
        let Some(from) = from else { return false };
        let ran = self.observed.containers.iter().filter_map(observed::ran);
        let changes = ran.flat_map(|(began, ended)| [Some(began), ended]).flatten().filter(|at| *at >= from);
        let mut changes: Vec<Timestamp> = changes.chain([from]).collect();
        changes.sort_unstable();
        changes.windows(2).all(|pair| pair[1].duration_since(pair[0]) <= UNSEEN)
    }

    /// The back-off that the newest attempt was made after, as it carries it.
    fn resumed_backoff(&self) -> Option<Backoff> {
        let latest = observed::latest(Some(self.observed), &self.container.name)?;
        if latest.spec_hash != identity::spec_hash(self.container) {
            return None;
        }
        let seconds: i64 = latest.annotations.get(identity::BACKOFF)?.parse().ok()?;
        (seconds > 0).then(|| Backoff::resumed(SignedDuration::from_secs(seconds.min(300)), latest.created_at))
    }

    fn image(&self, memory: &mut PodMemory, context: &Context<'_>, events: &mut Vec<PodEvent>) -> Next {
        let now = context.now;
        let image = self.container.image.clone().unwrap_or_default();
        let retry_at = Some(now + memory.pause(&self.container.name));
        let normalised = match images::normalise(&image) {
            Ok(normalised) => normalised,
            Err(error) => {
                let message = format!("Failed to apply default image tag \"{image}\": couldn't parse image name \"{image}\": {error}");
                events.push(PodEvent::warning("InspectFailed", &*message, &self.field_path));
                return self.fail("InvalidImageName", message, retry_at, memory, events);
            }
        };
        let policy = images::policy(self.container, &normalised);
        match memory.container(&self.container.name).image.clone() {
            None => {
                let step = Step::new(Action::InspectImage { image }, format!("container {} needs its image", self.container.name));
                Next::Step(step)
            }
            Some(Checked::Present(info)) => {
                let fetched = memory.container(&self.container.name).fetched;
                if policy == Policy::Always && !fetched && !images::is_local(&normalised, &info) {
                    return self.pull(image, memory, context, events);
                }
                if !fetched {
                    let message = format!("Container image \"{image}\" already present on machine");
                    events.push(PodEvent::normal("Pulled", message, &self.field_path));
                }
                self.create(&info, memory, context, events)
            }
            Some(Checked::Missing) if policy == Policy::Never => {
                let message = format!("Container image \"{image}\" is not present with pull policy of Never");
                events.push(PodEvent::warning("ErrImageNeverPull", &*message, &self.field_path));
                self.fail("ErrImageNeverPull", message, retry_at, memory, events)
            }
            Some(Checked::Missing) => self.pull(image, memory, context, events),
        }
    }

    fn pull(&self, image: String, memory: &mut PodMemory, context: &Context<'_>, events: &mut Vec<PodEvent>) -> Next {
        let now = context.now;
        let state = memory.pulls.entry(image.clone()).or_default();
        if let Some(until) = state.backoff.until_since_update(now) {
            let message = format!("Back-off pulling image \"{image}\": ErrImagePull: {}", state.error);
            events.push(PodEvent::normal("BackOff", format!("Back-off pulling image \"{image}\""), &self.field_path));
            return self.fail("ImagePullBackOff", message, Some(until.min(now + backoff::RETRY)), memory, events);
        }
        let (auth, _) = images::credentials(self.pod, context);
        events.push(PodEvent::normal("Pulling", format!("Pulling image \"{image}\""), &self.field_path));
        let reason = format!("container {} needs its image", self.container.name);
        Next::Step(Step::new(Action::PullImage { image, auth, pod_uid: identity::uid(self.pod).into() }, reason))
    }

    fn create(
        &self,
        info: &crate::runtime::ImageInfo,
        memory: &mut PodMemory,
        context: &Context<'_>,
        events: &mut Vec<PodEvent>,
    ) -> Next {
        let name = &self.container.name;
        let attempt = observed::next_attempt(self.pod, Some(self.observed), memory, name);
        let delay = memory.container(name).backoff.delay().as_secs();
        match container::config(self.pod, self.container, attempt, delay, info, self.observed, context) {
            Ok(config) => {
                if let Some(message) = container::without_command(&config, info).or_else(|| container::ended_target(&config, self.observed)) {
                    let retry_at = Some(context.now + memory.pause(&self.container.name));
                    return self.fail("CreateContainerError", message, retry_at, memory, events);
                }
                let reason = if attempt == 0 { "is to run".to_owned() } else { format!("is to run again (attempt {attempt})") };
                Next::Step(Step::new(Action::CreateContainer(Box::new(config)), format!("container {name} {reason}")))
            }
            Err(message) => {
                let retry_at = Some(context.now + memory.pause(&self.container.name));
                self.fail("CreateContainerConfigError", message, retry_at, memory, events)
            }
        }
    }

    fn fail(
        &self,
        reason: &'static str,
        message: String,
        retry_at: Option<Timestamp>,
        memory: &mut PodMemory,
        events: &mut Vec<PodEvent>,
    ) -> Next {
        let shown = if matches!(reason, "CreateContainerConfigError" | "CreateContainerError") { &message } else { reason };
        events.push(PodEvent::warning("Failed", format!("Error: {shown}"), &self.field_path));
        memory.container(&self.container.name).give_up(reason, message, retry_at);
        Next::Wait(retry_at)
    }
}
