//! `get` for people: the server's tables, laid out.
//! Source: k8s.io/kubectl/pkg/cmd/get (`Run`), k8s.io/cli-runtime/pkg/printers/tableprinter.go.

use jiff::Timestamp;

use super::Get;
use crate::api::{Json, JsonMap, shown};
use crate::cli::print::table::cell;
use crate::cli::print::tabwriter::TabWriter;
use crate::cli::resources::Info;
use crate::cli::{CliError, CliResult, Context, Exit};

/// How a table is laid out.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    pub wide: bool,
    pub heads: bool,
    /// `NAMESPACE` in front.
    pub namespace: bool,
    /// What stands before names: `pod`, `deployment.apps`.
    pub kind: Option<String>,
    pub label_columns: Vec<String>,
    pub show_labels: bool,
}

pub async fn run(get: &Get, ctx: &mut Context, wide: bool) -> CliResult {
    let mut found = get.selection(get.server_print).fetch(ctx).await?;
    if get.ignore_not_found {
        found.errors.retain(|e| !e.is_not_found());
    }
    let several = found.infos.windows(2).any(|pair| pair[0].found != pair[1].found);
    let namespaced = !get.all_namespaces && found.infos.iter().all(|i| i.found.namespaced);
    let mut written = false;
    for group in groups(found.infos) {
        let layout = Layout {
            wide,
            heads: !get.no_headers,
            namespace: get.all_namespaces && group[0].found.namespaced,
            kind: (get.show_kind || several).then(|| group[0].found.singular_qualified()),
            label_columns: get.label_columns.clone(),
            show_labels: get.show_labels,
        };
        let text = group_text(get, &group, &layout, ctx.now());
        if text.is_empty() {
            continue;
        }
        if written && !get.no_headers {
            ctx.out.raw(b"\n");
        }
        ctx.out.text(&text);
        written = true;
    }
    if !written && !get.ignore_not_found && found.errors.is_empty() {
        let text = if namespaced {
            format!("No resources found in {} namespace.", ctx.namespace())
        } else {
            "No resources found".to_owned()
        };
        ctx.err.line(&text);
    }
    CliError::many(found.errors).map_or(Ok(Exit::Success), Err)
}

/// Neighbours of one resource are one table.
fn groups(infos: Vec<Info>) -> Vec<Vec<Info>> {
    let mut groups: Vec<Vec<Info>> = Vec::new();
    for info in infos {
        match groups.last_mut() {
            Some(group) if group[0].found == info.found => group.push(info),
            _ => groups.push(vec![info]),
        }
    }
    groups
}

/// The text of one table; nothing where it has no rows, or cannot be sorted as asked.
fn group_text(get: &Get, group: &[Info], layout: &Layout, now: Timestamp) -> String {
    let mut text = String::new();
    let mut heads = layout.heads;
    for info in group {
        let table = as_table(&info.object, now);
        let mut rows: Vec<&Json> = list(&table, "rows").iter().collect();
        if let Some(path) = get.sort_by.as_ref().filter(|_| rows.len() > 1) {
            match super::sort::rows(rows, path) {
                Ok(sorted) => rows = sorted,
                Err(_) => return String::new(),
            }
        }
        if rows.is_empty() {
            continue;
        }
        let columns = Columns::of(&table, layout);
        if std::mem::take(&mut heads) {
            text.push_str(&columns.heads(layout).join("\t"));
            text.push('\n');
        }
        for row in rows {
            text.push_str(&columns.row(row, layout).join("\t"));
            text.push('\n');
        }
    }
    if text.is_empty() { text } else { TabWriter::TABLE.format(&text) }
}

/// A table from a server that makes none: name and age are all that is known.
pub fn as_table(answer: &Json, now: Timestamp) -> Json {
    if answer.get("kind").and_then(Json::as_str) == Some("Table") {
        return answer.clone();
    }
    let items: Vec<Json> = match answer.get("items").and_then(Json::as_array) {
        Some(items) => items.clone(),
        None => vec![answer.clone()],
    };
    let rows: Vec<Json> = items
        .iter()
        .map(|item| {
            let name = item.pointer("/metadata/name").cloned().unwrap_or(Json::Null);
            let made = item.pointer("/metadata/creationTimestamp").and_then(Json::as_str).unwrap_or("");
            serde_json::json!({"cells": [name, shown::since(made, now)], "object": item})
        })
        .collect();
    serde_json::json!({
        "kind": "Table", "rows": rows,
        "columnDefinitions": [
            {"name": "Name", "type": "string", "format": "name", "priority": 0},
            {"name": "Age", "type": "string", "priority": 0},
        ],
    })
}

pub fn list<'a>(tree: &'a Json, key: &str) -> &'a [Json] {
    tree.get(key).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// Which columns are shown, and which holds the name.
pub struct Columns {
    shown: Vec<(usize, String)>,
    name: Option<usize>,
}

impl Columns {
    pub fn of(table: &Json, layout: &Layout) -> Self {
        let mut columns = Columns { shown: Vec::new(), name: None };
        for (i, column) in list(table, "columnDefinitions").iter().enumerate() {
            let text = |key: &str| column.get(key).and_then(Json::as_str).unwrap_or("");
            let priority = column.get("priority").and_then(Json::as_i64).unwrap_or(0);
            if priority != 0 && !layout.wide {
                continue;
            }
            if text("format") == "name" && text("type") == "string" && columns.name.is_none() {
                columns.name = Some(i);
            }
            columns.shown.push((i, text("name").to_uppercase()));
        }
        columns
    }

    pub fn heads(&self, layout: &Layout) -> Vec<String> {
        let mut heads = Vec::new();
        if layout.namespace {
            heads.push("NAMESPACE".to_owned());
        }
        heads.extend(self.shown.iter().map(|(_, name)| name.clone()));
        for label in &layout.label_columns {
            heads.push(label.rsplit('/').next().unwrap_or(label).to_uppercase());
        }
        if layout.show_labels {
            heads.push("LABELS".to_owned());
        }
        heads
    }

    pub fn row(&self, row: &Json, layout: &Layout) -> Vec<String> {
        let metadata = row.pointer("/object/metadata");
        let labels = metadata.and_then(|m| m.get("labels")).and_then(Json::as_object);
        let mut cells = Vec::new();
        if layout.namespace {
            let namespace = metadata.and_then(|m| m.get("namespace")).and_then(Json::as_str);
            cells.push(cell(namespace.unwrap_or("")));
        }
        let values = list(row, "cells");
        for (i, _) in &self.shown {
            let value = cell(&values.get(*i).map_or_else(String::new, value_text));
            match layout.kind.as_ref().filter(|_| self.name == Some(*i)) {
                Some(kind) => cells.push(format!("{kind}/{value}")),
                None => cells.push(value),
            }
        }
        for name in &layout.label_columns {
            let value = labels.and_then(|l| l.get(name)).and_then(Json::as_str);
            cells.push(cell(value.unwrap_or("")));
        }
        if layout.show_labels {
            cells.push(cell(&labels_text(labels)));
        }
        cells
    }
}

/// A cell without a value is empty (k8s.io/cli-runtime/pkg/printers/tableprinter.go: printRows).
fn value_text(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        value => crate::api::go::display(value),
    }
}

/// `a=b,c=d`, or `<none>`.
pub fn labels_text(labels: Option<&JsonMap>) -> String {
    let shown: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or("")))
        .collect();
    if shown.is_empty() { "<none>".into() } else { shown.join(",") }
}
