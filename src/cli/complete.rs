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
                match line.words.split_first() {
                    Some((kind, given)) if !kind.contains('/') => {
                        let found = names(&client, kind, &line.namespace).await?;
                        Some(found.into_iter().filter(|name| !given.contains(name)).collect())
                    }
                    _ => kinds(&client, &word_text).await,
                }
            })
        })
    })
}

/// `TYPE`.
pub fn types() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        let word_text = word.to_string_lossy().into_owned();
        ask(word, move |client, _| Box::pin(async move { kinds(&client, &word_text).await }))
    })
}

/// Types, behind those that a comma ends.
async fn kinds(client: &Client, word: &str) -> Option<Vec<String>> {
    let before = word.rfind(',').map_or("", |comma| &word[..=comma]);
    let discovery = client.discovery().await.ok()?;
    let listed = discovery.preferred().filter(|r| r.supports("list"));
    Some(listed.map(|r| format!("{before}{}", type_name(r))).collect())
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
#[derive(Debug, Default, PartialEq)]
struct Line {
    namespace: String,
    state_dir: Option<String>,
    /// Arguments that are no flags, behind the command's name.
    words: Vec<String>,
}

/// The words that a shell wants completed, behind the program's name, and how many of them stand before the cursor's.
pub(super) fn typed() -> (Vec<String>, usize) {
    let words = std::env::args_os().skip_while(|word| word != "--").skip(2);
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    // Shells that tell where the cursor is count the program's name.
    let index = std::env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|index| index.parse::<usize>().ok());
    let before = index.map_or(words.len(), |index| index.min(words.len() + 1)).saturating_sub(1);
    (words, before)
}

type Names<'a> = std::pin::Pin<Box<dyn Future<Output = Option<Vec<String>>> + 'a>>;

fn ask(word: &OsStr, question: impl FnOnce(Client, Line) -> Names<'static>) -> Vec<CompletionCandidate> {
    let env: BTreeMap<String, String> = std::env::vars().collect();
    let cwd = std::env::current_dir().unwrap_or_default();
    let (args, before) = typed();
    let mut line = Line::read(&super::command_of(args.first().map(OsStr::new)), &args[..before]);
    if line.namespace.is_empty() {
        line.namespace = env.get("WL_NAMESPACE").filter(|n| !n.is_empty()).cloned().unwrap_or_else(|| "default".into());
    }
    let socket = super::context::state_dir(line.state_dir.as_deref().map(Path::new), &env, &cwd).join("api.sock");
    if !socket.exists() {
        return Vec::new();
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
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

impl Line {
    /// Reads the arguments before the word in the making, by the flags that the commands have.
    fn read(tree: &clap::Command, args: &[String]) -> Self {
        let (mut line, mut command) = (Line::default(), tree);
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            if let Some(long) = arg.strip_prefix("--") {
                let (name, mut value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v.to_owned())));
                if value.is_none() && takes_value(tree, command, |a| a.get_long() == Some(name)) {
                    value = rest.next().cloned();
                }
                line.keep(name, value);
            } else if let Some(letter) = arg.strip_prefix('-').and_then(|rest| rest.chars().next()) {
                if takes_value(tree, command, |a| a.get_short() == Some(letter)) {
                    let glued = arg[1 + letter.len_utf8()..].trim_start_matches('=');
                    let value = if glued.is_empty() { rest.next().cloned() } else { Some(glued.to_owned()) };
                    line.keep(if letter == 'n' { "namespace" } else { "" }, value);
                }
            } else if let Some(inner) = command.find_subcommand(arg).filter(|_| line.words.is_empty()) {
                command = inner;
            } else {
                line.words.push(arg.clone());
            }
        }
        line
    }

    fn keep(&mut self, flag: &str, value: Option<String>) {
        match flag {
            "namespace" => self.namespace = value.unwrap_or_default(),
            "state-dir" => self.state_dir = value,
            _ => {}
        }
    }
}

/// Whether the flag has its value in the next word.
fn takes_value(tree: &clap::Command, command: &clap::Command, is_meant: impl Fn(&clap::Arg) -> bool) -> bool {
    let flag = command.get_arguments().find(|a| is_meant(a)).or_else(|| tree.get_arguments().find(|a| is_meant(a)));
    flag.is_some_and(|flag| flag.get_action().takes_values() && !flag.is_require_equals_set())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Line {
        let args: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Line::read(&crate::cli::command(), &args)
    }

    #[test]
    fn flags_and_their_values_are_no_words() {
        let line = read("get -n team --watch -o wide pods --state-dir=/x -lapp=web web");
        assert_eq!(line, Line { namespace: "team".into(), state_dir: Some("/x".into()), words: vec!["pods".into(), "web".into()] });
    }

    #[test]
    fn commands_of_commands_are_no_words() {
        assert_eq!(read("--namespace=a rollout status deploy").words, ["deploy"]);
        assert_eq!(read("rollout status deploy status").words, ["deploy", "status"]);
    }
}
