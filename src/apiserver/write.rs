//! Writes: from HTTP to the registry's request, and back.

use hyper::header::{CONTENT_TYPE, USER_AGENT};

use super::answer::Reply;
use super::negotiate::{self, As, Endpoint};
use super::query::Query;
use super::read;
use super::route::Target;
use super::shape::Shape;
use super::{Call, Server};
use crate::api::validation::field::{self, Path};
use crate::api::{Cause, Json, Object, Status};
use crate::registry::{self, Body, FieldValidation, Options, Request, Verb};

pub(crate) async fn write(server: &Server, call: &Call, target: &Target, verb: Verb) -> Result<Reply, Status> {
    let accepted = negotiate::accept(&call.headers, Endpoint::Object)?;
    let include = read::include(&accepted.what, call)?;
    let options = options(call, verb)?;
    let request = Request {
        verb,
        resource: target.resource.clone(),
        subresource: target.subresource.clone(),
        namespace: target.namespace.clone(),
        name: target.name.clone().unwrap_or_default(),
        body: body(call, verb)?,
        options,
    };
    let answer = server.store.write(request).await?;
    if verb != Verb::DeleteCollection {
        read::fits(&accepted.what, &target.resource, false)?;
    }
    let is_object = answer.body.get("kind").and_then(Json::as_str) == Some(&target.resource.kind);
    let reply = if accepted.what == As::Object || !is_object {
        Reply::tree(answer.code, accepted.media, &answer.body)
    } else {
        let shape = Shape { resource: target.resource.clone(), what: accepted.what, include, now: server.store.now() };
        let object = Object::new(answer.body);
        Reply::tree(answer.code, accepted.media, &*shape.object(&object, true))
    };
    Ok(reply.with_warnings(&answer.warnings))
}

fn header<'a>(call: &'a Call, name: &hyper::header::HeaderName) -> &'a str {
    call.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
}

fn body(call: &Call, verb: Verb) -> Result<Body, Status> {
    let deletes = matches!(verb, Verb::Delete | Verb::DeleteCollection);
    if deletes && call.body.is_empty() {
        return Ok(delete_options(&call.query)?.map_or(Body::None, Body::Tree));
    }
    let media_type = header(call, &CONTENT_TYPE).to_owned();
    Ok(Body::Text { media_type, bytes: call.body.clone() })
}

/// DeleteOptions as the query gives them.
fn delete_options(query: &Query) -> Result<Option<Json>, Status> {
    let mut tree = serde_json::Map::new();
    if let Some(seconds) = query.number("gracePeriodSeconds")? {
        tree.insert("gracePeriodSeconds".into(), seconds.into());
    }
    if let Some(orphan) = query.option("orphanDependents") {
        tree.insert("orphanDependents".into(), orphan.into());
    }
    if let Some(policy) = query.get("propagationPolicy") {
        tree.insert("propagationPolicy".into(), policy.into());
    }
    let dry_run = query.all("dryRun");
    if !dry_run.is_empty() {
        tree.insert("dryRun".into(), dry_run.into());
    }
    Ok(if tree.is_empty() { None } else { Some(Json::Object(tree)) })
}

/// The query of a write, checked as Kubernetes checks `CreateOptions` and its like.
fn options(call: &Call, verb: Verb) -> Result<Options, Status> {
    let query = &call.query;
    let deletes = matches!(verb, Verb::Delete | Verb::DeleteCollection);
    let dry_run = query.all("dryRun");
    let mut options = Options {
        dry_run: !deletes && !dry_run.is_empty(),
        field_manager: query.text("fieldManager").map(str::to_owned),
        force: query.option("force"),
        label_selector: query.text("labelSelector").map(str::to_owned),
        field_selector: query.text("fieldSelector").map(str::to_owned),
        limit: query.number("limit")?,
        token: query.text("continue").map(str::to_owned),
        user_agent: header(call, &USER_AGENT).to_owned(),
        user: (*call.user).clone(),
        ..Options::default()
    };
    if deletes {
        return Ok(options);
    }
    let mut errors = Vec::new();
    let is_apply = verb == Verb::Patch && header(call, &CONTENT_TYPE).split(';').next() == Some("application/apply-patch+yaml");
    if verb == Verb::Patch {
        errors.extend(patch_errors(&options, is_apply));
    }
    errors.extend(manager_errors(options.field_manager.as_deref().unwrap_or("")));
    errors.extend(registry::dry_run_error(&dry_run));
    match query.get("fieldValidation").unwrap_or("") {
        "" | "Warn" => options.field_validation = FieldValidation::Warn,
        "Ignore" => options.field_validation = FieldValidation::Ignore,
        "Strict" => options.field_validation = FieldValidation::Strict,
        other => {
            let known = ["", "Ignore", "Strict", "Warn"];
            errors.push(field::not_supported(&Path::new("fieldValidation"), other, &known));
        }
    }
    if errors.is_empty() {
        return Ok(options);
    }
    let kind = match verb {
        Verb::Create => "CreateOptions",
        Verb::Update => "UpdateOptions",
        _ => "PatchOptions",
    };
    Err(Status::invalid("meta.k8s.io", kind, "", &errors))
}

/// apimachinery/pkg/apis/meta/v1/validation: ValidatePatchOptions.
fn patch_errors(options: &Options, is_apply: bool) -> Vec<Cause> {
    if is_apply {
        if options.field_manager.is_none() {
            return vec![field::required(&Path::new("fieldManager"), "is required for apply patch")];
        }
    } else if options.force.is_some() {
        return vec![field::forbidden(&Path::new("force"), "may not be specified for non-apply patch")];
    }
    Vec::new()
}

/// Go's unicode.IsPrint: letters, marks, numbers, punctuation, symbols and the blank.
fn is_print(c: char) -> bool {
    let formats = matches!(c, '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}');
    !(formats || c.is_control() || (c.is_whitespace() && c != ' '))
}

/// ValidateFieldManager.
fn manager_errors(manager: &str) -> Vec<Cause> {
    const MAX: usize = 128;
    let path = Path::new("fieldManager");
    let mut errors = Vec::new();
    if manager.len() > MAX {
        errors.push(field::too_long(&path, 128));
    }
    for (at, c) in manager.char_indices().filter(|(_, c)| !is_print(*c)) {
        let why = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        errors.push(field::invalid(&path, manager, &why));
    }
    errors
}
