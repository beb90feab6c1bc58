//! The store's promises, on disk and in memory.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::api::schema::Schema;
use crate::api::{GroupResource, Json, Key};
use crate::registry::{Body, Options, Verb};

fn settings() -> Settings {
    Settings { admission: Vec::new(), ..Settings::default() }
}

fn request(verb: Verb, name: &str, tree: Option<Json>) -> Request {
    let resource = Arc::new(Schema::get().resource("", "v1", "configmaps").unwrap().clone());
    let body = tree.map_or(Body::None, Body::Tree);
    let name = if verb == Verb::Create { String::new() } else { name.to_owned() };
    Request { verb, resource, subresource: None, namespace: "default".into(), name, body, options: Options::default() }
}

fn config_map(name: &str, value: &str) -> Json {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": value}})
}

fn create(name: &str, value: &str) -> Request {
    request(Verb::Create, name, Some(config_map(name, value)))
}

fn key(name: &str) -> Key {
    Key::new(GroupResource::new("", "configmaps"), "default", name)
}

fn value(store: &Store, name: &str) -> Option<String> {
    Some(store.snapshot().get(&key(name))?.str_at("/data/a")?.to_owned())
}

#[tokio::test]
async fn what_is_created_is_there_with_what_the_server_says_of_it() {
    let store = Store::in_memory(settings());
    let answer = store.write(create("x", "1")).await.unwrap();
    assert_eq!(answer.code, 201);
    assert_eq!(answer.body["metadata"]["resourceVersion"], "1");
    assert_eq!(answer.body["metadata"]["namespace"], "default");
    assert_eq!(answer.body["metadata"]["uid"].as_str().unwrap().len(), 36);
    let again = store.write(create("x", "2")).await.unwrap_err();
    assert_eq!((again.code, again.reason.as_str()), (409, "AlreadyExists"));
    assert_eq!(value(&store, "x").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_store_that_is_opened_again_has_everything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let store = Store::open(&path, settings()).unwrap();
    let writes = (0..300).map(|i| create(&format!("x{i}"), "1")).collect();
    assert!(store.write_all(writes).await.iter().all(Result::is_ok));
    store.write(request(Verb::Delete, "x7", None)).await.unwrap();
    let revision = store.snapshot().revision();
    drop(store);
    let store = open_again(&path);
    assert_eq!(store.snapshot().revision(), revision);
    assert_eq!(store.snapshot().count(&GroupResource::new("", "configmaps")), 299);
    assert_eq!(value(&store, "x8").as_deref(), Some("1"));
    assert_eq!(value(&store, "x7"), None);
}

/// The writer's thread lets go of the lock soon after the last handle is gone.
fn open_again(path: &std::path::Path) -> Store {
    loop {
        match Store::open(path, settings()) {
            Err(OpenError::Held { .. }) => std::thread::yield_now(),
            other => return other.unwrap(),
        }
    }
}

#[tokio::test]
async fn a_second_writer_is_told_who_holds_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let _store = Store::open(dir.path(), settings()).unwrap();
    let refused = Store::open(dir.path(), settings()).err().unwrap();
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    assert_eq!(holder(dir.path()), Some(Holder { pid: std::process::id() }));
}

#[tokio::test]
async fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let store = Store::open(&path, settings()).unwrap();
    store.write(create("x", "1")).await.unwrap();
    let mode = |p: &std::path::Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for entry in std::fs::read_dir(&path).unwrap() {
        let file = entry.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(journal::FILE), b"this is no database, whatever it may look like").unwrap();
    let refused = Store::open(dir.path(), settings()).err().unwrap();
    assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused:?}");
    assert!(refused.to_string().contains("wl restore"));
    let left = std::fs::read(dir.path().join(journal::FILE)).unwrap();
    assert!(left.starts_with(b"this is no database"));
}

#[tokio::test]
async fn a_watch_sees_every_change_in_order_and_is_told_when_it_lags() {
    let store = Store::in_memory(settings());
    let mut changes = store.watch(0).unwrap();
    store.write(create("a", "1")).await.unwrap();
    store.write(create("b", "1")).await.unwrap();
    let seen: Vec<u64> = changes.next().await.unwrap().iter().map(|c| c.revision).collect();
    assert_eq!(seen, [1, 2]);
    for i in 0..=HISTORY {
        store.write(create(&format!("c{i}"), "1")).await.unwrap();
    }
    assert_eq!(changes.next().await.unwrap_err().asked, 2);
    assert!(store.watch(1).is_err());
    store.compact();
    assert!(store.watch(store.snapshot().revision() - 1).is_err());
    assert!(store.watch(store.snapshot().revision()).is_ok());
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let store = Store::in_memory(settings());
    let mut dry = create("x", "1");
    dry.options.dry_run = true;
    let answer = store.write(dry).await.unwrap();
    assert!(answer.body["metadata"]["uid"].is_string());
    assert!(answer.body["metadata"].get("resourceVersion").is_none());
    assert_eq!(store.snapshot().revision(), 0);
}

#[tokio::test]
async fn bytes_are_read_by_their_media_type() {
    let store = Store::in_memory(settings());
    let mut sent = create("x", "1");
    let bytes = Bytes::from_static(b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: why}\n");
    sent.body = Body::Text { media_type: "application/yaml".into(), bytes };
    assert_eq!(store.write(sent).await.unwrap().body["metadata"]["name"], "why");
    let mut sent = create("x", "1");
    sent.body = Body::Text { media_type: "text/plain".into(), bytes: Bytes::new() };
    assert_eq!(store.write(sent).await.unwrap_err().code, 415);
}
