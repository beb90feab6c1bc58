//! `wl events`: what happened, oldest first. Source: k8s.io/kubectl/pkg/cmd/events.

use serde_json::json;

use super::get::hide_managed_fields;
use super::print::flags::{Format, Offer, PrintFlags};
use super::print::gosort;
use super::print::tabwriter::{Growing, TabWriter};
use super::resources::{check_path_segment, fetch_all};
use super::terminal::escape;
use super::{CliError, CliResult, Context, Exit, complete};
use crate::api::tree::Tree;
use crate::api::{Json, shown};
use crate::client::{Ask, WatchEvent, segment};

/// List events
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl events\n  wl events --for pod/web -w\n  wl events -A --types=Warning")]
pub struct Events {
    #[command(flatten)]
    print: PrintFlags,
    /// Only what is about this object: TYPE/NAME
    #[arg(long = "for", default_value = "", hide_default_value = true, value_name = "TYPE/NAME", add = complete::resources())]
    about: String,
    /// Only these types: Normal, Warning
    #[arg(long, value_delimiter = ',')]
    types: Vec<String>,
    /// After the list, print what happens
    #[arg(short = 'w', long)]
    watch: bool,
    /// In all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Without the head line
    #[arg(long)]
    no_headers: bool,
    /// How many objects one answer holds at most
    #[arg(long, default_value_t = 500, value_parser = super::flags::integer, hide_default_value = true)]
    chunk_size: i64,
}

impl Events {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let about = self.field_selector(ctx).await?;
        let format = self.print.format(&ctx.cwd, Offer::Change)?;
        if self.types.iter().any(|t| !t.eq_ignore_ascii_case("normal") && !t.eq_ignore_ascii_case("warning")) {
            return Err(CliError::message("valid --types are Normal or Warning"));
        }
        let path = if self.all_namespaces {
            "/api/v1/events".to_owned()
        } else {
            format!("/api/v1/namespaces/{}/events", segment(ctx.namespace()))
        };
        let query: Vec<(&str, &str)> = about.iter().map(|about| ("fieldSelector", about.as_str())).collect();
        if self.watch { self.follow(ctx, format.as_ref(), &path, &query).await } else { self.list(ctx, format.as_ref(), &path, &query).await }
    }

    /// What `--for` says, in the server's words.
    async fn field_selector(&self, ctx: &mut Context) -> Result<Option<String>, CliError> {
        if self.about.is_empty() {
            return Ok(None);
        }
        let parts: Vec<&str> = self.about.split('/').collect();
        let (kind, name) = match parts[..] {
            [kind, name] => (kind.to_lowercase(), name),
            [_] => return Err(CliError::message("--for must be in resource/name form")),
            _ => return Err(CliError::message("arguments in resource/name form may not have more than one slash")),
        };
        check_path_segment(name)?;
        let discovery = ctx.client().await?.discovery().await?;
        let found = discovery.lookup(&kind).ok_or_else(|| CliError::no_resource_match(&kind))?.found;
        Ok(Some(format!(
            "involvedObject.kind={},involvedObject.apiVersion={},involvedObject.name={name}",
            found.kind,
            found.api_version()
        )))
    }

    fn wants(&self, event: &Json) -> bool {
        self.types.is_empty() || self.types.iter().any(|t| t.eq_ignore_ascii_case(event.text("type")))
    }

    async fn list(&self, ctx: &mut Context, format: Option<&Format>, path: &str, query: &[(&str, &str)]) -> CliResult {
        let client = ctx.client().await?;
        let mut events = fetch_all(&client, path, query, self.chunk_size).await?;
        events.retain(|event| self.wants(event));
        if events.is_empty() {
            let place = if self.all_namespaces { ".".to_owned() } else { format!(" in {} namespace.", ctx.namespace()) };
            ctx.err.line(&format!("No events found{place}"));
            return Ok(Exit::Success);
        }
        gosort::sort(&mut events, |a, b| seen(a) < seen(b));
        match format {
            // A list has no name.
            Some(Format::Name) => {}
            Some(format) => {
                let items: Vec<Json> = events.into_iter().map(|event| self.named(event, format)).collect();
                let list = json!({"apiVersion": "v1", "kind": "EventList", "metadata": {}, "items": items});
                let (text, result) = format.render(&list, true);
                ctx.out.raw(text.as_bytes());
                result?;
            }
            None => {
                let mut rows = if self.no_headers { Vec::new() } else { vec![self.heads()] };
                rows.extend(events.iter().map(|event| self.row(ctx, event)));
                let text: String = rows.iter().map(|row| row.join("\t") + "\n").collect();
                ctx.out.text(&TabWriter::TABLE.format(&text));
            }
        }
        Ok(Exit::Success)
    }

    /// What is there, and then what happens, until nobody reads any more.
    async fn follow(&self, ctx: &mut Context, format: Option<&Format>, path: &str, query: &[(&str, &str)]) -> CliResult {
        let mut table = Growing::default();
        let mut heads = !self.no_headers;
        let mut version: Option<String> = None;
        loop {
            let client = ctx.client().await?;
            let mut ask = query.iter().fold(Ask::get(path).query("watch", "true"), |ask, (key, value)| ask.query(key, *value));
            if let Some(version) = &version {
                ask = ask.query("resourceVersion", version.as_str());
            }
            let mut watch = client.watch(ask).await?;
            let mut silent = true;
            while let Some(event) = watch.next().await? {
                silent = false;
                let object = match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => object,
                    // Events go away by themselves after a while; that is no news.
                    WatchEvent::Deleted(object) | WatchEvent::Bookmark(object) => {
                        version = Some(object.resource_version().to_owned());
                        continue;
                    }
                    WatchEvent::Error(status) => return Err(status.into()),
                };
                version = Some(object.resource_version().to_owned());
                let event = object.into_json();
                if !self.wants(&event) {
                    continue;
                }
                match format {
                    Some(format) => {
                        let (text, result) = format.render(&self.named(event, format), true);
                        ctx.out.raw(text.as_bytes());
                        result?;
                    }
                    None => {
                        let mut rows = if std::mem::take(&mut heads) { vec![self.heads()] } else { Vec::new() };
                        rows.push(self.row(ctx, &event));
                        ctx.out.text(&table.rows(&rows));
                    }
                }
                ctx.out.flush();
                if ctx.out.is_broken() {
                    return Ok(Exit::BrokenPipe);
                }
            }
            if silent {
                return Ok(Exit::Success);
            }
        }
    }

    fn named(&self, mut event: Json, format: &Format) -> Json {
        event["apiVersion"] = "v1".into();
        event["kind"] = "Event".into();
        if !self.print.show_managed_fields {
            hide_managed_fields(&mut event, format);
        }
        event
    }

    fn heads(&self) -> Vec<String> {
        let namespace = self.all_namespaces.then_some("NAMESPACE");
        let heads = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
        namespace.into_iter().chain(heads).map(str::to_owned).collect()
    }

    fn row(&self, ctx: &Context, event: &Json) -> Vec<String> {
        let about = event.field("involvedObject");
        let namespace = self.all_namespaces.then(|| escape(event.field("metadata").text("namespace")));
        let cells = [
            shown::event_age(event, ctx.now()),
            escape(event.text("type")),
            escape(event.text("reason")),
            escape(&format!("{}/{}", about.text("kind"), about.text("name"))),
            escape(event.text("message").trim()),
        ];
        namespace.into_iter().chain(cells).collect()
    }
}

/// When it was seen last.
fn seen(event: &Json) -> Option<jiff::Timestamp> {
    let series = event.field("series");
    let time = match (series.is_null(), event.text("lastTimestamp")) {
        (false, _) => series.text("lastObservedTime"),
        (true, "") => event.text("eventTime"),
        (true, last) => last,
    };
    time.parse().ok()
}
