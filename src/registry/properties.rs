//! What holds of every sequence of writes, whatever they are.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::schema::Schema;

struct Counting(u64);

impl Random for Counting {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0
    }
}

const KINDS: &[(&str, &str)] = &[("", "configmaps"), ("apps", "deployments"), ("", "pods"), ("batch", "jobs"), ("", "services")];
const FINALIZERS: &[&[&str]] = &[&[], &["a.example/x"], &["a.example/x", "b.example/y"]];

fn body(resource: &Resource, name: &str, pick: usize) -> Json {
    let labels = json!({"app": if pick.is_multiple_of(2) { "a" } else { "b" }});
    let containers = json!([{"name": "c", "image": format!("app:{}", pick % 3)}]);
    let spec = match resource.kind.as_str() {
        "Deployment" => json!({"replicas": pick % 4, "selector": {"matchLabels": {"s": "1"}},
            "template": {"metadata": {"labels": {"s": "1"}}, "spec": {"containers": containers}}}),
        "Pod" => json!({"containers": containers, "nodeName": if pick.is_multiple_of(3) { "n" } else { "" }}),
        "Job" => json!({"parallelism": pick % 3, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "a"}]}}}),
        "Service" => json!({"ports": [{"port": 80 + pick % 3}]}),
        _ => json!(null),
    };
    let mut tree = json!({"apiVersion": resource.api_version(), "kind": resource.kind, "metadata": {"name": name, "labels": labels, "finalizers": FINALIZERS[pick % FINALIZERS.len()]}});
    if spec.is_object() {
        tree["spec"] = spec;
    }
    tree
}

/// A write drawn from numbers; many are refused, as they should be.
fn request((kind, name, verb, pick, dry_run): (usize, usize, usize, usize, bool)) -> Request {
    let (group, resource) = KINDS[kind % KINDS.len()];
    let resource = Arc::new(Schema::get().resource(group, "v1", resource).unwrap().clone());
    let name = ["x", "y"][name % 2];
    let tree = body(&resource, name, pick);
    let policy = [None, Some("Orphan"), Some("Foreground"), Some("Background")][pick % 4];
    let deletion = json!({"propagationPolicy": policy, "gracePeriodSeconds": if pick.is_multiple_of(2) { Json::Null } else { json!(pick % 5) }});
    let (verb, subresource, body) = match verb % 8 {
        0 | 1 => (Verb::Create, None, Body::Tree(tree)),
        2 => (Verb::Update, None, Body::Tree(tree)),
        3 => (Verb::Update, Some("status"), Body::Tree(tree)),
        4 => (Verb::Patch, None, Body::Patch { kind: PatchKind::Merge, tree }),
        5 => (Verb::Patch, None, Body::Patch { kind: PatchKind::Apply, tree }),
        6 => (Verb::DeleteCollection, None, Body::Tree(deletion)),
        _ => (Verb::Delete, None, Body::Tree(deletion)),
    };
    let options = Options { dry_run, field_manager: Some("m".into()), force: (pick % 2 == 1).then_some(true), ..Options::default() };
    let name = if verb == Verb::Create || verb == Verb::DeleteCollection { String::new() } else { name.to_owned() };
    Request { verb, resource, subresource: subresource.map(str::to_owned), namespace: "default".into(), name, body, options }
}

/// All objects, with their keys.
fn all(state: &State) -> Vec<(crate::api::GroupResource, Arc<crate::api::Object>)> {
    let resources: Vec<_> = state.resources().cloned().collect();
    resources.iter().flat_map(|r| state.all(r).map(|o| (r.clone(), o.clone())).collect::<Vec<_>>()).collect()
}

#[test]
fn a_look_sees_that_what_is_sent_again_changes_nothing() {
    let settings = Settings::default();
    let mut random = Counting(1);
    let mut state = State::new();
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    for request in bootstrap::requests(&state, &settings) {
        execute(&mut state, &request, &mut Env { now, random: &mut random, settings: &settings }).unwrap();
    }
    // (kind, pick) as `request` draws them; whether a look is enough.
    for (kind, pick, enough) in [(0, 1, true), (1, 1, true), (3, 1, true), (2, 1, false), (4, 1, false)] {
        let apply = request((kind, 0, 5, pick, false));
        let env = &mut Env { now, random: &mut random, settings: &settings };
        assert_eq!(stays(&state, &apply, env), None, "nothing is there");
        execute(&mut state, &apply, env).unwrap();
        assert_eq!(stays(&state, &apply, env), enough.then(Vec::new), "{}", apply.resource.kind);
        let other = request((kind, 0, 5, pick + 1, false));
        assert_eq!(stays(&state, &other, env), None, "{} changes", apply.resource.kind);
        let less = Request { body: Body::Patch { kind: PatchKind::Apply, tree: fewer(&apply.body) }, ..apply.clone() };
        assert_eq!(stays(&state, &less, env), None, "{} gives something up", apply.resource.kind);
        let somebody = Options { field_manager: Some("somebody".into()), ..apply.options.clone() };
        assert_eq!(stays(&state, &Request { options: somebody, ..apply.clone() }, env), None, "{} gets an owner", apply.resource.kind);
    }
}

/// The body without its labels.
fn fewer(body: &Body) -> Json {
    let Body::Patch { tree, .. } = body else { panic!("a patch") };
    let mut tree = tree.clone();
    tree["metadata"].as_object_mut().unwrap().remove("labels");
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn writes_keep_the_state_whole(drawn in prop::collection::vec((0..5usize, 0..2usize, 0..8usize, 0..24usize, prop::bool::weighted(0.2)), 1..40)) {
        let settings = Settings { admission: vec!["NamespaceLifecycle".into()], ..Settings::default() };
        let mut random = Counting(1);
        let mut state = State::new();
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for request in bootstrap::requests(&state, &settings) {
            execute(&mut state, &request, &mut Env { now: start, random: &mut random, settings: &settings }).unwrap();
        }
        let mut generations: HashMap<String, i64> = HashMap::new();
        for (step, drawn) in drawn.into_iter().enumerate() {
            let request = request(drawn);
            let now = start + jiff::SignedDuration::from_secs(i64::try_from(step).unwrap());
            let before = state.clone();
            state.take_changes();
            let looked = stays(&state, &request, &Env { now, random: &mut random, settings: &settings });
            let answer = execute(&mut state, &request, &mut Env { now, random: &mut random, settings: &settings });
            let changes = state.take_changes();
            if let Some(warnings) = looked {
                prop_assert!(changes.is_empty() && all(&before) == all(&state), "a look said that it changes nothing");
                prop_assert_eq!(&answer.as_ref().expect("an answer").warnings, &warnings);
            }
            if answer.is_err() || request.options.dry_run {
                prop_assert!(changes.is_empty());
                prop_assert!(all(&before) == all(&state));
                prop_assert_eq!(before.revision(), state.revision());
            }
            let mut last = before.revision();
            for change in &changes {
                prop_assert!(change.revision > last);
                last = change.revision;
                if let Some(after) = &change.after {
                    let text = change.revision.to_string();
                    prop_assert_eq!(after.resource_version(), text.as_str());
                }
            }
            let mut uids = HashMap::new();
            for (resource, object) in all(&state) {
                prop_assert!(!object.uid().is_empty() && object.creation_timestamp().is_some());
                prop_assert!(uids.insert(object.uid().to_owned(), resource).is_none(), "a uid twice");
                let generation = generations.entry(object.uid().to_owned()).or_insert(0);
                prop_assert!(object.generation() >= *generation, "a generation fell");
                *generation = object.generation();
                if object.is_deleting() {
                    let waits = object.i64_at("/metadata/deletionGracePeriodSeconds").unwrap_or(0) > 0;
                    prop_assert!(waits || object.finalizers().next().is_some(), "nothing holds {}", object.json());
                }
            }
        }
    }
}
