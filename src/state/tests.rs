use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Puts or takes away the object `at` of a namespace; with owners by number, the one that controls among them, if any.
#[derive(Clone, Debug)]
struct Step {
    at: usize,
    namespace: usize,
    put: bool,
    uid: usize,
    owners: Vec<usize>,
    controller: Option<usize>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let owners = prop::collection::vec(0..3usize, 0..3);
    let step = (0..4usize, 0..3usize, prop::bool::weighted(0.7), 0..5usize, owners, prop::option::of(0..3usize));
    let step = step
        .prop_map(|(at, namespace, put, uid, owners, controller)| Step { at, namespace, put, uid, owners, controller });
    prop::collection::vec(step, 1..30)
}

/// Names of which one begins with another, as those of a range must not take in.
const NAMESPACES: [&str; 3] = ["a", "a-b", "b"];

fn pods() -> GroupResource {
    GroupResource::new("", "pods")
}

fn object(step: &Step) -> Object {
    let references: Vec<_> = step
        .owners
        .iter()
        .map(|owner| json!({"uid": format!("o{owner}"), "controller": step.controller == Some(*owner)}))
        .collect();
    let uid = format!("{}-{}-{}", step.at, step.namespace, step.uid);
    Object::new(json!({"metadata": {
        "name": format!("p{}", step.at), "namespace": NAMESPACES[step.namespace], "uid": uid, "ownerReferences": references,
    }}))
}

fn take(state: &mut State, step: &Step) {
    let key = Key::new(pods(), NAMESPACES[step.namespace], &format!("p{}", step.at));
    if step.put {
        state.put(key, object(step));
    } else {
        state.remove(&key);
    }
}

fn places<'a>(objects: impl Iterator<Item = &'a Arc<Object>>) -> Vec<(String, String, String)> {
    objects.map(|o| (o.namespace().into(), o.name().into(), o.resource_version().into())).collect()
}

/// Everything that the indexes answer.
fn answers(state: &State) -> BTreeMap<String, Vec<(String, String, String)>> {
    let mut answers = BTreeMap::new();
    for owner in ["o0", "o1", "o2"] {
        answers.insert(format!("owned by {owner}"), places(state.owned_by(owner)));
        for namespace in NAMESPACES {
            let controlled = state.controlled_by(owner, &pods(), namespace).map(Dependent::object);
            answers.insert(format!("controlled by {owner} in {namespace}"), places(controlled));
        }
    }
    for namespace in NAMESPACES {
        answers.insert(format!("uncontrolled in {namespace}"), places(state.uncontrolled(&pods(), namespace)));
        answers.insert(format!("in {namespace}"), places(state.in_namespace(&pods(), namespace)));
    }
    answers
}

/// The same by looking at every object.
fn scanned(state: &State) -> BTreeMap<String, Vec<(String, String, String)>> {
    let resource = pods();
    let all = |test: &dyn Fn(&Object) -> bool| places(state.all(&resource).filter(|object| test(object)));
    let mut answers = BTreeMap::new();
    for owner in ["o0", "o1", "o2"] {
        answers.insert(format!("owned by {owner}"), all(&|o| owners(o).any(|uid| uid == owner)));
        for namespace in NAMESPACES {
            let controlled = all(&|o| o.controller_uid() == Some(owner) && o.namespace() == namespace);
            answers.insert(format!("controlled by {owner} in {namespace}"), controlled);
        }
    }
    for namespace in NAMESPACES {
        let free = all(&|o| o.controller_ref().is_none() && o.namespace() == namespace);
        answers.insert(format!("uncontrolled in {namespace}"), free);
        answers.insert(format!("in {namespace}"), all(&|o| o.namespace() == namespace));
    }
    answers
}

proptest! {
    #[test]
    fn the_indexes_say_what_a_look_at_every_object_says(steps in steps()) {
        let mut state = State::new();
        for step in &steps {
            take(&mut state, step);
            prop_assert_eq!(answers(&state), scanned(&state));
            for object in state.all(&pods()) {
                let found = state.with_uid(object.uid());
                prop_assert!(found.is_some_and(|found| Arc::ptr_eq(found, object)));
            }
            state.pack_unread();
        }
        let changes = state.take_changes();
        for change in changes.iter().rev() {
            state.undo(change);
            prop_assert_eq!(answers(&state), scanned(&state));
        }
        prop_assert_eq!(state.count(&pods()), 0);
    }
}
