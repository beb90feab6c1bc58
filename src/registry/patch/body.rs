//! Which sort of patch a request brings, and its tree.

use crate::api::{Json, Status};
use crate::registry::run::Run;
use crate::registry::text::{self, Text};
use crate::registry::{Body, PatchKind};

/// By `Content-Type`; another one is a 415.
pub(super) fn kind(run: &Run<'_, '_>) -> Result<PatchKind, Status> {
    let media_type = match &run.request.body {
        Body::Patch { kind, .. } => return Ok(*kind),
        Body::Text { media_type, .. } => media_type.split(';').next().unwrap_or("").trim(),
        Body::None | Body::Tree(_) => "",
    };
    match media_type {
        "application/json-patch+json" => Ok(PatchKind::Json),
        "application/merge-patch+json" => Ok(PatchKind::Merge),
        "application/strategic-merge-patch+json" => Ok(PatchKind::Strategic),
        "application/apply-patch+yaml" => Ok(PatchKind::Apply),
        _ => Err(Status::new(415, "UnsupportedMediaType", "415: Unsupported Media Type")
            .with_details(serde_json::json!({}))),
    }
}

/// The body of a JSON patch. `Err`: the text of Go's error.
pub(super) fn read_json(run: &Run<'_, '_>) -> Result<Text, String> {
    match &run.request.body {
        Body::Patch { tree, .. } => Ok(Text::of(tree.clone())),
        Body::Text { bytes, .. } => text::read_json(bytes),
        Body::None | Body::Tree(_) => text::read_json(b""),
    }
}

/// The body of an apply: YAML. `Err`: the text of the YAML reader's error.
pub(super) fn read_yaml(run: &Run<'_, '_>) -> Result<Text, String> {
    match &run.request.body {
        Body::Patch { tree, .. } => Ok(Text::of(tree.clone())),
        Body::Text { bytes, .. } => text::read_yaml(bytes),
        Body::None | Body::Tree(_) => text::read_yaml(b""),
    }
}

/// Go's error about a JSON value in the place of another type.
pub(super) fn cannot_unmarshal(value: &Json, into: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {into}", crate::registry::body::go_type(value))
}
