//! A server that holds a fixture's objects exactly, and tells afterwards what changed.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use wl::api::schema::Schema;
use wl::api::{GroupResource, Gvk, Key, Object};
use wl::apiserver;
use wl::client::{Client, Dial};
use wl::registry::Settings;
use wl::state::State;
use wl::store::{Store, SystemRandom};

use crate::normalise;

/// Objects at an instant.
pub struct Fixture {
    pub now: Timestamp,
    state: State,
}

impl Fixture {
    /// Reads a fixture; gives its name too.
    pub fn load(fixture: &Value) -> (String, Fixture) {
        let mut state = State::new();
        let objects = fixture["objects"].as_array().unwrap();
        for object in objects {
            let object = Object::new(object.clone());
            let (resource, _) = place(&object.gvk(), objects);
            state.put(Key::new(resource, object.namespace(), object.name()), object);
        }
        state.take_changes();
        let now = fixture["now"].as_str().unwrap().parse().unwrap();
        (fixture["name"].as_str().unwrap().to_owned(), Fixture { now, state })
    }

    /// A server of its own that starts from the fixture.
    pub fn serve(&self) -> Serving {
        // As the recorded server: no ServiceAccount plugin, which would wait for its controller.
        let admission = ["NamespaceLifecycle", "Priority", "DefaultTolerationSeconds"].map(str::to_owned).into();
        let settings = Settings { admission, ..Settings::default() };
        let now = self.now;
        let started = tokio::time::Instant::now();
        let clock = Arc::new(move || now + started.elapsed());
        let store = Store::in_memory_with(settings, self.state.clone(), clock, Box::new(SystemRandom::new()));
        Serving { before: self.state.clone(), server: apiserver::Server::new(store.clone()), store }
    }
}

/// The resource of a kind, and its version: from the schema, or from a definition among `objects`.
fn place(gvk: &Gvk, objects: &[Value]) -> (GroupResource, String) {
    if let Some(resource) = Schema::get().resource_of(gvk) {
        return (resource.group_resource(), resource.version.clone());
    }
    let definition = objects.iter().find(|o| {
        o["kind"] == "CustomResourceDefinition"
            && o["spec"]["group"] == *gvk.group
            && o["spec"]["names"]["kind"] == *gvk.kind
    });
    let plural =
        definition.unwrap_or_else(|| panic!("no definition of {gvk:?}"))["spec"]["names"]["plural"].as_str().unwrap();
    (GroupResource::new(&gvk.group, plural), gvk.version.clone())
}

/// A server in this process.
pub struct Serving {
    before: State,
    store: Store,
    server: apiserver::Server,
}

impl Serving {
    pub fn client(&self) -> Client {
        let server = self.server.clone();
        let dial: Dial = Arc::new(move || {
            let (near, far) = tokio::io::duplex(256 * 1024);
            tokio::spawn(apiserver::serve(server.clone(), far));
            Box::pin(async move { Ok(Box::new(near) as Box<dyn wl::client::Transport>) })
        });
        Client::new(dial)
    }

    /// What differs from the fixture, as the recordings tell it.
    /// `without`: annotations that do not count.
    pub fn changes(&self, without: &[&str]) -> Value {
        let after = self.store.snapshot();
        let (before_all, after_all) = (all(&self.before), all(&after));
        let mut changes: Vec<(String, Value)> = Vec::new();
        for (key, object) in &after_all {
            let shown = normalised(object, without);
            match before_all.iter().find(|(k, _)| k == key) {
                None => changes.push((path(key, object), json!({"op": "created", "object": shown}))),
                Some((_, before)) if normalised(before, without) != shown => {
                    changes.push((path(key, object), json!({"op": "changed", "object": shown})));
                }
                Some(_) => {}
            }
        }
        for (key, object) in &before_all {
            // Events of the fixtures are older than Events live here: any write drops them.
            if key.resource.resource.as_ref() != "events" && !after_all.iter().any(|(k, _)| k == key) {
                let path = path(key, object);
                changes.push((path.clone(), json!({"op": "deleted", "path": path})));
            }
        }
        changes.sort_by(|a, b| a.0.cmp(&b.0));
        Value::Array(changes.into_iter().map(|(_, change)| change).collect())
    }
}

fn all(state: &State) -> Vec<(Key, Arc<Object>)> {
    // The recorder did not look at the addresses that come and go with Services.
    let recorded = |resource: &&GroupResource| resource.resource.as_ref() != "ipaddresses";
    let resources: Vec<GroupResource> = state.resources().filter(recorded).cloned().collect();
    let of = |resource: &GroupResource| {
        let resource = resource.clone();
        state
            .all(&resource)
            .map(|o| (Key::new(resource.clone(), o.namespace(), o.name()), o.clone()))
            .collect::<Vec<_>>()
    };
    resources.iter().flat_map(of).collect()
}

fn path(key: &Key, object: &Object) -> String {
    let api_version = object.api_version();
    let root = if api_version.contains('/') { format!("/apis/{api_version}") } else { format!("/api/{api_version}") };
    let namespace = if key.namespace.is_empty() { String::new() } else { format!("/namespaces/{}", key.namespace) };
    format!("{root}{namespace}/{}/{}", key.resource.resource, key.name)
}

fn normalised(object: &Object, without: &[&str]) -> Value {
    let mut tree = object.json().clone();
    if let Some(metadata) = tree.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"] {
            metadata.remove(key);
        }
        normalise::without_annotations(metadata, without);
    }
    if let Some(spec) = tree.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("healthCheckNodePort");
    }
    clean(&tree)
}

fn clean(tree: &Value) -> Value {
    match tree {
        Value::String(text) => Value::String(normalise::exact(text, "", true)),
        Value::Array(items) => items.iter().map(clean).collect(),
        Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), clean(v))).collect::<Map<_, _>>()),
        other => other.clone(),
    }
}
