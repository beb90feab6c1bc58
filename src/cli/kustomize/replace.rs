//! Replacements: a field's value is put into other fields.
//! Source: sigs.k8s.io/kustomize/api/filters/replacement/replacement.go, kyaml/yaml/match.go, kyaml/utils/pathsplitter.go.

use std::path::Path;

use regex_lite::Regex;
use serde_json::json;

use super::Resource;
use super::file::{self, FieldOptions, Ids, Replacement, Source, Target};
use super::patch::id_text;
use crate::api::selector::LabelSelector;
use crate::api::status::quote;
use crate::api::{Json, JsonMap};
use crate::cli::CliError;
use crate::cli::print::yaml::to_yaml;
use crate::manifest;

/// What is meant where no field is named.
const NAME: &str = "metadata.name";

/// Carries the replacements out, one after the other.
pub fn apply(root: &Path, all: &[file::ReplacementEntry], resources: &mut [Resource]) -> Result<(), CliError> {
    let mut replacements = Vec::new();
    for entry in all {
        replacements.extend(read(root, entry, all)?);
    }
    for replacement in &replacements {
        let Some(targets) = replacement.targets.as_ref().filter(|_| replacement.value.is_some() || replacement.source.is_some()) else {
            return Err(CliError::message("replacements must specify a source and at least one target"));
        };
        let value = value_of(replacement, resources)?;
        for target in targets {
            put(&value, target, resources)?;
        }
    }
    Ok(())
}

/// The replacements of an entry: its own, or those of its file.
fn read(root: &Path, entry: &file::ReplacementEntry, all: &[file::ReplacementEntry]) -> Result<Vec<Replacement>, CliError> {
    let wrong = |why: &str| {
        let entries: Vec<Json> = all.iter().map(|entry| entry.json.clone()).collect();
        let config = to_yaml(&json!({ "Replacements": entries }));
        CliError::message(format!("trouble configuring builtin ReplacementTransformer with config: `\n{config}`: {why}"))
    };
    if entry.path.is_empty() {
        return Ok(vec![entry.own.clone()]);
    }
    if entry.own.source.is_some() || entry.own.targets.as_ref().is_some_and(|targets| !targets.is_empty()) {
        return Err(wrong("cannot specify both path and inline replacement"));
    }
    let bytes = std::fs::read(root.join(&entry.path)).map_err(|e| {
        let (full, why) = (super::cleaned(&root.join(&entry.path)), crate::cli::print::flags::go_error(&e));
        wrong(&format!("evalsymlink failure on '{0}' : lstat {0}: {why}", full.display()))
    })?;
    match manifest::first_document(&bytes).map_err(|why| wrong(&format!("error converting YAML to JSON: yaml: {why}")))?.tree {
        Json::Array(items) => items.iter().map(file::replacement_of_file).collect(),
        tree @ Json::Object(_) => Ok(vec![file::replacement_of_file(&tree)?]),
        _ => Err(wrong("unsupported replacement type encountered within replacement path: invalid")),
    }
}

/// What is to be put into the targets.
fn value_of(replacement: &Replacement, resources: &[Resource]) -> Result<Json, CliError> {
    let source = match (&replacement.value, &replacement.source) {
        (Some(_), Some(_)) => return Err(CliError::message("value and resource selectors are mutually exclusive")),
        (Some(value), None) => return Ok(value.as_str().into()),
        (None, Some(source)) => source,
        (None, None) => return Ok(Json::Null),
    };
    let mut found = resources.iter().filter(|resource| ids(resource).any(|id| is_selected(&source.ids, &id)));
    let resource = match (found.next(), found.next()) {
        (Some(resource), None) => resource,
        (None, _) => return Err(CliError::message(format!("nothing selected by {}", shown(source)))),
        (Some(_), Some(_)) => return Err(CliError::message(format!("multiple matches for selector {}", shown(source)))),
    };
    let path = if source.path.is_empty() { NAME } else { &source.path };
    let value = lookup(&resource.tree, &parts(path)).filter(|value| !is_nothing(value)).ok_or_else(|| {
        CliError::message(format!("fieldPath `{path}` is missing for replacement source {}", id_of(&source.ids)))
    })?;
    let Some(options) = source.options.as_ref().filter(|options| !options.delimiter.is_empty()) else { return Ok(value.clone()) };
    let text = scalar(value).ok_or_else(no_text)?;
    let piece = usize::try_from(options.index).ok().and_then(|index| text.split(options.delimiter.as_str()).nth(index));
    let outside = || CliError::message(format!("options.index {} is out of bounds for value {text}", options.index));
    Ok(like(value, piece.ok_or_else(outside)?))
}

/// `ConfigMap.[noVer].[noGrp]/settings.[noNs]:data.x:/(2), create=false`.
fn shown(source: &Source) -> String {
    let mut all = vec![id_of(&source.ids)];
    all.extend(Some(source.path.clone()).filter(|path| !path.is_empty()));
    let options = source.options.as_ref().filter(|options| !options.delimiter.is_empty() || options.create);
    all.extend(options.map(|o| format!("{}({}), create={}", o.delimiter, o.index, o.create)));
    all.join(":")
}

fn id_of(ids: &Ids) -> String {
    id_text(ids.get("kind"), ids.get("version"), ids.get("group"), ids.get("name"), ids.get("namespace"))
}

/// What a resource is called, and once was.
struct Id {
    group: String,
    version: String,
    kind: String,
    namespace: String,
    name: String,
}

fn ids(resource: &Resource) -> impl Iterator<Item = Id> + use<'_> {
    let gvk = resource.object().gvk();
    let now = (resource.namespace().to_owned(), resource.name().to_owned());
    std::iter::once(now).chain(resource.before.iter().cloned()).map(move |(namespace, name)| Id {
        group: gvk.group.clone(),
        version: gvk.version.clone(),
        kind: gvk.kind.clone(),
        namespace,
        name,
    })
}

/// Source: `IsSelectedBy` in sigs.k8s.io/kustomize/kyaml/resid/resid.go.
fn is_selected(wanted: &Ids, id: &Id) -> bool {
    let is = |key: &str, value: &str| wanted.get(key).is_empty() || wanted.get(key) == value;
    let or_default = |namespace: &str| if namespace.is_empty() { "default".to_owned() } else { namespace.to_owned() };
    is("group", &id.group)
        && is("version", &id.version)
        && is("kind", &id.kind)
        && is("name", &id.name)
        && (wanted.get("namespace").is_empty() || or_default(wanted.get("namespace")) == or_default(&id.namespace))
}

/// Puts a value into all fields of a target.
fn put(value: &Json, target: &Target, resources: &mut [Resource]) -> Result<(), CliError> {
    let select = target.select.as_ref().ok_or_else(|| CliError::message("target must specify resources to select"))?;
    let default = [NAME.to_owned()];
    let paths = if target.paths.is_empty() { default.as_slice() } else { target.paths.as_slice() };
    let create = target.options.as_ref().is_some_and(|options| options.create).then_some(value);
    for resource in resources {
        let rejects = |id: &Id| target.reject.iter().any(|ids| ids.is_any() && is_selected(ids, id));
        let is_meant = ids(resource).any(|id| is_selected(select, &id)) && !ids(resource).any(|id| rejects(&id));
        if !is_meant || !has_marks(resource, target, select)? {
            continue;
        }
        for path in paths {
            let action = if create.is_some() { "find or create" } else { "find" };
            let missing = format!("unable to {action} field {} in replacement target", quote(path));
            let mut refused = None;
            let mut set = |field: &mut Json, is_new: bool| {
                if let Err(why) = set(field, is_new, value, target.options.as_ref()) {
                    refused.get_or_insert(why);
                }
            };
            let hits = walk(&mut resource.tree, &parts(path), create, false, &mut set);
            let hits = hits.map_err(|why| CliError::message(format!("{missing}: {why}")))?;
            if let Some(why) = refused {
                return Err(why);
            }
            if hits == 0 {
                return Err(CliError::message(missing));
            }
        }
    }
    Ok(())
}

/// Whether labels and annotations are those that are selected, and none that are rejected.
fn has_marks(resource: &Resource, target: &Target, select: &Ids) -> Result<bool, CliError> {
    let fits = |ids: &Ids| -> Result<bool, CliError> {
        let selector = |key: &str| LabelSelector::parse(ids.get(key)).map_err(CliError::message);
        let (labels, annotations) = (selector("labelSelector")?, selector("annotationSelector")?);
        Ok(labels.matches_map(resource.tree.pointer("/metadata/labels"))
            && annotations.matches_map(resource.tree.pointer("/metadata/annotations")))
    };
    if !fits(select)? {
        return Ok(false);
    }
    for ids in target.reject.iter().filter(|ids| !ids.get("labelSelector").is_empty() || !ids.get("annotationSelector").is_empty()) {
        if fits(ids)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Gives a field the value, or puts it among the pieces of its text. A scalar keeps its type, unless it is new.
fn set(field: &mut Json, is_new: bool, value: &Json, options: Option<&FieldOptions>) -> Result<(), CliError> {
    let Some(old) = scalar(field) else {
        if options.is_some_and(|options| !options.delimiter.is_empty()) {
            return Err(no_text());
        }
        field.clone_from(value);
        return Ok(());
    };
    let mut text = scalar(value).unwrap_or_default();
    if let Some(options) = options.filter(|options| !options.delimiter.is_empty()) {
        let mut pieces: Vec<String> = old.split(options.delimiter.as_str()).map(str::to_owned).collect();
        match usize::try_from(options.index) {
            Err(_) => pieces.insert(0, text),
            Ok(index) if index >= pieces.len() => pieces.push(text),
            Ok(index) => pieces[index] = text,
        }
        text = pieces.join(&options.delimiter);
    }
    *field = match (is_new, &*field) {
        (true, _) => plain(&text),
        (false, Json::String(_)) => text.into(),
        (false, typed) => {
            let read = plain(&text);
            let fits = tag(&read) == tag(typed) || (tag(typed) == "float" && tag(&read) == "int");
            if !fits {
                let (is, wanted) = (tag(&read), tag(typed));
                return Err(CliError::message(format!(
                    "map[string]interface {{}}(nil): yaml: cannot decode !!{is} `{text}` as a !!{wanted}"
                )));
            }
            read
        }
    };
    Ok(())
}

fn no_text() -> CliError {
    CliError::message("delimiter option can only be used with scalar nodes")
}

/// The text of a scalar.
fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Null => Some(String::new()),
        Json::Bool(_) | Json::Number(_) => Some(value.to_string()),
        Json::Array(_) | Json::Object(_) => None,
    }
}

/// A text of the same type as another scalar, if it can be.
fn like(scalar: &Json, text: &str) -> Json {
    if scalar.is_string() { text.into() } else { plain(text) }
}

/// What a text means where it stands without quotes.
fn plain(text: &str) -> Json {
    match serde_yaml::from_str::<Json>(text) {
        Ok(read @ (Json::Null | Json::Bool(_) | Json::Number(_))) if !text.contains(['#', '!', '\n', ':']) => read,
        _ => text.into(),
    }
}

/// YAML's tag of a scalar.
fn tag(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "bool",
        Json::Number(number) if number.is_f64() => "float",
        Json::Number(_) => "int",
        _ => "str",
    }
}

fn is_nothing(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Object(map) => map.is_empty(),
        Json::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The parts of a path: points part them, but not those after `\` and in brackets, which a key loses and an item of a list keeps.
fn parts(path: &str) -> Vec<String> {
    let mut whole: Vec<String> = Vec::new();
    for part in path.split('.') {
        match whole.last_mut().and_then(|last| last.strip_suffix('\\').map(str::to_owned).map(|cut| (last, cut))) {
            Some((last, cut)) => *last = format!("{cut}.{part}"),
            None => whole.push(part.to_owned()),
        }
    }
    let mut parts = Vec::new();
    let mut rest = whole.into_iter();
    while let Some(mut part) = rest.next() {
        if part.starts_with('[') && !part.ends_with(']') {
            for next in rest.by_ref() {
                part = format!("{part}.{next}");
                if next.ends_with(']') {
                    break;
                }
            }
            if !part.contains('=') {
                part = part.trim_matches(['[', ']']).to_owned();
            }
        }
        parts.push(part);
    }
    parts
}

fn is_item(part: &str) -> bool {
    part.starts_with('[') && part.ends_with(']')
}

/// The key and the value of `[key=value]`; the key is empty where items are texts.
fn of_item(part: &str) -> Option<(&str, &str)> {
    part.strip_prefix('[')?.strip_suffix(']')?.split_once('=')
}

fn index(part: &str) -> Option<usize> {
    part.parse().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The one value at a path.
fn lookup<'t>(tree: &'t Json, path: &[String]) -> Option<&'t Json> {
    let Some((part, rest)) = path.split_first() else { return Some(tree) };
    let inner = match (of_item(part), index(part), tree) {
        (Some((key, wanted)), _, Json::Array(items)) => items.iter().find(|item| {
            let value = if key.is_empty() { Some(*item) } else { item.get(key) };
            value.and_then(scalar).is_some_and(|text| text == wanted)
        }),
        (_, Some(at), Json::Array(items)) => items.get(at),
        (_, _, Json::Array(items)) if part == "-" => items.last(),
        (_, _, tree) => tree.get(part),
    }?;
    lookup(inner, rest)
}

/// Calls `visit` with every value at a path, and whether it is new; how many there were. `create`: a value of which kind what is
/// missing is made.
fn walk(
    node: &mut Json,
    path: &[String],
    create: Option<&Json>,
    is_new: bool,
    visit: &mut dyn FnMut(&mut Json, bool),
) -> Result<usize, String> {
    let Some((part, rest)) = path.split_first() else {
        visit(node, is_new);
        return Ok(1);
    };
    if let Some(at) = index(part) {
        let items = list(node)?;
        let is_new = at == items.len() && create.is_some();
        if is_new {
            items.extend(create.map(|value| empty(rest, value)));
        }
        let count = items.len();
        let item = items.get_mut(at).ok_or_else(|| format!("index {at} specified but only {count} elements found"))?;
        return walk(item, rest, create, is_new, visit);
    }
    if is_item(part) {
        let Some((key, pattern)) = of_item(part) else {
            return Err("list path element must contain fieldName=fieldValue for element to match".into());
        };
        let regex = Regex::new(pattern).map_err(|why| format!("error parsing regexp: {why}"))?;
        let items = list(node)?;
        let hits = among(items, key, &regex, rest, create, visit)?;
        if hits > 0 || create.is_none() {
            return Ok(hits);
        }
        items.push(if key.is_empty() { pattern.into() } else { json!({ key: plain(pattern) }) });
        return among(items, key, &regex, rest, create, visit);
    }
    if part == "*" {
        return list(node)?.iter_mut().map(|item| walk(item, rest, create, false, visit)).sum();
    }
    let Json::Object(map) = node else { return Err(wrong_kind("MappingNode", node)) };
    let is_new = !map.contains_key(part);
    if let Some(value) = create.filter(|_| is_new) {
        map.insert(part.clone(), empty(rest, value));
    }
    map.get_mut(part).map_or(Ok(0), |field| walk(field, rest, create, is_new, visit))
}

/// The same with the items of a list of which a field, or which itself, fits a pattern.
fn among(
    items: &mut [Json],
    key: &str,
    regex: &Regex,
    rest: &[String],
    create: Option<&Json>,
    visit: &mut dyn FnMut(&mut Json, bool),
) -> Result<usize, String> {
    // A text has nothing inside.
    let rest = if key.is_empty() { &[] } else { rest };
    let mut hits = 0;
    for item in items {
        let text = if key.is_empty() { scalar(item) } else { item.get(key).and_then(scalar) };
        if text.is_some_and(|text| regex.is_match(&text)) {
            hits += walk(item, rest, create, false, visit)?;
        }
    }
    Ok(hits)
}

fn list(node: &mut Json) -> Result<&mut Vec<Json>, String> {
    match node {
        Json::Array(items) => Ok(items),
        other => Err(wrong_kind("SequenceNode", other)),
    }
}

fn wrong_kind(wanted: &str, node: &Json) -> String {
    let is = match node {
        Json::Object(_) => "MappingNode",
        Json::Array(_) => "SequenceNode",
        _ => "ScalarNode",
    };
    format!("wrong node kind: expected {wanted} but got {is}: node contents:\n{}", to_yaml(node))
}

/// What is made where something is missing: what the next part of the path needs, or at its end one like the value.
fn empty(rest: &[String], value: &Json) -> Json {
    match (rest.first(), value) {
        (Some(next), _) if index(next).is_some() || is_item(next) => json!([]),
        (Some(_), _) | (None, Json::Object(_)) => Json::Object(JsonMap::new()),
        (None, Json::Array(_)) => json!([]),
        (None, _) => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_brackets_and_after_a_backslash_part_nothing() {
        for (path, expected) in [
            ("a.b", ["a", "b"].as_slice()),
            (r"a.b\.c.d", &["a", "b.c", "d"]),
            ("a.[b.c/d].e", &["a", "b.c/d", "e"]),
            ("a.[name=b.c].e", &["a", "[name=b.c]", "e"]),
            ("a.[name=b].e", &["a", "[name=b]", "e"]),
        ] {
            assert_eq!(parts(path), expected, "{path}");
        }
    }

    #[test]
    fn a_scalar_keeps_its_type_and_a_new_one_gets_that_of_its_text() {
        for (old, is_new, value, expected) in [
            (json!("x"), false, json!(3), json!("3")),
            (json!(80), false, json!("8080"), json!(8080)),
            (json!(1.5), false, json!("2"), json!(2)),
            (json!(null), true, json!("8080"), json!(8080)),
            (json!(null), true, json!("yes"), json!("yes")),
            (json!(null), true, json!("a: b"), json!("a: b")),
            (json!({"a": 1}), false, json!({"b": 2}), json!({"b": 2})),
            (json!("x"), false, json!({"b": 2}), json!("")),
        ] {
            let mut field = old.clone();
            set(&mut field, is_new, &value, None).unwrap();
            assert_eq!(field, expected, "{old} {value}");
        }
        assert!(set(&mut json!(80), false, &json!("http"), None).is_err());
    }

    #[test]
    fn a_piece_of_a_text_is_set_before_between_and_behind() {
        for (index, expected) in [(-1, "v:a:b"), (0, "v:b"), (1, "a:v"), (7, "a:b:v")] {
            let mut field = json!("a:b");
            let options = FieldOptions { delimiter: ":".into(), index, create: false };
            set(&mut field, false, &json!("v"), Some(&options)).unwrap();
            assert_eq!(field, json!(expected));
        }
    }
}
