//! What a shell gets to complete: the program's own answers, asked of a server at the state directory's socket.
#![cfg(feature = "internals")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::json;
use wl::api::{GroupResource, Key, Object};
use wl::apiserver;
use wl::registry::Settings;
use wl::state::State;
use wl::store::{Store, SystemRandom};

/// So often a shell is asked that got no answer in time.
const TRIES: usize = 10;

/// Serves some objects at `dir/api.sock`.
fn serve(dir: &Path) {
    let mut state = State::new();
    let mut put = |resource: GroupResource, object: serde_json::Value| {
        let object = Object::new(object);
        state.put(Key::new(resource, object.namespace(), object.name()), object);
    };
    for (namespace, name) in [("default", "web-1"), ("default", "web-2"), ("default", "db"), ("team", "api")] {
        put(
            GroupResource::new("", "pods"),
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "uid": name},
                "spec": {"initContainers": [{"name": "setup"}], "containers": [{"name": "app"}, {"name": "log"}]},
            }),
        );
    }
    put(
        GroupResource::new("apps", "deployments"),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "front", "namespace": "default", "uid": "front"},
        }),
    );
    for name in ["default", "team"] {
        put(
            GroupResource::new("", "namespaces"),
            json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "uid": name},
            }),
        );
    }
    state.take_changes();
    let clock = Arc::new(|| "2026-01-01T00:00:00Z".parse().unwrap());
    let store = Store::in_memory_with(Settings::default(), state, clock, Box::new(SystemRandom::new()));
    let server = apiserver::Server::new(store);
    let listener = tokio::net::UnixListener::bind(dir.join("api.sock")).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(apiserver::serve(server.clone(), stream));
        }
    });
}

/// What `shell` offers for the last of `words`.
fn offered(dir: &Path, shell: &str, words: &[&str]) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wl"));
    command.env_clear().env("COMPLETE", shell).env("WL_STATE_DIR", dir).args(["--", "wl"]).args(words);
    if shell != "fish" {
        command.env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // zsh and fish show what a value means behind a colon or a tab.
    text.lines()
        .map(|line| line.split(['\t', ':']).next().unwrap_or("").to_owned())
        .filter(|w| !w.starts_with('-'))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shells_complete_live_names() {
    let dir = tempfile::tempdir().unwrap();
    serve(dir.path());
    for shell in ["bash", "zsh", "fish"] {
        // A shell is not kept waiting: on a loaded machine the answer may be nothing at first.
        let ask = |words: &[&str]| {
            let mut tries = (0..TRIES).map(|_| offered(dir.path(), shell, words));
            tries.find(|words| !words.is_empty()).unwrap_or_default()
        };
        assert_eq!(ask(&["get", "pods", "web"]), ["web-1", "web-2"], "{shell}: names");
        assert_eq!(ask(&["get", "pods", "web-1", "web"]), ["web-2"], "{shell}: names not given yet");
        assert_eq!(ask(&["describe", "pod/w"]), ["pod/web-1", "pod/web-2"], "{shell}: names behind a type");
        assert_eq!(ask(&["-n", "team", "get", "pods", ""]), ["api"], "{shell}: names of a namespace");
        assert_eq!(ask(&["rollout", "status", "deploy", ""]), ["front"], "{shell}: a command of a command");
        assert!(ask(&["get", "deploy"]).contains(&"deployments".to_owned()), "{shell}: types");
        assert!(ask(&["get", "pods,deploy"]).contains(&"pods,deployments".to_owned()), "{shell}: several types");
        assert!(ask(&["explain", "ing"]).contains(&"ingresses".to_owned()), "{shell}: types to explain");
        assert_eq!(ask(&["get", "pods", "-n", "t"]), ["team"], "{shell}: namespaces");
        assert_eq!(ask(&["logs", "web-1", "-c", ""]), ["setup", "app", "log"], "{shell}: containers");
        assert_eq!(ask(&["logs", "d"]), ["db"], "{shell}: pods");
    }
}

#[tokio::test]
async fn without_a_server_nothing_is_offered_and_nothing_started() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(offered(dir.path(), "bash", &["get", "pods", ""]), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
