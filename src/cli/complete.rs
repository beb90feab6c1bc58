//! Live completion: names of namespaces, resource types and objects, asked of the running watch.
//!
//! Without a running watch there is nothing to ask, and nothing is offered: completion never starts one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use clap_complete::{ArgValueCompleter, CompletionCandidate};

use crate::api::Json;
use crate::client::{Client, Found};

/// A shell waits for the answer with the user looking on.
const PATIENCE: Duration = Duration::from_millis(700);

/// Names of namespaces.
pub fn namespaces() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        ask(word, |client, _| Box::pin(async move { names(&client, "namespaces", "").await }))
    })
}

/// `TYPE`, `NAME` behind a type, or `TYPE/NAME`.
pub fn resources() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        let word_text = word.to_string_lossy().into_owned();
        ask(word, move |client, line| {
            Box::pin(async move {
                if let Some((kind, _)) = word_text.split_once('/') {
                    let found = names(&client, kind, &line.namespace).await?;
                    return Some(found.into_iter().map(|name| format!("{kind}/{name}")).collect());
                }
                match line.words.first() {
                    Some(kind) if !kind.contains('/') => names(&client, kind, &line.namespace).await,
                    _ => {
                        let discovery = client.discovery().await.ok()?;
                        Some(discovery.preferred().filter(|r| r.supports("list")).map(|r| type_name(r)).collect())
                    }
                }
            })
        })
    })
}

/// Names of pods, and `TYPE/NAME` of what owns pods.
pub fn pods() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        let word_text = word.to_string_lossy().into_owned();
        ask(word, move |client, line| {
            Box::pin(async move {
                let kind = word_text.split_once('/').map(|(kind, _)| kind.to_owned());
                let found = names(&client, kind.as_deref().unwrap_or("pods"), &line.namespace).await?;
                Some(match kind {
                    Some(kind) => found.into_iter().map(|name| format!("{kind}/{name}")).collect(),
                    None => found,
                })
            })
        })
    })
}

/// Containers of the pod named before.
pub fn containers() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        ask(word, |client, line| {
            Box::pin(async move {
                let pod = line.words.iter().rfind(|w| *w != "pod" && *w != "pods")?;
                let pod = pod.strip_prefix("pod/").unwrap_or(pod);
                let path = format!(
                    "/api/v1/namespaces/{}/pods/{}",
                    crate::client::segment(&line.namespace),
                    crate::client::segment(pod)
                );
                let pod = client.get(&path).await.ok()?;
                let lists = ["/spec/initContainers", "/spec/containers", "/spec/ephemeralContainers"];
                let containers = lists.iter().filter_map(|l| pod.pointer(l)?.as_array()).flatten();
                Some(containers.filter_map(|c| Some(c.get("name")?.as_str()?.to_owned())).collect())
            })
        })
    })
}

/// What stands on the command line already.
struct Line {
    namespace: String,
    /// Arguments that are no flags, behind the command's name.
    words: Vec<String>,
}

type Names<'a> = std::pin::Pin<Box<dyn Future<Output = Option<Vec<String>>> + 'a>>;

fn ask(word: &OsStr, question: impl FnOnce(Client, Line) -> Names<'static>) -> Vec<CompletionCandidate> {
    let env: BTreeMap<String, String> = std::env::vars().collect();
    let cwd = std::env::current_dir().unwrap_or_default();
    let args: Vec<String> = std::env::args().skip_while(|a| a != "--").skip(2).collect();
    let flag = value_of(&args, &["--state-dir"]);
    let socket = super::context::state_dir(flag.as_deref().map(Path::new), &env, &cwd).join("api.sock");
    if !socket.exists() {
        return Vec::new();
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let line = Line {
        namespace: value_of(&args, &["-n", "--namespace"]).unwrap_or_else(|| "default".into()),
        words: words(&args),
    };
    let answer = question(Client::unix(socket), line);
    let found = runtime.block_on(async { tokio::time::timeout(PATIENCE, answer).await }).ok().flatten();
    let start = word.to_string_lossy();
    found
        .unwrap_or_default()
        .into_iter()
        .filter(|name| name.starts_with(start.as_ref()))
        .map(CompletionCandidate::new)
        .collect()
}

fn value_of(args: &[String], flags: &[&str]) -> Option<String> {
    for (i, arg) in args.iter().enumerate() {
        for flag in flags {
            if arg == flag {
                return args.get(i + 1).cloned();
            }
            if let Some(value) = arg.strip_prefix(flag).and_then(|rest| rest.strip_prefix('=')) {
                return Some(value.to_owned());
            }
        }
    }
    None
}

/// The words behind the command, without flags, their values, and the word in the making.
fn words(args: &[String]) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = args.iter().take(args.len().saturating_sub(1)).skip(1);
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "-n" | "--namespace" | "-o" | "--output" | "-l" | "--selector" | "-f" | "-c" | "--state-dir" => {
                rest.next();
            }
            flag if flag.starts_with('-') => {}
            word => words.push(word.to_owned()),
        }
    }
    words
}

fn type_name(found: &Found) -> String {
    if found.group.is_empty() || crate::api::schema::Schema::get().resource(&found.group, &found.version, &found.resource).is_some() {
        found.resource.clone()
    } else {
        found.qualified()
    }
}

async fn names(client: &Client, kind: &str, namespace: &str) -> Option<Vec<String>> {
    let found = client.discovery().await.ok()?.lookup(kind)?.found;
    let ask = crate::client::Ask::get(found.path(namespace, ""))
        .accept("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json");
    let list = client.send(ask).await.ok()?.json().ok()?;
    let items = list.get("items").and_then(Json::as_array)?;
    Some(items.iter().filter_map(|i| Some(i.pointer("/metadata/name")?.as_str()?.to_owned())).collect())
}
