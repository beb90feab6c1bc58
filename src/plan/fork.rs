//! A copy of the state on which the same registry and controllers run in virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::api::{GroupResource, Gvk, Json, Key, Object, Random, Resource, Status, schema::Schema};
use crate::controllers::{Context, Controller, Propagation, Write};
use crate::registry::{self, Answer, Body, Env, Options, PatchKind, Request, Settings, User, Verb};
use crate::state::{Change, State};

use super::pretend;

/// How often one fork may write before it is called endless. A rollout of 1,000 pods takes about 10,000.
const MOST_WRITES: usize = 2_000_000;

/// A fork of a state. What happens in it stays in it.
pub struct Fork<'a> {
    pub state: State,
    pub now: Timestamp,
    controllers: &'a [Box<dyn Controller>],
    settings: &'a Settings,
    random: SplitMix,
    queue: VecDeque<(usize, Key)>,
    queued: BTreeSet<(usize, Key)>,
    timers: BTreeMap<Timestamp, BTreeSet<(usize, Key)>>,
    history: Vec<Change>,
    writes: usize,
}

/// Why a fork did not come to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing moves any more.
    Quiet,
    /// Only timers beyond the horizon are left.
    Waiting,
    /// It went on writing beyond all measure.
    Endless,
}

impl<'a> Fork<'a> {
    pub fn new(
        state: State,
        controllers: &'a [Box<dyn Controller>],
        settings: &'a Settings,
        now: Timestamp,
    ) -> Self {
        let seed = state.revision();
        let mut fork = Fork {
            state,
            now,
            controllers,
            settings,
            random: SplitMix(seed),
            queue: VecDeque::new(),
            queued: BTreeSet::new(),
            timers: BTreeMap::new(),
            history: Vec::new(),
            writes: 0,
        };
        fork.look_at_namespaces();
        fork
    }

    /// What every namespace holds is made where a server that has just begun lacks it.
    fn look_at_namespaces(&mut self) {
        let namespaces: Vec<Key> = self
            .state
            .all(&GroupResource::new("", "namespaces"))
            .map(|namespace| Key::new(GroupResource::new("", "namespaces"), "", namespace.name()))
            .collect();
        for (index, key) in namespaces.iter().flat_map(|key| (0..self.controllers.len()).map(move |i| (i, key))) {
            if self.controllers[index].name() == "serviceaccount-controller" {
                self.look(index, key);
            }
        }
        self.history.clear();
    }

    /// What has changed since the fork was made, oldest first.
    pub fn history(&self) -> &[Change] {
        &self.history
    }

    /// Carries one write out on the fork.
    pub fn submit(&mut self, request: &Request) -> Result<Answer, Status> {
        self.writes += 1;
        let mut env = Env { now: self.now, random: &mut self.random, settings: self.settings };
        let answer = registry::execute(&mut self.state, request, &mut env);
        for change in self.state.take_changes() {
            for (index, controller) in self.controllers.iter().enumerate() {
                for key in controller.wakes(&self.state, &change) {
                    if self.queued.insert((index, key.clone())) {
                        self.queue.push_back((index, key));
                    }
                }
            }
            self.history.push(change);
        }
        answer
    }

    /// Runs controllers and the pretend node until nothing moves, but not past `horizon` of virtual time.
    pub fn settle(&mut self, horizon: SignedDuration) -> Rest {
        let end = self.now.saturating_add(horizon).unwrap_or(self.now);
        let mut seen = 0;
        loop {
            if self.writes > MOST_WRITES {
                return Rest::Endless;
            }
            if let Some((index, key)) = self.queue.pop_front() {
                self.queued.remove(&(index, key.clone()));
                self.look(index, &key);
                continue;
            }
            // The node answers when the controllers have come to rest, as a slower party would.
            if seen < self.history.len() {
                let fresh: Vec<Change> = self.history[seen..].to_vec();
                seen = self.history.len();
                pretend::answer(self, &fresh);
                continue;
            }
            match self.timers.first_key_value().map(|(at, _)| *at) {
                None => return Rest::Quiet,
                Some(at) if at > end => return Rest::Waiting,
                Some(at) => {
                    self.now = self.now.max(at);
                    for (index, key) in self.timers.remove(&at).unwrap_or_default() {
                        if self.queued.insert((index, key.clone())) {
                            self.queue.push_back((index, key));
                        }
                    }
                }
            }
        }
    }

    /// What is woken while it is looked at comes after all whom that look has woken.
    /// Source: k8s.io/client-go/util/workqueue/queue.go (`processing`).
    fn look(&mut self, index: usize, key: &Key) {
        self.queued.insert((index, key.clone()));
        let controller = &self.controllers[index];
        let mut context = Context { now: self.now, random: &mut self.random };
        let decision = controller.reconcile(&self.state, key, &mut context);
        let wrote = decision.writes.iter().any(|write| !matches!(write, Write::Event(_)));
        for write in decision.writes {
            let Some(request) = request_of(&write, controller.name()) else { continue };
            if self.submit(&request).is_err() {
                break;
            }
        }
        if wrote {
            self.queue.push_back((index, key.clone()));
        } else {
            self.queued.remove(&(index, key.clone()));
        }
        if let Some(at) = decision.wake_at {
            let at = at.max(self.now.saturating_add(SignedDuration::from_secs(1)).unwrap_or(self.now));
            self.timers.entry(at).or_default().insert((index, key.clone()));
        }
    }
}

/// A controller's write as a request. Events are not made in a fork: `None`.
pub fn request_of(write: &Write, user_agent: &str) -> Option<Request> {
    let options = Options {
        user_agent: user_agent.to_owned(),
        user: User { name: format!("system:controller:{user_agent}"), groups: vec!["system:masters".into()], ..User::default() },
        ..Options::default()
    };
    let of_object = |verb: Verb, object: &Object, subresource: Option<&str>| {
        let create = verb == Verb::Create;
        Some(Request {
            verb,
            resource: resource_of(&object.gvk())?,
            subresource: subresource.map(str::to_owned),
            namespace: object.namespace().to_owned(),
            name: if create { String::new() } else { object.name().to_owned() },
            body: Body::Tree(object.json().clone()),
            options: options.clone(),
        })
    };
    match write {
        Write::Create { object } => of_object(Verb::Create, object, None),
        Write::Update { object } => of_object(Verb::Update, object, None),
        Write::UpdateStatus { object } => of_object(Verb::Update, object, Some("status")),
        Write::Finalize { object } => of_object(Verb::Update, object, Some("finalize")),
        Write::Patch { key, subresource, patch } => {
            let body = Body::Patch { kind: PatchKind::Merge, tree: patch.clone() };
            on_key(Verb::Patch, key, *subresource, body, options)
        }
        Write::Delete { key, uid, propagation, grace_seconds } => {
            let body = Body::Tree(delete_options(uid.as_deref(), *propagation, *grace_seconds));
            on_key(Verb::Delete, key, None, body, options)
        }
        Write::Event(_) => None,
    }
}

pub(super) fn on_key(
    verb: Verb,
    key: &Key,
    subresource: Option<&str>,
    body: Body,
    options: Options,
) -> Option<Request> {
    let resources = &Schema::get().resources;
    let resource = resources
        .iter()
        .find(|r| r.group == key.resource.group.as_ref() && r.resource == key.resource.resource.as_ref())?;
    Some(Request {
        verb,
        resource: Arc::new(resource.clone()),
        subresource: subresource.map(str::to_owned),
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
        body,
        options,
    })
}

pub(super) fn delete_options(uid: Option<&str>, propagation: Option<Propagation>, grace: Option<i64>) -> Json {
    let mut body = serde_json::json!({"kind": "DeleteOptions", "apiVersion": "v1"});
    if let Some(uid) = uid {
        body["preconditions"] = serde_json::json!({"uid": uid});
    }
    if let Some(policy) = propagation {
        body["propagationPolicy"] = Json::from(match policy {
            Propagation::Orphan => "Orphan",
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
        });
    }
    if let Some(seconds) = grace {
        body["gracePeriodSeconds"] = Json::from(seconds);
    }
    body
}

fn resource_of(gvk: &Gvk) -> Option<Arc<Resource>> {
    Schema::get().resource_of(gvk).map(|r| Arc::new(r.clone()))
}

/// Random bits that repeat themselves: Steele, Lea, Flood, "Fast splittable pseudorandom number generators".
pub struct SplitMix(pub u64);

impl Random for SplitMix {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
