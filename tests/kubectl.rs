//! Runs recorded sessions of kubectl as sessions of `wl`, against a server that holds the same objects.
//!
//! `tests/data/kubectl/<verb>.jsonl.gz` holds the sessions, `fixtures.jsonl.gz` the objects.
//! `WL_KUBECTL=<verb, or start of an id>` runs those alone and prints how they differ.
#![cfg(feature = "internals")]

#[path = "kubectl/normalise.rs"]
mod normalise;
#[path = "kubectl/server.rs"]
mod server;
#[path = "kubectl/writing.rs"]
mod writing;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex};

use flate2::read::GzDecoder;
use serde_json::Value;
use wl::cli::{self, Output, World};

use server::{Fixture, Serving};

/// The least share of each verb's sessions that must agree, in percent. A verb that is not here is not
/// there yet in `wl`. Raised as work goes on.
const FLOORS: &[(&str, u32)] = &[
    ("annotate", 100),
    ("api-resources", 100),
    ("api-versions", 100),
    ("apply", 64),
    ("attach", 100),
    ("auth", 50),
    ("autoscale", 100),
    ("bogusverb", 100),
    ("config", 100),
    ("cordon", 100),
    ("cp", 100),
    ("create", 98),
    ("debug", 100),
    ("delete", 100),
    ("describe", 100),
    ("diff", 100),
    ("drain", 100),
    ("events", 100),
    ("exec", 100),
    ("explain", 100),
    ("expose", 100),
    ("get", 100),
    ("kustomize", 100),
    ("label", 100),
    ("logs", 100),
    ("patch", 95),
    ("port-forward", 100),
    ("replace", 100),
    ("rollout", 100),
    ("run", 100),
    ("scale", 100),
    ("set", 100),
    ("taint", 100),
    ("top", 100),
    ("uncordon", 100),
    ("version", 66),
    ("wait", 100),
];

struct Session(Value);

/// What a session printed and did.
#[derive(Debug, PartialEq)]
struct Outcome {
    exit: i64,
    stdout: String,
    stderr: String,
    after: Value,
}

/// A stream that is read back later.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Session {
    fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or("")
    }

    fn mutates(&self) -> bool {
        self.0.get("mutates").and_then(Value::as_bool).unwrap_or(false)
    }

    /// Without `--server-side` or its opposite `wl` applies by the server, where kubectl keeps a note of its own in the object.
    fn without(&self) -> &'static [&'static str] {
        let argv = self.0["argv"].as_array().unwrap();
        let says = argv.iter().any(|a| a.as_str().unwrap().starts_with("--server-side"));
        let of_note = argv.iter().any(|a| a.as_str().unwrap().ends_with("-last-applied"));
        if argv[0] == "apply" && !says && !of_note {
            &["kubectl.kubernetes.io/last-applied-configuration"]
        } else {
            &[]
        }
    }

    fn expected_after(&self) -> Value {
        let mut after = self.0.get("after").cloned().unwrap_or_else(|| Value::Array(vec![]));
        for change in after.as_array_mut().into_iter().flatten() {
            if let Some(metadata) = change.pointer_mut("/object/metadata").and_then(Value::as_object_mut) {
                normalise::without_annotations(metadata, self.without());
            }
        }
        after
    }

    fn expected(&self) -> Outcome {
        Outcome {
            exit: self.0["exit"].as_i64().unwrap(),
            stdout: self.ordered(self.text("stdout").to_owned()),
            stderr: self.text("stderr").to_owned(),
            after: if self.mutates() { self.expected_after() } else { Value::Null },
        }
    }

    /// Where a session prints in no order of its own, its lines are compared sorted.
    fn ordered(&self, text: String) -> String {
        if self.0.get("unordered").and_then(Value::as_bool) != Some(true) {
            return text;
        }
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    }

    async fn run(&self, fixture: &Fixture) -> Outcome {
        self.run_on(fixture, &fixture.serve()).await
    }

    /// Runs against a server that others may have changed.
    async fn run_on(&self, fixture: &Fixture, server: &Serving) -> Outcome {
        let own = tempfile::tempdir().unwrap();
        let folder = if self.text("cwd").is_empty() { own.path() } else { std::path::Path::new(self.text("cwd")) };
        for (path, text) in self.0.get("files").and_then(Value::as_object).into_iter().flatten() {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.as_str().unwrap()).unwrap();
        }
        let (stdout, stderr) = (Sink::default(), Sink::default());
        let mut args = vec!["wl".to_owned()];
        args.extend(self.0["argv"].as_array().unwrap().iter().map(|a| a.as_str().unwrap().to_owned()));
        let mut env: BTreeMap<String, String> =
            [("LC_ALL", "C"), ("TZ", "UTC")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        for (key, value) in self.0.get("env").and_then(Value::as_object).into_iter().flatten() {
            env.insert(key.clone(), value.as_str().unwrap().to_owned());
        }
        let now = fixture.now;
        let started = tokio::time::Instant::now();
        let world = World {
            args: args.into_iter().map(Into::into).collect(),
            cwd: folder.to_owned(),
            env,
            stdin: Box::new(std::io::Cursor::new(self.text("stdin").as_bytes().to_vec())),
            stdin_is_terminal: false,
            stdout: Output::new(Box::new(stdout.clone()), false),
            stderr: Output::new(Box::new(stderr.clone()), false),
            clock: Arc::new(move || now + started.elapsed()),
            server: cli::Server::Given(server.client()),
        };
        let exit = tokio::time::timeout(std::time::Duration::from_secs(120), cli::run_with(world)).await;
        let cwd = folder.to_string_lossy().into_owned();
        let clean = |sink: &Sink| {
            let text = normalise::exact(&sink.text(), &cwd, self.mutates());
            if self.text("verb") == "explain" { normalise::without_descriptions(&text) } else { text }
        };
        Outcome {
            exit: exit.map_or(-1, |exit| i64::from(exit.code())),
            stdout: self.ordered(clean(&stdout)),
            stderr: clean(&stderr),
            after: if self.mutates() { server.changes(self.without()) } else { Value::Null },
        }
    }
}

fn lines(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/data/kubectl/{name}.jsonl.gz", env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(&path).unwrap_or_else(|e| panic!("{path}: {e}")))
        .read_to_string(&mut text)
        .unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn show(session: &Session, expected: &Outcome, actual: &Outcome) {
    println!("──── {}\n$ wl {}", session.text("id"), session.0["argv"]);
    if let Some(files) = session.0.get("files") {
        println!("files: {files}");
    }
    if expected.exit != actual.exit {
        println!("exit: expected {}, is {}", expected.exit, actual.exit);
    }
    for (name, expected, actual) in
        [("stdout", &expected.stdout, &actual.stdout), ("stderr", &expected.stderr, &actual.stderr)]
    {
        if expected != actual {
            let diff = similar::TextDiff::from_lines(expected.as_str(), actual.as_str());
            println!("{name}: - expected, + is\n{}", diff.unified_diff().context_radius(1));
        }
    }
    if expected.after != actual.after {
        let pretty = |v: &Value| serde_json::to_string_pretty(v).unwrap();
        let (expected, actual) = (pretty(&expected.after), pretty(&actual.after));
        let diff = similar::TextDiff::from_lines(expected.as_str(), actual.as_str());
        println!("after: - expected, + is\n{}", diff.unified_diff().context_radius(2));
    }
}

#[tokio::test(start_paused = true)]
async fn recorded_sessions_of_kubectl_print_the_same() {
    let only = std::env::var("WL_KUBECTL").ok();
    let fixtures: BTreeMap<String, Fixture> = lines("fixtures").iter().map(Fixture::load).collect();
    let mut below = Vec::new();
    for (verb, floor) in FLOORS {
        let (mut passed, mut total, mut failed) = (0, 0, Vec::new());
        for session in lines(verb).into_iter().map(Session) {
            let id = session.text("id").to_owned();
            if only.as_ref().is_some_and(|only| only != verb && !id.starts_with(only.as_str())) {
                continue;
            }
            let (expected, actual) = (session.expected(), session.run(&fixtures[session.text("fixture")]).await);
            total += 1;
            if expected == actual {
                passed += 1;
                continue;
            }
            if only.is_some() {
                show(&session, &expected, &actual);
            }
            failed.push(id);
        }
        if total == 0 {
            continue;
        }
        let share = passed * 100 / total;
        println!("{verb:<14} {passed:>3} of {total:>3}  {share:>3} %  {}", failed.join(" "));
        if only.is_none() && share < *floor {
            below.push(format!("{verb}: {share} % agree, {floor} % did"));
        }
    }
    assert!(below.is_empty(), "{}", below.join("\n"));
}
