//! `get -o json`, `yaml`, `name` and templates: the objects themselves, one alone or a `List`.

use serde_json::json;

use super::Get;
use crate::api::Json;
use crate::cli::print::flags::Format;
use crate::cli::resources::Info;
use crate::cli::{CliError, CliResult, Context, Exit};

pub async fn run(get: &Get, ctx: &mut Context, format: &Format) -> CliResult {
    let mut found = get.selection(false).fetch(ctx).await?;
    if get.ignore_not_found {
        found.errors.retain(|e| !e.is_not_found());
    }
    let mut errors = found.errors;
    if found.single && !errors.is_empty() {
        return CliError::many(errors).map_or(Ok(Exit::Success), Err);
    }
    let mut items: Vec<Json> = found.infos.into_iter().flat_map(flatten).collect();
    if get.ignore_not_found && items.is_empty() && (found.single || !errors.is_empty()) {
        return CliError::many(errors).map_or(Ok(Exit::Success), Err);
    }
    if !get.print.show_managed_fields {
        items.iter_mut().for_each(|item| hide_managed_fields(item, format));
    }
    let tree = match items.pop() {
        Some(item) if found.single && items.is_empty() => item,
        last => {
            items.extend(last);
            if let Some(path) = &get.sort_by {
                items = super::sort::objects(items, path)?;
            }
            json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
        }
    };
    let (text, result) = format.render(&tree, !get.no_headers);
    ctx.out.raw(text.as_bytes());
    errors.extend(result.err());
    CliError::many(errors).map_or(Ok(Exit::Success), Err)
}

/// The items of a list, each with its kind and version; an object as it is.
fn flatten(info: Info) -> Vec<Json> {
    if !info.name.is_empty() {
        return vec![info.object];
    }
    let mut list = info.object;
    let Some(Json::Array(items)) = list.get_mut("items").map(Json::take) else { return vec![list] };
    let named = |mut item: Json| {
        if let Some(map) = item.as_object_mut() {
            map.entry("apiVersion").or_insert_with(|| info.found.api_version().into());
            map.entry("kind").or_insert_with(|| info.found.kind.as_str().into());
        }
        item
    };
    items.into_iter().map(named).collect()
}

/// `managedFields` are noise in JSON and YAML; other formats get what they ask for.
/// Source: k8s.io/cli-runtime/pkg/printers/managedfields.go.
pub fn hide_managed_fields(item: &mut Json, format: &Format) {
    match format {
        Format::Json | Format::Yaml | Format::Kyaml => {
            if let Some(metadata) = item.get_mut("metadata").and_then(Json::as_object_mut) {
                metadata.remove("managedFields");
            }
        }
        Format::Table { .. }
        | Format::Name
        | Format::JsonPath(_)
        | Format::JsonPathAsJson(_)
        | Format::GoTemplate(_)
        | Format::Columns(_) => {}
    }
}
