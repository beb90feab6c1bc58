//! The task of one pod: look, write the status, carry the steps out, wait for a reason to look again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use serde_json::json;
use tokio::sync::{Notify, watch};

use super::clock::sleep_until;
use super::events::Extra;
use super::mirror::Fixed;
use super::node::{Shared, has_begun};
use super::probing::InsidePod;
use super::{hooking, probing, requests, scheduling};
use crate::api::{Json, Key, Object};
use crate::controllers::{EventKind, EventNote};
use crate::network::inside::Inside;
use crate::node::probe::{self, Answer, Due};
use crate::node::statics;
use crate::node::{self, Context, Eviction, HookCall, NodeDecision, PodEvent, PodMemory, Refusal, Step, Then, TokenNeed, Tokens};
use crate::probes::{Dial, Direct};
use crate::registry::Verb;
use crate::store::failpoint::{self, Point};
use crate::runtime::{Action, ContainerState, Outcome, Runtime, RuntimeError, RuntimeErrorKind, Sandbox, SandboxState};

const AGENT: &str = "kubelet";
/// Before the runtime is asked again when it did not answer.
const NO_ANSWER: Duration = Duration::from_millis(500);

/// How others wake a pod's task.
#[derive(Default)]
pub struct Bell {
    rung: Notify,
    look: AtomicBool,
    /// The pod waits for what others have.
    waits: AtomicBool,
}

impl Bell {
    /// Something in the API has changed.
    pub fn ring(&self) {
        self.rung.notify_one();
    }

    /// Others have less now.
    pub fn ring_if_waiting(&self) {
        if self.waits.load(Ordering::SeqCst) {
            self.ring();
        }
    }

    /// Something in the runtime may have changed.
    pub fn ring_to_look(&self) {
        self.look.store(true, Ordering::SeqCst);
        self.rung.notify_one();
    }
}

/// One pod's task.
pub struct PodTask<R: Runtime> {
    pub shared: Arc<Shared<R>>,
    pub key: Key,
    pub uid: String,
    pub bell: Arc<Bell>,
    /// The newest version of the object that was seen.
    pub object: Arc<Object>,
    pub memory: PodMemory,
    pub observed: Option<Sandbox>,
    tokens: BTreeMap<TokenNeed, (String, Timestamp)>,
    /// What the node says of the pod, once it does: `None` while others have to go first.
    refusal: Option<Option<Refusal>>,
    /// Whom this node ends.
    evictions: watch::Receiver<BTreeMap<String, Eviction>>,
    /// The static pod that this is the task of, if it is one.
    pub fixed: Option<Arc<Fixed>>,
    /// Its picture in the API.
    pub(super) mirror: Option<Arc<Object>>,
    /// The way into the pod's network, by the pid that leads there.
    inside: Option<(u32, Arc<InsidePod>)>,
    /// The container that was started since the last look.
    just_started: Option<String>,
}

/// What came back from something that was under way.
enum Finished {
    Step(Box<Action>, Result<Outcome, RuntimeError>),
    Probe(Due, Answer),
    Hook(HookCall, Result<(), String>),
}

/// What taking it in came to.
struct Taken {
    /// So many places it frees in the lanes.
    lanes: (usize, usize),
    /// The pod is to be looked at.
    is_news: bool,
}

impl<R: Runtime> PodTask<R> {
    pub fn new(shared: Arc<Shared<R>>, key: Key, object: Arc<Object>, bell: Arc<Bell>) -> Self {
        bell.look.store(true, Ordering::SeqCst);
        PodTask {
            uid: object.uid().to_owned(),
            evictions: shared.evictions.subscribe(),
            shared,
            key,
            bell,
            object,
            memory: PodMemory::default(),
            observed: None,
            tokens: BTreeMap::new(),
            refusal: None,
            fixed: None,
            mirror: None,
            inside: None,
            just_started: None,
        }
    }

    /// Until everything of the pod is gone.
    pub async fn run(mut self) {
        let mut under_way: FuturesUnordered<BoxFuture<'static, Finished>> = FuturesUnordered::new();
        let (mut main_lane, mut quiet_lane) = (0usize, 0usize);
        loop {
            let may_look = main_lane == 0 || main_lane == quiet_lane;
            if may_look && self.bell.look.swap(false, Ordering::SeqCst) && !self.observe().await {
                self.bell.look.store(true, Ordering::SeqCst);
                tokio::time::sleep(NO_ANSWER).await;
                continue;
            }
            let state = self.shared.store.snapshot();
            let gone = match (self.fixed.clone(), state.get(&self.key).filter(|o| o.uid() == self.uid)) {
                (Some(fixed), _) => {
                    self.follow_mirror(&fixed, &state).await;
                    false
                }
                (None, Some(object)) => {
                    self.object = object.clone();
                    false
                }
                (None, None) => true,
            };
            let Ok(pod) = self.object.typed::<Pod>() else {
                // No Pod that this version can read: another version of the object may be one.
                drop(state);
                self.bell.rung.notified().await;
                continue;
            };
            self.memory.busy = main_lane > 0;
            self.fetch_tokens(&pod).await;
            self.judge_resize(&pod, &state);
            if !self.is_admitted(&pod, gone, &state) {
                self.bell.waits.store(true, Ordering::SeqCst);
                drop(state);
                self.bell.rung.notified().await;
                continue;
            }
            if let Some(eviction) = self.evictions.borrow_and_update().get(&self.uid) {
                node::evict(&mut self.memory, eviction.clone());
            }
            let decision = self.decide(&pod, gone, &state);
            // A task that waits would keep everything in memory as it was when it last looked.
            drop(state);
            self.bell.waits.store(node::resize::is_deferred(&self.memory), Ordering::SeqCst);
            let wrote = self.publish(&pod, gone, &decision).await;
            if self.fixed.is_some() {
                // The mirror may be another's, or none: the newest status is what was decided.
                self.object = Arc::new(statics::with_status(&self.object, &whole_status(&decision.status), None));
            }
            if decision.then == Then::Finalize && main_lane == 0 && self.finalize(gone).await {
                return;
            }
            for step in decision.steps {
                main_lane += usize::from(!step.quick());
                quiet_lane += usize::from(is_quiet(&step.action));
                under_way.push(self.launch(step));
            }
            for call in decision.hooks {
                let blocks = usize::from(call.blocks());
                if let Some(work) = self.launch_hook(&pod, call) {
                    main_lane += blocks;
                    quiet_lane += blocks;
                    under_way.push(work);
                }
            }
            if !wrote {
                // Another wrote the status meanwhile; its change wakes this task.
                tokio::task::yield_now().await;
            }
            // The store has the tree while anybody reads it. Here the pod is kept for when it is gone.
            if let Some(text) = self.object.as_text() {
                self.object = Arc::new(text);
            }
            // Probes that go on answering the same need no new decision.
            loop {
                let probe_at = self.launch_probes(&pod, &mut under_way);
                let wake_at = [decision.wake_at, probe_at].into_iter().flatten().min();
                tokio::select! {
                    Some(finished) = under_way.next(), if !under_way.is_empty() => {
                        let taken = self.take_in(&pod, finished).await;
                        main_lane -= taken.lanes.0;
                        quiet_lane -= taken.lanes.1;
                        if taken.is_news {
                            break;
                        }
                    }
                    () = self.bell.rung.notified() => break,
                    Ok(()) = self.evictions.changed() => break,
                    () = sleep_until(&self.shared.clock, wake_at) => {
                        if self.shared.clock_is_behind(wake_at) {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                        if decision.wake_at.is_some_and(|at| at <= (self.shared.clock)()) {
                            break;
                        }
                    }
                }
            }
        }
    }

    async fn observe(&mut self) -> bool {
        match self.shared.runtime.observe_pod(&self.uid).await {
            Ok(observed) => {
                self.observed = observed;
                self.show_running();
                self.is_leaving();
                true
            }
            Err(_) => false,
        }
    }

    /// Keeps or gives back the place among those that leave.
    fn is_leaving(&self) {
        let is_up = self.observed.as_ref().is_some_and(|sandbox| sandbox.state == SandboxState::Ready);
        if !is_up || self.memory.ending.is_none() {
            self.shared.departures.over(&self.uid);
        } else if node::all_ended(self.observed.as_ref()) {
            self.shared.departures.has_ended(&self.uid);
        }
    }

    /// A container that was started and has ended already is running for one look: who watches the pod sees that it ran.
    fn show_running(&mut self) {
        let Some(id) = self.just_started.take() else { return };
        let mut containers = self.observed.iter_mut().flat_map(|sandbox| sandbox.containers.iter_mut());
        let Some(container) = containers.find(|c| c.id == id) else { return };
        if let ContainerState::Exited(exit) = &container.state
            && let Some(started_at) = exit.started_at
        {
            container.state = ContainerState::Running { started_at, pid: 0, paused: false };
            self.bell.ring_to_look();
        }
    }

    /// Whether the node has said if it takes the pod. What runs, or is on its way out, has been taken.
    fn is_admitted(&mut self, pod: &Arc<Pod>, gone: bool, state: &crate::state::State) -> bool {
        if self.refusal.is_none() {
            let has_begun = self.observed.is_some() || has_begun(pod);
            let admission = if gone || has_begun { Some(None) } else { self.shared.admit(&self.uid, pod, state) };
            self.refusal = admission.or_else(|| pod.metadata.deletion_timestamp.is_some().then_some(None));
        }
        self.refusal.is_some()
    }

    fn decide(&mut self, pod: &Pod, gone: bool, state: &crate::state::State) -> NodeDecision {
        let addresses = if probing::on_host_network(pod) {
            Vec::new()
        } else {
            self.shared.address_of(&self.uid)
        };
        let now = (self.shared.clock)();
        let tokens: Tokens = self.tokens.iter().map(|(need, (token, _))| (need.clone(), token.clone())).collect();
        let refusal = self.refusal.clone().flatten();
        let machine = self.shared.machine();
        let config = self.shared.config();
        let context = Context {
            state,
            machine: &machine,
            config: &config,
            now,
            addresses: &addresses,
            tokens: &tokens,
            refusal: refusal.as_ref(),
        };
        node::sync_pod(pod, gone, self.observed.as_ref(), &mut self.memory, &context)
    }

    /// Writes status and events. False: the status was refused and has to be looked at again.
    async fn publish(&self, pod: &Pod, gone: bool, decision: &NodeDecision) -> bool {
        let mut accepted = true;
        let shown = match &self.fixed {
            Some(fixed) => self.mirror.clone().filter(|_| !fixed.is_replaced()),
            None => Some(self.object.clone()),
        };
        if let Some(shown) = shown.filter(|_| !gone && self.is_worth_writing(pod, decision)) {
            let old = shown.at("/status").cloned().unwrap_or_default();
            let status = whole_status(&decision.status);
            if status != old {
                let mut tree = shown.json().clone();
                tree["status"] = status;
                let request = requests::on_core(
                    Verb::Update,
                    "pods",
                    Some("status"),
                    &self.key.namespace,
                    &self.key.name,
                    tree,
                    AGENT,
                );
                failpoint::reach(Point::Status);
                accepted = self.shared.store.write(request).await.is_ok();
            }
        }
        self.tell(&decision.events);
        accepted
    }

    /// While steps follow each other quickly, the states between them are not worth a commit.
    fn is_worth_writing(&self, pod: &Pod, decision: &NodeDecision) -> bool {
        let new = pod.status.as_ref().is_none_or(|s| s.start_time.is_none());
        let quick = |s: &Step| {
            matches!(
                s.action,
                Action::InspectImage { .. }
                    | Action::CreateContainer(_)
                    | Action::StartContainer { .. }
                    | Action::WriteVolume(_)
            )
        };
        new || self.memory.ending.is_some() || tells_news(pod, &decision.status) || !decision.steps.iter().any(quick)
    }

    fn tell(&self, events: &[PodEvent]) {
        let note = |event: &PodEvent| EventNote {
            regarding: scheduling::reference(&self.object, &event.field_path),
            kind: if event.warning { EventKind::Warning } else { EventKind::Normal },
            reason: event.reason.clone().into_owned(),
            message: event.message.clone(),
            component: AGENT,
        };
        for same in events.chunk_by(|one, other| one.annotations == other.annotations) {
            let notes: Vec<EventNote> = same.iter().map(note).collect();
            let extra = Extra { annotations: same[0].annotations.clone(), ..Extra::default() };
            self.shared.recorder.record_all(&notes, &extra);
        }
    }

    fn launch(&self, step: Step) -> BoxFuture<'static, Finished> {
        let shared = self.shared.clone();
        let (uid, leaves) = (self.uid.clone(), self.memory.ending.is_some());
        let addresses = self.observed.as_ref().map(|sandbox| sandbox.ips.clone()).unwrap_or_default();
        Box::pin(async move {
            let action = step.action;
            if matches!(action, Action::SignalContainer { .. }) {
                shared.rotation.leave(&addresses).await;
            }
            let ends = matches!(action, Action::SignalContainer { signal, .. } if leaves && signal != node::KILL);
            let permit = match action {
                _ if ends && shared.departures.begin(&uid).await => None,
                Action::RemoveSandbox { .. } if shared.departures.has(&uid) => None,
                Action::SignalContainer { .. } => shared.signals.acquire().await.ok(),
                _ if is_quiet(&action) => None,
                _ => shared.permits.acquire().await.ok(),
            };
            let (before, after) = points(&action);
            failpoint::reach(before);
            let result = shared.runtime.execute(&action).await;
            failpoint::reach(after);
            match action {
                Action::StartContainer { .. } => shared.rotation.back(&addresses),
                Action::RemoveSandbox { .. } => shared.departures.over(&uid),
                _ => {}
            }
            drop(permit);
            Finished::Step(Box::new(action), result)
        })
    }

    async fn take_in(&mut self, pod: &Pod, finished: Finished) -> Taken {
        let now = (self.shared.clock)();
        match finished {
            Finished::Probe(due, answer) => {
                let recorded = probe::record(pod, &mut self.memory, &due, &answer);
                self.tell(&recorded.events);
                Taken { lanes: (0, 0), is_news: recorded.turned }
            }
            Finished::Hook(call, result) => {
                let events = self.memory.hook_ended(pod, &call, result);
                self.tell(&events);
                Taken { lanes: (usize::from(call.blocks()), usize::from(call.blocks())), is_news: true }
            }
            Finished::Step(action, result) => {
                let events = self.memory.record(pod, &action, &result, now);
                match &result {
                    Ok(outcome) => {
                        node::apply(&mut self.observed, &action, outcome, now);
                        if let Action::StartContainer { id, .. } = &*action {
                            self.just_started = Some(id.clone());
                        }
                        if matches!(
                            *action,
                            Action::StartContainer { .. }
                                | Action::ResumeContainer { .. }
                                | Action::SignalContainer { .. }
                        ) {
                            self.bell.look.store(true, Ordering::SeqCst);
                        }
                    }
                    Err(error) => {
                        if error.kind == RuntimeErrorKind::AddressInUse && matches!(*action, Action::RunSandbox(_)) {
                            self.shared.release_address(&self.uid);
                        }
                        self.bell.look.store(true, Ordering::SeqCst);
                    }
                }
                self.tell(&events);
                let step = Step { action: *action, reason: String::new() };
                Taken { lanes: (usize::from(!step.quick()), usize::from(is_quiet(&step.action))), is_news: true }
            }
        }
    }

    /// The way into the pod's network, where this process has none of its own.
    fn inside(&mut self, pod: &Pod, pid: Option<u32>) -> Option<Arc<InsidePod>> {
        let host_network = probing::on_host_network(pod);
        let pid = pid.filter(|_| self.shared.machine().rootless && !host_network)?;
        if self.inside.as_ref().is_none_or(|(of, _)| *of != pid) {
            let program = std::env::current_exe().ok()?;
            self.inside = Some((pid, Arc::new(InsidePod(Inside::new(pid, program)))));
        }
        self.inside.as_ref().map(|(_, inside)| inside.clone())
    }

    fn launch_hook(&mut self, pod: &Arc<Pod>, call: HookCall) -> Option<BoxFuture<'static, Finished>> {
        let sandbox = self.observed.clone()?;
        let inside = self.inside(pod, sandbox.pid);
        let (shared, pod) = (self.shared.clone(), pod.clone());
        Some(Box::pin(async move {
            let dial: &dyn Dial = inside.as_deref().map_or(&Direct, |inside| inside);
            let result = hooking::run(&*shared.runtime, dial, &pod, &sandbox, &call).await;
            Finished::Hook(call, result)
        }))
    }

    /// Starts the probes that are due; gives when the next one is.
    fn launch_probes(
        &mut self,
        pod: &Arc<Pod>,
        under_way: &mut FuturesUnordered<BoxFuture<'static, Finished>>,
    ) -> Option<Timestamp> {
        let inside = self.inside(pod, self.observed.as_ref()?.pid);
        let sandbox = self.observed.as_ref()?;
        let now = (self.shared.clock)();
        let (list, next) = probe::due(pod, sandbox, &mut self.memory, now);
        for due in list {
            let (shared, pod, sandbox, inside) = (self.shared.clone(), pod.clone(), sandbox.clone(), inside.clone());
            under_way.push(Box::pin(async move {
                let dial: &dyn Dial = inside.as_deref().map_or(&Direct, |inside| inside);
                let answer = probing::ask(&*shared.runtime, dial, &pod, &sandbox, &due).await;
                Finished::Probe(due, answer)
            }));
        }
        next
    }

    /// The tokens that the pod's volumes need, asked for before they run out.
    async fn fetch_tokens(&mut self, pod: &Pod) {
        let now = (self.shared.clock)();
        let account =
            pod.spec.as_ref().and_then(|s| s.service_account_name.clone()).unwrap_or_else(|| "default".into());
        for need in node::tokens_needed(pod) {
            if self.tokens.get(&need).is_some_and(|(_, renew_at)| *renew_at > now) {
                continue;
            }
            let mut spec = json!({
                "expirationSeconds": need.expiration_seconds,
                "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": self.object.name(), "uid": self.uid},
            });
            if !need.audience.is_empty() {
                spec["audiences"] = json!([need.audience]);
            }
            let tree = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
            let request = requests::on_core(
                Verb::Create,
                "serviceaccounts",
                Some("token"),
                &self.key.namespace,
                &account,
                tree,
                AGENT,
            );
            let Ok(answer) = self.shared.store.write(request).await else { continue };
            let token = answer.body.pointer("/status/token").and_then(Json::as_str).unwrap_or_default().to_owned();
            // Renewed when four fifths of its life are over (pkg/kubelet/token: requiresRefresh).
            let life = jiff::SignedDuration::from_secs(need.expiration_seconds.saturating_mul(4) / 5);
            self.tokens.insert(need, (token, now.checked_add(life).unwrap_or(now)));
        }
    }

    /// Removes the API's object. True: nothing is left of the pod.
    async fn finalize(&mut self, gone: bool) -> bool {
        let uid = match (&self.fixed, &self.mirror) {
            (None, _) => Some(self.uid.clone()),
            (Some(_), mirror) => mirror.as_ref().map(|m| m.uid().to_owned()),
        };
        if let Some(uid) = uid.filter(|_| !gone) {
            failpoint::reach(Point::Finalize);
            let state = self.shared.store.snapshot();
            if let Some(request) = requests::delete(&state, &self.key, Some(&uid), None, Some(0), AGENT)
                && let Err(status) = self.shared.store.write(request).await
                && status.reason != "NotFound"
                && status.reason != "Conflict"
            {
                tokio::time::sleep(NO_ANSWER).await;
                return false;
            }
            let left = self.shared.store.snapshot();
            if left.get(&self.key).is_some_and(|o| o.uid() == uid) {
                // Finalizers of others keep the object; the pod itself is gone.
                self.bell.rung.notified().await;
                return false;
            }
        }
        self.shared.forget(&self.uid);
        true
    }
}

/// Whether a container has ended, waits for another reason, or is new: others would never see what the next steps hide.
fn tells_news(pod: &Pod, new: &PodStatus) -> bool {
    fn all(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
        let lists = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
        lists.into_iter().flatten().flatten()
    }
    let is_init = |name: &str| new.init_container_statuses.iter().flatten().any(|s| s.name == name);
    all(new).any(|now| {
        let Some(before) = pod.status.as_ref().and_then(|old| all(old).find(|b| b.name == now.name)) else { return true };
        let Some(state) = &now.state else { return false };
        // The next container waits until this one is shown to have got so far.
        if is_init(&now.name) && (before.state != now.state || (before.started, before.ready) != (now.started, now.ready)) {
            return true;
        }
        let why = state.waiting.as_ref().and_then(|w| w.reason.as_deref());
        let told = why.is_some_and(|why| !matches!(why, "ContainerCreating" | "PodInitializing"));
        (state.terminated.is_some() || told) && before.state != now.state
    })
}

/// Long waits that change nothing of the sandbox, so that the pod may be looked at meanwhile.
fn is_quiet(action: &Action) -> bool {
    matches!(action, Action::PullImage { .. } | Action::ExecSync { .. })
}

/// Where a test may make this process die: before and after an action.
fn points(action: &Action) -> (Point, Point) {
    match action {
        Action::PullImage { .. } => (Point::Pull, Point::Pulled),
        Action::InspectImage { .. } => (Point::Inspect, Point::Inspected),
        Action::RunSandbox(_) => (Point::Sandbox, Point::SandboxMade),
        Action::WriteVolume(_) => (Point::Volume, Point::VolumeWritten),
        Action::CreateContainer(_) => (Point::Create, Point::Created),
        Action::StartContainer { .. } => (Point::Start, Point::Started),
        Action::SignalContainer { .. } => (Point::Signal, Point::Signalled),
        Action::RemoveContainer { .. } => (Point::Remove, Point::Removed),
        Action::ResumeContainer { .. } => (Point::Resume, Point::Resumed),
        Action::UpdateContainer { .. } | Action::UpdateSandbox { .. } => (Point::Update, Point::Updated),
        // It changes nothing.
        Action::MeasureStorage { .. } => (Point::Inspect, Point::Inspected),
        Action::ExecSync { .. } => (Point::Exec, Point::Executed),
        Action::StopSandbox { .. } => (Point::SandboxStop, Point::SandboxStopped),
        Action::FreeStorage { .. } | Action::RemoveSandbox { .. } => (Point::SandboxRemove, Point::SandboxRemoved),
    }
}

fn whole_status(status: &PodStatus) -> Json {
    serde_json::to_value(status).unwrap_or_default()
}
