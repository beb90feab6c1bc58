//! `wl logs`: what containers have written. Source: k8s.io/kubectl/pkg/cmd/logs/logs.go,
//! k8s.io/kubectl/pkg/polymorphichelpers/logsforobject.go.

use std::time::Duration;

use bytes::BytesMut;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use super::resources::Selection;
use super::{CliError, CliResult, Context, Exit};
use crate::api::status::quote;
use crate::api::{Json, Object};
use crate::client::{Ask, Client, Lines};

const USAGE: &str = "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the \
                     logs command";

/// Print what containers have written
#[derive(clap::Args)]
pub struct Logs {
    #[arg(value_name = "POD | TYPE/NAME", add = super::complete::pods())]
    args: Vec<String>,
    /// Go on while the container runs
    #[arg(short, long)]
    follow: bool,
    /// The attempt before the one that runs
    #[arg(short, long)]
    previous: bool,
    /// Which container
    #[arg(short, long, add = super::complete::containers())]
    container: Option<String>,
    /// All containers of the pods
    #[arg(long)]
    all_containers: bool,
    /// All pods of a workload
    #[arg(long)]
    all_pods: bool,
    /// Pods with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Only what is newer than this (5m)
    #[arg(long, value_parser = super::flags::duration)]
    since: Option<Duration>,
    /// Only what was written after this time (RFC 3339)
    #[arg(long)]
    since_time: Option<String>,
    /// Only so many lines from the end (-1: all)
    #[arg(long, default_value_t = -1, value_parser = super::flags::integer, hide_default_value = true)]
    tail: i64,
    /// With the time of each line
    #[arg(long)]
    timestamps: bool,
    /// With pod and container before each line
    #[arg(long)]
    prefix: bool,
    /// So many bytes at most (0: all)
    #[arg(long, default_value_t = 0, value_parser = super::flags::integer, hide_default_value = true)]
    limit_bytes: i64,
    /// So many logs at once when following
    #[arg(long, default_value_t = 5, value_parser = super::flags::integer, hide_default_value = true)]
    max_log_requests: i64,
    /// Go on with the others when one cannot be read
    #[arg(long)]
    ignore_errors: bool,
}

/// One container whose log is wanted.
struct Source {
    namespace: String,
    pod: String,
    container: String,
    /// What stands before each line; empty: nothing.
    prefix: String,
}

impl Logs {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        self.check()?;
        let client = ctx.client().await?;
        let (pods, several) = self.pods(ctx, &client).await?;
        let mut sources = Vec::new();
        for pod in &pods {
            sources.extend(self.sources(ctx, pod, several || pods.len() > 1)?);
        }
        if self.follow && sources.len() as i64 > self.max_log_requests {
            return Err(CliError::message(format!(
                "you are attempting to follow {} log streams, but maximum allowed concurrency is {}, use --max-log-requests to \
                 increase the limit",
                sources.len(),
                self.max_log_requests
            )));
        }
        if self.follow && sources.len() > 1 {
            return self.follow_all(ctx, &client, sources).await;
        }
        for source in &sources {
            if let Err(error) = self.one(ctx, &client, source).await {
                if !self.ignore_errors {
                    return Err(error);
                }
                ctx.err.line(&format!("error: {}", error.text()));
            }
        }
        Ok(Exit::Success)
    }

    fn check(&self) -> Result<(), CliError> {
        let selects = self.selector.as_ref().is_some_and(|s| !s.is_empty());
        if self.args.is_empty() && !selects {
            return Err(CliError::Usage(USAGE.into()));
        }
        if selects && !self.args.is_empty() {
            return Err(CliError::Usage("only a selector (-l) or a POD name is allowed".into()));
        }
        if self.args.len() > 2 || (self.args.len() == 2 && self.container.is_some()) {
            return Err(CliError::Usage(USAGE.into()));
        }
        if self.since.is_some() && self.since_time.is_some() {
            return Err(CliError::message("at most one of `sinceTime` or `sinceSeconds` may be specified"));
        }
        if self.all_containers && self.container.is_some() {
            return Err(CliError::message("--all-containers=true should not be specified with container name"));
        }
        if self.tail < -1 {
            return Err(CliError::message("--tail must be greater than or equal to -1"));
        }
        if let Some(time) = &self.since_time
            && time.parse::<jiff::Timestamp>().is_err() {
                return Err(CliError::message(format!("invalid --since-time {}: it is no RFC 3339 time", quote(time))));
            }
        Ok(())
    }

    /// The pods that are meant, and whether there may be several.
    async fn pods(&self, ctx: &mut Context, client: &Client) -> Result<(Vec<Object>, bool), CliError> {
        if let Some(selector) = self.selector.as_ref().filter(|s| !s.is_empty()) {
            let namespace = ctx.namespace().to_owned();
            let pods = list(client, &namespace, selector).await?;
            if pods.is_empty() {
                ctx.err.line(&format!("No resources found in {namespace} namespace."));
            }
            return Ok((pods, true));
        }
        let named = self.args[0].clone();
        let argument = if named.contains('/') { named.clone() } else { format!("pods/{named}") };
        let selection = Selection { args: vec![argument], ..Selection::default() };
        let mut found = selection.fetch(ctx).await?;
        if let Some(error) = CliError::many(std::mem::take(&mut found.errors)) {
            return Err(match error.status() {
                Some(status) if status.reason == "NotFound" => CliError::message(format!(
                    "error from server (NotFound): {} in namespace {}",
                    status.message,
                    quote(ctx.namespace())
                )),
                _ => error,
            });
        }
        let Some(info) = found.infos.into_iter().next() else { return Ok((Vec::new(), false)) };
        if info.found.kind == "Pod" && info.found.group.is_empty() {
            return Ok((vec![info.object()], false));
        }
        let selector = super::session::pod::labels(&info, "cannot get the logs from")?;
        let mut pods = list(client, &info.namespace, &selector).await?;
        if pods.is_empty() {
            let text = format!("timed out waiting for the condition: no pod of {} is there", info.shown());
            return Err(CliError::message(text));
        }
        // The one that says most: running before ended, ready before not, older before newer.
        pods.sort_by_key(|pod| {
            let running = pod.str_at("/status/phase") == Some("Running");
            (!running, !is_ready(pod), pod.creation_timestamp(), pod.name().to_owned())
        });
        if self.all_pods {
            return Ok((pods, true));
        }
        if pods.len() > 1 {
            ctx.err.line(&format!("Found {} pods, using pod/{}", pods.len(), pods[0].name()));
        }
        pods.truncate(1);
        Ok((pods, false))
    }

    fn sources(&self, ctx: &mut Context, pod: &Object, several: bool) -> Result<Vec<Source>, CliError> {
        let names = |pointer: &str| -> Vec<String> {
            let list = pod.at(pointer).and_then(Json::as_array);
            list.into_iter().flatten().filter_map(|c| Some(c.get("name")?.as_str()?.to_owned())).collect()
        };
        let (init, main, extra) = (names("/spec/initContainers"), names("/spec/containers"), names("/spec/ephemeralContainers"));
        let all: Vec<String> = init.iter().chain(&main).chain(&extra).cloned().collect();
        let wanted = self.container.clone().or_else(|| self.args.get(1).cloned());
        let chosen = match wanted {
            _ if self.all_containers => all,
            Some(name) if all.contains(&name) => vec![name],
            Some(name) => {
                return Err(CliError::message(format!(
                    "container {name} is not valid for pod {} out of: {}",
                    pod.name(),
                    all.join(", ")
                )));
            }
            None => {
                let default = pod.annotation("kubectl.kubernetes.io/default-container").map(str::to_owned);
                let default = default.filter(|d| all.contains(d));
                if default.is_none() && all.len() > 1 && !several {
                    ctx.err.line(&format!(
                        "Defaulted container {} out of: {}",
                        quote(main.first().map_or("", String::as_str)),
                        shown(&main, &init, &extra)
                    ));
                }
                default.or_else(|| main.first().cloned()).into_iter().collect()
            }
        };
        let prefixed = self.prefix;
        Ok(chosen
            .into_iter()
            .map(|container| Source {
                namespace: pod.namespace().to_owned(),
                pod: pod.name().to_owned(),
                prefix: if prefixed { format!("[pod/{}/{container}] ", pod.name()) } else { String::new() },
                container,
            })
            .collect())
    }

    fn ask(&self, source: &Source, several: bool) -> Ask {
        let path = format!("/api/v1/namespaces/{}/pods/{}/log", source.namespace, crate::client::segment(&source.pod));
        let mut ask = Ask::get(path).query("container", source.container.clone());
        for (name, on) in [("follow", self.follow), ("previous", self.previous), ("timestamps", self.timestamps)] {
            if on {
                ask = ask.query(name, "true");
            }
        }
        if let Some(since) = self.since {
            ask = ask.query("sinceSeconds", since.as_secs().max(1).to_string());
        }
        if let Some(time) = &self.since_time {
            ask = ask.query("sinceTime", time.clone());
        }
        // Of many pods only the end is shown, unless more was asked for.
        let tail = if self.tail == -1 && several && self.selector.is_some() { 10 } else { self.tail };
        if tail >= 0 {
            ask = ask.query("tailLines", tail.to_string());
        }
        if self.limit_bytes > 0 {
            ask = ask.query("limitBytes", self.limit_bytes.to_string());
        }
        ask
    }

    async fn one(&self, ctx: &mut Context, client: &Client, source: &Source) -> Result<(), CliError> {
        let mut lines = client.lines(self.ask(source, self.selector.is_some())).await?;
        loop {
            // What is there is shown before waiting for more.
            let next = match lines.next().now_or_never() {
                Some(next) => next?,
                None => {
                    ctx.out.flush();
                    lines.next().await?
                }
            };
            let Some(line) = next else { return Ok(()) };
            print(ctx, &source.prefix, &line);
            if ctx.out.is_broken() {
                return Ok(());
            }
        }
    }

    async fn follow_all(&self, ctx: &mut Context, client: &Client, sources: Vec<Source>) -> CliResult {
        let mut running = FuturesUnordered::new();
        for source in sources {
            match client.lines(self.ask(&source, true)).await {
                Ok(lines) => running.push(next(lines, source)),
                Err(error) if self.ignore_errors => ctx.err.line(&format!("error: {error}")),
                Err(error) => return Err(error.into()),
            }
        }
        while let Some((lines, source, line)) = running.next().await {
            match line {
                Ok(Some(line)) => {
                    print(ctx, &source.prefix, &line);
                    ctx.out.flush();
                    running.push(next(lines, source));
                }
                Ok(None) => {}
                Err(error) if self.ignore_errors => ctx.err.line(&format!("error: {error}")),
                Err(error) => return Err(error.into()),
            }
            if ctx.out.is_broken() {
                break;
            }
        }
        Ok(Exit::Success)
    }
}

async fn next(mut lines: Lines, source: Source) -> (Lines, Source, Result<Option<BytesMut>, crate::client::ClientError>) {
    let line = lines.next().await;
    (lines, source, line)
}

/// Bytes as they are into a file or pipe; on a terminal control characters become visible.
pub fn print(ctx: &mut Context, prefix: &str, line: &[u8]) {
    ctx.out.text(prefix);
    if ctx.out.is_terminal() {
        ctx.out.text(&String::from_utf8_lossy(line));
    } else {
        ctx.out.raw(line);
    }
}

fn shown(main: &[String], init: &[String], extra: &[String]) -> String {
    let parts = main
        .iter()
        .cloned()
        .chain(extra.iter().map(|n| format!("{n} (ephem)")))
        .chain(init.iter().map(|n| format!("{n} (init)")));
    parts.collect::<Vec<_>>().join(", ")
}

fn is_ready(pod: &Object) -> bool {
    let conditions = pod.at("/status/conditions").and_then(Json::as_array);
    conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

async fn list(client: &Client, namespace: &str, selector: &str) -> Result<Vec<Object>, CliError> {
    let ask = Ask::get(format!("/api/v1/namespaces/{namespace}/pods")).query("labelSelector", selector);
    let mut list = client.send(ask).await?.json()?;
    let Json::Array(items) = list["items"].take() else { return Ok(Vec::new()) };
    Ok(items.into_iter().map(Object::new).collect())
}

