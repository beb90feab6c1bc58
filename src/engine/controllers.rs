//! The controllers' loop: keys in, decisions through the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::Notify;

use super::clock::{Clock, sleep_until};
use super::events::{Extra, Recorder};
use super::queue::Queue;
use super::requests;
use crate::api::{Key, Status};
use crate::controllers::{Context, Controller, EventNote, Write};
use crate::registry::Request;
use crate::state::{Change, State};
use crate::store::{Store, SystemRandom};
use crate::store::failpoint::{self, Point};

/// How many decisions may be under way.
const AT_ONCE: usize = 16;

/// Which controller, and what it is to look at.
type Job = (usize, Key);

/// The queue that the dispatcher fills and the loop empties.
pub struct Inbox {
    queue: std::sync::Mutex<Queue<Job>>,
    filled: Notify,
    /// All whom the changes up to this revision wake are in the queue.
    seen: AtomicU64,
}

impl Inbox {
    pub fn new() -> Self {
        Inbox { queue: std::sync::Mutex::new(Queue::default()), filled: Notify::new(), seen: AtomicU64::new(0) }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue<Job>> {
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Lets every controller say what a change makes it look at.
    pub fn changed(&self, controllers: &[Box<dyn Controller>], state: &State, change: &Change) {
        let mut queue = self.queue();
        for (index, controller) in controllers.iter().enumerate() {
            for key in controller.wakes(state, change) {
                queue.add((index, key));
            }
        }
        drop(queue);
        self.seen.fetch_max(change.revision, Ordering::Release);
        self.filled.notify_one();
    }

    /// Everything there is counts as new: at start, and when changes were missed.
    pub fn everything(&self, controllers: &[Box<dyn Controller>], state: &State) {
        let resources: Vec<_> = state.resources().cloned().collect();
        for resource in resources {
            for object in state.all(&resource) {
                let key = Key::new(resource.clone(), object.namespace(), object.name());
                let change = Change { revision: state.revision(), key, before: None, after: Some(object.clone()) };
                self.changed(controllers, state, &change);
            }
        }
        self.seen.fetch_max(state.revision(), Ordering::Release);
        self.filled.notify_one();
    }

    fn seen(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }
}

/// How one look ended.
struct Done {
    job: Job,
    failed: bool,
    /// Whether it has written, so that the next step is to be decided.
    again: bool,
    wake_at: Option<Timestamp>,
}

/// Runs for ever.
pub async fn run(
    inbox: Arc<Inbox>,
    controllers: Arc<Vec<Box<dyn Controller>>>,
    store: Store,
    recorder: Arc<Recorder>,
    clock: Clock,
) {
    let mut random = SystemRandom::new();
    let mut under_way = FuturesUnordered::new();
    // What has written is looked at again after all whom that wakes: whoever is to make room has heard of it before somebody
    // is told to fill it. Each with the revision up to which that has to be.
    let mut written: Vec<(u64, Job)> = Vec::new();
    loop {
        let seen = inbox.seen();
        for (_, job) in written.extract_if(.., |(revision, _)| *revision <= seen) {
            inbox.queue().add(job);
        }
        while under_way.len() < AT_ONCE {
            let Some(job) = inbox.queue().take(clock()) else { break };
            let state = store.snapshot();
            let controller = &controllers[job.0];
            let mut context = Context { now: clock(), random: &mut random };
            let decision = controller.reconcile(&state, &job.1, &mut context);
            let agent = controller.name();
            let (store, recorder) = (store.clone(), recorder.clone());
            under_way.push(async move {
                let again = decision.writes.iter().any(|w| !matches!(w, Write::Event(_)));
                let refused = commit(&store, &recorder, &state, &decision.writes, agent).await;
                (Done { job, failed: refused.is_some(), again, wake_at: decision.wake_at }, refused)
            });
        }
        let timer = inbox.queue().next_timer();
        tokio::select! {
            Some((done, refused)) = under_way.next(), if !under_way.is_empty() => {
                if let Some((write, why)) = refused {
                    tell_refused(&*controllers[done.job.0], &done.job.1, &write, &why, &store, &recorder, &clock, &mut random).await;
                }
                let mut queue = inbox.queue();
                queue.done(&done.job, done.failed, clock());
                if done.again && !done.failed {
                    written.push((store.snapshot().revision(), done.job.clone()));
                }
                if let Some(at) = done.wake_at {
                    queue.add_at(done.job, at);
                }
            }
            () = inbox.filled.notified(), if under_way.len() < AT_ONCE => {}
            () = sleep_until(&clock, timer), if under_way.len() < AT_ONCE => {}
        }
    }
}

/// Lets a controller answer to a refusal: a condition, an Event.
#[expect(clippy::too_many_arguments, reason = "all of the loop's parts are needed for one more decision")]
async fn tell_refused(
    controller: &dyn Controller,
    key: &Key,
    write: &Write,
    why: &Status,
    store: &Store,
    recorder: &Arc<Recorder>,
    clock: &Clock,
    random: &mut SystemRandom,
) {
    let state = store.snapshot();
    let decision = controller.refused(&state, key, write, why, &mut Context { now: clock(), random });
    // A refusal of the answer is the end of it: the key is looked at again anyway.
    let _ = commit(store, recorder, &state, &decision.writes, controller.name()).await;
}

/// Writes in order and stops at the first that is refused; creations that follow each other go together.
async fn commit(
    store: &Store,
    recorder: &Arc<Recorder>,
    state: &State,
    writes: &[Write],
    agent: &'static str,
) -> Option<(Write, Status)> {
    let mut rest = writes;
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|w| std::mem::discriminant(*w) == std::mem::discriminant(first)).count();
        let together = match first {
            Write::Create { .. } | Write::Delete { .. } | Write::Event(_) => same,
            Write::Update { .. } | Write::UpdateStatus { .. } | Write::Finalize { .. } | Write::Patch { .. } => 1,
        };
        let (batch, after) = rest.split_at(together);
        rest = after;
        if matches!(first, Write::Event(_)) {
            let notes: Vec<EventNote> = batch
                .iter()
                .filter_map(|w| if let Write::Event(note) = w { Some(note.clone()) } else { None })
                .collect();
            recorder.record_all(&notes, &Extra::default());
            continue;
        }
        if let Some(refused) = commit_batch(store, state, batch, agent).await {
            return Some(refused);
        }
    }
    None
}

async fn commit_batch(store: &Store, state: &State, batch: &[Write], agent: &str) -> Option<(Write, Status)> {
    let requests: Vec<Option<Request>> = batch.iter().map(|w| requests::of_write(state, w, agent)).collect();
    failpoint::reach(Point::ControllerWrite);
    let answers = store.write_all(requests.iter().flatten().cloned().collect()).await;
    failpoint::reach(Point::ControllerWrote);
    let mut answers = answers.into_iter();
    for (write, request) in batch.iter().zip(&requests) {
        let Some(request) = request else { continue };
        match answers.next() {
            Some(Err(status)) if !(request.verb == crate::registry::Verb::Delete && status.reason == "NotFound") => {
                return Some((write.clone(), status));
            }
            Some(_) | None => {}
        }
    }
    None
}
