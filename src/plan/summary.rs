//! The plan: one verdict for each object, with its cause and what becomes of pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::api::{Gvk, Json, Key, Object, Status};
use crate::controllers::Controller;
use crate::registry::{self, Body, Env, Options, Request, Settings, Verb};
use crate::state::State;

use super::changes::{FieldChange, changes};
use super::fork::{Fork, Rest, SplitMix, on_key};
use super::moves::{Moves, moves};
use super::notes::{Note, notes};
use super::pretend::Reference;
use super::readers::{Reader, label, readers};

/// How far the simulation looks ahead. Longer than every default deadline of a rollout.
const HORIZON: SignedDuration = SignedDuration::from_hours(24);

/// What the simulation takes for granted; printed with every plan that moves pods.
pub const ASSUMPTIONS: &[&str] = &[
    "images can be pulled, and new containers start and pass their probes",
    "Jobs end with 0, CronJobs do not fire meanwhile",
];

/// One object that the user wants applied.
#[derive(Clone, Debug)]
pub struct Intent {
    /// A server-side apply of the object as the manifest has it.
    pub request: Request,
    pub gvk: Gvk,
    /// `web.yaml:1:1`.
    pub place: String,
}

/// Everything an apply would do.
#[derive(Clone, Debug)]
pub struct Plan {
    pub objects: Vec<ObjectPlan>,
    /// Texts about objects that are accepted all the same, with their place.
    pub warnings: Vec<(String, String)>,
    pub rest: Rest,
    /// Changes with every input that the plan depends on.
    pub id: String,
}

#[derive(Clone, Debug)]
pub struct ObjectPlan {
    /// `deployment/web`.
    pub name: String,
    pub gvk: Gvk,
    pub namespace: String,
    pub place: String,
    pub verdict: Verdict,
    pub changes: Vec<FieldChange>,
    pub moves: Moves,
    /// For ConfigMaps and Secrets: who reads them.
    pub readers: Vec<Reader>,
    /// What else there is to say.
    pub notes: Vec<Note>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Create,
    Change,
    Replace,
    Delete,
    Unchanged,
    Refused(Status),
}

/// What the plan is made with.
pub struct Inputs<'a> {
    pub state: &'a State,
    pub controllers: &'a [Box<dyn Controller>],
    pub settings: &'a Settings,
    pub now: Timestamp,
    /// Objects that are no longer wanted.
    pub prune: Vec<Key>,
    /// Delete and make again what cannot be changed in place.
    pub replace: bool,
}

/// From so many objects on it is worth a thread for each processor to see which of them stay as they are.
pub(super) const MANY: usize = 50;

/// The plan if a look shows that nothing changes. That look needs of the state only namespaces and objects of the kinds that are
/// applied. `None` says nothing.
pub fn nothing(intents: &[Intent], inputs: &Inputs<'_>) -> Option<Plan> {
    if !inputs.prune.is_empty() {
        return None;
    }
    let kept = on_all_processors(intents, |intents| intents.iter().map(|intent| looks_kept(inputs, intent)).collect());
    let kept: Vec<Vec<String>> = kept.into_iter().collect::<Option<_>>()?;
    let objects = intents.iter().map(|intent| ObjectPlan::of(intent, Verdict::Unchanged, Vec::new())).collect();
    let told = intents.iter().zip(kept).flat_map(|(intent, texts)| texts.into_iter().map(|text| (intent.place.clone(), text)));
    Some(Plan { objects, warnings: told.collect(), rest: Rest::Quiet, id: identify(intents, inputs) })
}

/// The warnings of an apply of which a look shows that it changes nothing.
fn looks_kept(inputs: &Inputs<'_>, intent: &Intent) -> Option<Vec<String>> {
    let mut random = SplitMix(0);
    registry::stays(inputs.state, &intent.request, &Env { now: inputs.now, random: &mut random, settings: inputs.settings })
}

/// Makes the plan. Nothing outside is touched.
pub fn make(intents: &[Intent], inputs: &Inputs<'_>) -> Plan {
    let mut fork = Fork::new(inputs.state.clone(), inputs.controllers, inputs.settings, inputs.now);
    let mut objects = Vec::with_capacity(intents.len());
    let mut warnings = Vec::new();
    let begun = fork.state.revision();
    let kept = what_stays(&fork, intents, inputs);
    let mut replaced = Vec::new();
    for (index, (intent, stays)) in intents.iter().zip(kept).enumerate() {
        // What was found out about the state as it is holds until something changes it.
        match stays.filter(|_| fork.state.revision() == begun) {
            Some(texts) => {
                warnings.extend(texts.into_iter().map(|text| (intent.place.clone(), text)));
                objects.push(ObjectPlan::of(intent, Verdict::Unchanged, Vec::new()));
            }
            None => {
                let before = fork.state.get(&key_of(&intent.request)).cloned();
                let object = submit(&mut fork, intent, before.as_deref(), inputs.replace, &mut warnings);
                replaced.extend(before.filter(|_| object.verdict == Verdict::Replace).map(|before| (index, before)));
                objects.push(object);
            }
        }
    }
    if !replaced.is_empty() {
        // All others have been applied before the first of these is gone.
        fork.settle(SignedDuration::from_mins(10));
    }
    for (index, before) in replaced {
        objects[index] = again(&mut fork, &intents[index], &before);
    }
    for key in &inputs.prune {
        objects.extend(prune(&mut fork, key));
    }
    let rest = if fork.history().is_empty() { Rest::Quiet } else { fork.settle(HORIZON) };
    let by_root = moves(inputs.state, fork.history(), &fork.state);
    for object in &mut objects {
        let found = object.kept(inputs.state, &fork.state);
        if let Some((uid, kept)) = found {
            let both = [Some(uid.as_str()), Some(kept.uid()).filter(|new| *new != uid)];
            let of_both = both.into_iter().flatten().filter_map(|uid| by_root.get(uid));
            object.moves = of_both.cloned().reduce(Moves::then).unwrap_or_default();
        }
        if object.verdict != Verdict::Unchanged {
            object.readers = read_by(&fork.state, object);
        }
        for reader in &mut object.readers {
            reader.rolled = by_root.get(&reader.uid).map_or(0, Moves::rolled);
        }
        let kept = object.kept(inputs.state, &fork.state).map(|(_, kept)| kept);
        object.notes = notes(object, kept.as_deref(), inputs.state, &fork.state, inputs.now);
    }
    let id = identify(intents, inputs);
    Plan { objects, warnings, rest, id }
}

/// The object as the manifest has it.
fn wanted(request: &Request) -> &Json {
    match &request.body {
        Body::Tree(tree) | Body::Patch { tree, .. } => tree,
        Body::None | Body::Text { .. } => &Json::Null,
    }
}

fn key_of(request: &Request) -> Key {
    Key::new(request.resource.group_resource(), &request.namespace, &request.name)
}

/// Applies an object; `before`: as it was. One that is to be replaced is only deleted: [`again`] makes it anew.
fn submit(
    fork: &mut Fork<'_>,
    intent: &Intent,
    before: Option<&Object>,
    replace: bool,
    warnings: &mut Vec<(String, String)>,
) -> ObjectPlan {
    let key = key_of(&intent.request);
    let verdict = match fork.submit(&intent.request) {
        Ok(answer) => {
            warnings.extend(answer.warnings.into_iter().map(|text| (intent.place.clone(), text)));
            if before.is_none() { Verdict::Create } else { Verdict::Change }
        }
        Err(refusal) if replace && before.is_some() && is_immutable(&refusal) => match delete(fork, &key) {
            Some(Err(refusal)) => Verdict::Refused(refusal),
            Some(Ok(_)) | None => return ObjectPlan::of(intent, Verdict::Replace, Vec::new()),
        },
        Err(refusal) => Verdict::Refused(refusal),
    };
    let fields = match (before, fork.state.get(&key)) {
        (Some(before), Some(after)) => changes(&intent.gvk, before.json(), after.json()),
        _ => Vec::new(),
    };
    let verdict = if verdict == Verdict::Change && fields.is_empty() { Verdict::Unchanged } else { verdict };
    ObjectPlan::of(intent, verdict, fields)
}

/// For each intent the warnings of its apply if that is found to change nothing of the state as it is.
fn what_stays(fork: &Fork<'_>, intents: &[Intent], inputs: &Inputs<'_>) -> Vec<Option<Vec<String>>> {
    // Few are soon carried out one after the other, which shows the same.
    if intents.len() < MANY {
        return intents.iter().map(|intent| looks_kept(inputs, intent)).collect();
    }
    let carried_out = |state: &mut State, intent: &Intent| {
        let mut random = SplitMix(0);
        let mut env = Env { now: inputs.now, random: &mut random, settings: inputs.settings };
        let answer = registry::execute(state, &intent.request, &mut env);
        if !state.take_changes().is_empty() {
            *state = fork.state.clone();
            return None;
        }
        answer.ok().map(|answer| answer.warnings)
    };
    on_all_processors(intents, |intents| {
        let mut state = fork.state.clone();
        intents.iter().map(|intent| looks_kept(inputs, intent).or_else(|| carried_out(&mut state, intent))).collect()
    })
}

/// `part` of all intents, in their order. Many are shared out among the processors.
fn on_all_processors<T: Send>(intents: &[Intent], part: impl Fn(&[Intent]) -> Vec<T> + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if threads == 1 || intents.len() < MANY {
        return part(intents);
    }
    std::thread::scope(|scope| {
        let parts = intents.chunks(intents.len().div_ceil(threads));
        let running: Vec<_> = parts.map(|intents| scope.spawn(|| part(intents))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|why| std::panic::resume_unwind(why))).collect()
    })
}

/// Makes again what was deleted to be replaced, as `apply --replace` does. `before`: as it was.
fn again(fork: &mut Fork<'_>, intent: &Intent, before: &Object) -> ObjectPlan {
    if let Err(refusal) = fork.submit(&intent.request) {
        return ObjectPlan::of(intent, Verdict::Refused(refusal), Vec::new());
    }
    let after = fork.state.get(&key_of(&intent.request));
    let mut fields = after.map(|after| changes(&intent.gvk, before.json(), after.json())).unwrap_or_default();
    // Where a pod is nobody has asked for.
    fields.retain(|change| change.path != "spec.nodeName" || change.after.is_some());
    ObjectPlan::of(intent, Verdict::Replace, fields)
}

fn delete(fork: &mut Fork<'_>, key: &Key) -> Option<Result<registry::Answer, Status>> {
    let body = Body::Tree(super::fork::delete_options(None, Some(crate::controllers::Propagation::Background), None));
    let request = on_key(Verb::Delete, key, None, body, Options::default())?;
    Some(fork.submit(&request))
}

/// Whether the API refused a change of what can never change.
pub fn is_immutable(refusal: &Status) -> bool {
    refusal.code == 422
        && ["field is immutable", "may not be changed", "updates to", "are forbidden", "pod updates may not"]
            .iter()
            .any(|text| refusal.message.contains(text))
}

fn prune(fork: &mut Fork<'_>, key: &Key) -> Option<ObjectPlan> {
    let before = fork.state.get(key).cloned()?;
    let verdict = match delete(fork, key)? {
        Ok(_) => Verdict::Delete,
        Err(refusal) => Verdict::Refused(refusal),
    };
    Some(ObjectPlan {
        name: label(&before),
        gvk: before.gvk(),
        namespace: key.namespace.to_string(),
        place: String::new(),
        verdict,
        changes: Vec::new(),
        moves: Moves::default(),
        readers: Vec::new(),
        notes: Vec::new(),
    })
}

impl ObjectPlan {
    fn of(intent: &Intent, verdict: Verdict, changes: Vec<FieldChange>) -> Self {
        ObjectPlan {
            name: format!("{}/{}", intent.gvk.kind.to_lowercase(), intent.request.name),
            gvk: intent.gvk.clone(),
            namespace: intent.request.namespace.clone(),
            place: intent.place.clone(),
            verdict,
            changes,
            moves: Moves::default(),
            readers: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The object as it will be, or was where it goes; and its uid, of the old one where it is replaced.
    fn kept(&self, before: &State, after: &State) -> Option<(String, Arc<Object>)> {
        let resource = crate::api::schema::Schema::get().resource_of(&self.gvk)?;
        let name = self.name.split_once('/').map_or("", |(_, name)| name);
        let key = Key::new(resource.group_resource(), &self.namespace, name);
        let old = before.get(&key).or_else(|| after.get(&key))?;
        let new = after.get(&key).unwrap_or(old);
        Some((old.uid().to_owned(), new.clone()))
    }
}

fn read_by(state: &State, object: &ObjectPlan) -> Vec<Reader> {
    let kind = match (object.gvk.group.as_str(), object.gvk.kind.as_str()) {
        ("", "ConfigMap") => Reference::ConfigMap,
        ("", "Secret") => Reference::Secret,
        _ => return Vec::new(),
    };
    let name = object.name.split_once('/').map_or("", |(_, name)| name);
    readers(state, kind, &object.namespace, name)
}

/// A short hash over the desired objects and the identity of all that the plan has read.
fn identify(intents: &[Intent], inputs: &Inputs<'_>) -> String {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    };
    for intent in intents {
        add(&intent.gvk.api_version());
        add(&wanted(&intent.request).to_string());
    }
    let mut read: BTreeMap<String, String> = BTreeMap::new();
    let pods = crate::api::GroupResource::new("", "pods");
    for intent in intents {
        let key = key_of(&intent.request);
        if let Some(object) = inputs.state.get(&key) {
            read.insert(format!("{}/{}/{}", key.resource, key.namespace, key.name), identity(object));
        }
    }
    for key in &inputs.prune {
        if let Some(object) = inputs.state.get(key) {
            read.insert(format!("- {}/{}/{}", key.resource, key.namespace, key.name), identity(object));
        }
    }
    let spaces: std::collections::BTreeSet<&str> = intents.iter().map(|i| i.request.namespace.as_str()).collect();
    for space in spaces.into_iter().filter(|s| !s.is_empty()) {
        for pod in inputs.state.in_namespace(&pods, space) {
            read.insert(format!("pods/{space}/{}", pod.name()), format!("{}/{}", pod.uid(), pod.generation()));
        }
    }
    for (name, identity) in &read {
        add(name);
        add(identity);
    }
    hash.finalize().iter().take(3).map(|byte| format!("{byte:02x}")).collect()
}

/// uid and generation; where a kind has no generation, its content.
fn identity(object: &Object) -> String {
    if object.generation() > 0 {
        return format!("{}/{}", object.uid(), object.generation());
    }
    let mut tree = object.json().clone();
    if let Some(map) = tree.as_object_mut() {
        map.remove("status");
        map.remove("metadata");
    }
    format!("{}/{tree}", object.uid())
}
