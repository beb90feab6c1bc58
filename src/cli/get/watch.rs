//! `get -w`: what is there, then every change, in columns that keep their widths.

use serde_json::json;

use super::human::{Columns, Layout, as_table, list};
use super::{Get, generic};
use crate::api::Json;
use crate::cli::print::flags::Format;
use crate::cli::print::tabwriter::Growing;
use crate::cli::resources::{Info, TABLE, Targets};
use crate::cli::{CliError, CliResult, Context, Exit};
use crate::client::{Ask, Watch, WatchEvent};

pub async fn run(get: &Get, ctx: &mut Context, format: &Format) -> CliResult {
    if matches!(get.selection(false).targets(ctx).await?, Targets::Lists(types) if types.len() > 1) {
        return Err(CliError::message("you may only specify a single resource type"));
    }
    let found = get.selection(format.is_table() && get.server_print).fetch(ctx).await?;
    if let Some(error) = CliError::many(found.errors) {
        return Err(error);
    }
    let mut infos = found.infos;
    if infos.windows(2).any(|pair| pair[0].found != pair[1].found) {
        return Err(CliError::message(
            "watch is only supported on individual resources and resource collections - more than 1 resource was found",
        ));
    }
    let Some(mut info) = infos.pop() else { return Ok(Exit::Success) };
    infos.push(info.clone());
    let mut printer = Printer::new(get, format, &info);
    if !get.watch_only {
        for one in &infos {
            printer.answer(ctx, &one.object, "ADDED")?;
        }
    }
    // A watch of one object begins with what is there already.
    let mut skip = !info.name.is_empty();
    loop {
        if ctx.out.is_broken() {
            return Ok(Exit::BrokenPipe);
        }
        ctx.out.flush();
        let client = ctx.client().await?;
        let mut watch = client.watch(ask(get, &info, format.is_table() && get.server_print)).await?;
        ctx.warn_all(watch.warnings());
        let limit = ctx.flags.request_timeout.filter(|limit| !limit.is_zero());
        let all = events(ctx, &mut watch, &mut printer, &mut skip);
        let ended = match limit {
            Some(limit) => tokio::time::timeout(limit, all).await,
            None => Ok(all.await),
        };
        // A watch that lasts as long as a request may is over, and that is no error.
        let Ok(ended) = ended else { return Ok(Exit::Success) };
        match ended? {
            // The server ends watches now and then; the next one goes on from the last version seen.
            Some(version) => info.object["metadata"]["resourceVersion"] = version.into(),
            None => return Ok(Exit::Success),
        }
    }
}

fn ask(get: &Get, info: &Info, table: bool) -> Ask {
    let version = if info.name.is_empty() {
        info.object.pointer("/metadata/resourceVersion").and_then(Json::as_str).unwrap_or("0")
    } else {
        "0"
    };
    let mut ask = Ask::get(info.found.path(&info.namespace, "")).query("watch", "true").query("resourceVersion", version);
    if table {
        ask = ask.accept(TABLE);
    }
    if !get.selector.is_empty() {
        ask = ask.query("labelSelector", get.selector.as_str());
    }
    if info.name.is_empty() {
        if !get.field_selector.is_empty() {
            ask = ask.query("fieldSelector", get.field_selector.as_str());
        }
    } else {
        ask = ask.query("fieldSelector", format!("metadata.name={}", info.name));
    }
    ask
}

/// Prints events until the watch ends. The version to go on from; `None`: the end for good.
async fn events(
    ctx: &mut Context,
    watch: &mut Watch,
    printer: &mut Printer<'_>,
    skip: &mut bool,
) -> Result<Option<String>, CliError> {
    let mut version = None;
    while let Some(event) = watch.next().await? {
        let (kind, object) = match event {
            WatchEvent::Added(object) => ("ADDED", object),
            WatchEvent::Modified(object) => ("MODIFIED", object),
            WatchEvent::Deleted(object) => ("DELETED", object),
            WatchEvent::Bookmark(object) => {
                version = Some(object.resource_version().to_owned());
                continue;
            }
            WatchEvent::Error(status) => return Err(status.into()),
        };
        let newest = version_of(object.json());
        if std::mem::take(skip) && !printer.get.watch_only {
            version = newest.or(version);
            continue;
        }
        version = newest.or(version);
        printer.answer(ctx, object.json(), kind)?;
        ctx.out.flush();
        if ctx.out.is_broken() {
            return Ok(None);
        }
    }
    Ok(version)
}

fn version_of(answer: &Json) -> Option<String> {
    let own = answer.pointer("/metadata/resourceVersion").and_then(Json::as_str).filter(|v| !v.is_empty());
    let row = list(answer, "rows").first().and_then(|r| r.pointer("/object/metadata/resourceVersion")?.as_str());
    own.or(row).map(str::to_owned)
}

struct Printer<'a> {
    get: &'a Get,
    format: &'a Format,
    layout: Layout,
    columns: Option<Columns>,
    table: Growing,
    definitions: Json,
}

impl<'a> Printer<'a> {
    fn new(get: &'a Get, format: &'a Format, info: &Info) -> Self {
        let layout = Layout {
            wide: matches!(format, Format::Table { wide: true }),
            heads: !get.no_headers,
            namespace: get.all_namespaces && info.found.namespaced,
            kind: get.show_kind.then(|| info.found.singular_qualified()),
            label_columns: get.label_columns.clone(),
            show_labels: get.show_labels,
        };
        Printer { get, format, layout, columns: None, table: Growing::default(), definitions: Json::Null }
    }

    fn answer(&mut self, ctx: &mut Context, answer: &Json, event: &str) -> Result<(), CliError> {
        if self.format.is_table() {
            self.table(ctx, answer, event);
            return Ok(());
        }
        let items: Vec<Json> = match answer.get("items").and_then(Json::as_array) {
            Some(items) => items.clone(),
            None => vec![answer.clone()],
        };
        for mut item in items {
            if !self.get.print.show_managed_fields {
                generic::hide_managed_fields(&mut item, self.format);
            }
            let mut text = String::new();
            let (yaml, shown) = (matches!(self.format, Format::Yaml), &item);
            let tree = if self.get.output_watch_events { json!({"type": event, "object": shown}) } else { item };
            if yaml {
                text.push_str("---\n");
            }
            let (body, result) = self.format.render(&tree, std::mem::take(&mut self.layout.heads));
            text.push_str(&body);
            ctx.out.raw(text.as_bytes());
            result?;
        }
        Ok(())
    }

    fn table(&mut self, ctx: &mut Context, answer: &Json, event: &str) {
        let mut table = as_table(answer, ctx.now());
        if list(&table, "columnDefinitions").is_empty() {
            table["columnDefinitions"] = self.definitions.clone();
        } else {
            self.definitions = table["columnDefinitions"].clone();
        }
        let columns = Columns::of(&table, &self.layout);
        let mut rows: Vec<Vec<String>> = Vec::new();
        let events = self.get.output_watch_events;
        let with_event = |head: &str, mut row: Vec<String>| {
            if events {
                // As wide as the longest of them (`MODIFIED`).
                row.insert(0, format!("{head:<8}"));
            }
            row
        };
        if list(&table, "rows").is_empty() {
            return;
        }
        if std::mem::take(&mut self.layout.heads) {
            rows.push(with_event("EVENT", columns.heads(&self.layout)));
        }
        for row in list(&table, "rows") {
            rows.push(with_event(event, columns.row(row, &self.layout)));
        }
        self.columns = Some(columns);
        ctx.out.text(&self.table.rows(&rows));
    }
}
