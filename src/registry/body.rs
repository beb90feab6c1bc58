//! Reads what came with a request as an object of the request's kind.
//! Source: k8s.io/apiserver/pkg/endpoints/handlers/{create,update,rest}.go.

use super::custom;
use super::run::Run;
use super::text::{self, Text};
use super::{Body, FieldValidation};
use crate::api::schema::Schema;
use crate::api::protobuf::{self, Refused};
use crate::api::{Gvk, Json, Object, Status, decode, status::quote};

/// Media types that bodies may have.
pub const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// The object in the request's body, decoded; strict errors are refused or warned of.
pub(crate) fn object(run: &mut Run<'_, '_>) -> Result<Object, Status> {
    let gvk = run.gvk();
    object_as(run, &gvk)
}

/// The same as another kind than the resource's (a subresource's).
pub(crate) fn object_as(run: &mut Run<'_, '_>, gvk: &Gvk) -> Result<Object, Status> {
    object_of(run, gvk, &[])
}

/// The same, where bodies may also be of older versions of the kind that differ in nothing else.
pub(crate) fn object_of(run: &mut Run<'_, '_>, gvk: &Gvk, older: &[&str]) -> Result<Object, Status> {
    let text = read(run, gvk)?;
    decoded(run, gvk, older, text)
}

fn read(run: &Run<'_, '_>, gvk: &Gvk) -> Result<Text, Status> {
    match &run.request.body {
        Body::None => read_text("application/json", b"", gvk),
        Body::Text { media_type, bytes } => read_text(media_type, bytes, gvk),
        Body::Tree(tree) | Body::Patch { tree, .. } => Ok(Text::of(tree.clone())),
    }
}

fn read_text(media_type: &str, bytes: &[u8], gvk: &Gvk) -> Result<Text, Status> {
    let media_type = media_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/json" | "" => text::read_json(bytes)
            .map_err(|e| unrecognized(gvk, &format!("couldn't get version/kind; json parse error: {e}"), bytes)),
        "application/yaml" => text::read_yaml(bytes).map_err(|e| unrecognized(gvk, &e, bytes)),
        "application/vnd.kubernetes.protobuf" => protobuf(gvk, bytes).map(Text::of),
        _ => Err(unsupported_media_type(ACCEPTED)),
    }
}

/// The object of a body in protobuf; of kinds without messages none is taken.
pub(crate) fn protobuf(gvk: &Gvk, bytes: &[u8]) -> Result<Json, Status> {
    protobuf::decode(bytes, gvk).map_err(|refused| match refused {
        Refused::Broken(why) => unrecognized(gvk, &why, bytes),
        Refused::Unknown(_) => unsupported_media_type("application/json, application/yaml"),
    })
}

/// 415, with the media types that are known.
pub fn unsupported_media_type(accepted: &str) -> Status {
    let message = format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
    Status::new(415, "UnsupportedMediaType", message)
}

fn unrecognized(gvk: &Gvk, why: &str, bytes: &[u8]) -> Status {
    let kind = &gvk.kind;
    let data = summary(bytes);
    Status::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {why} ({data})"))
}

/// The start of a body that could not be read: as text if it looks like JSON, else in hexadecimal
/// (k8s.io/apiserver/pkg/endpoints/handlers/rest.go: summarizeData).
fn summary(bytes: &[u8]) -> String {
    const MAX: usize = 30;
    match bytes.first() {
        None => "<empty>".into(),
        Some(b'{') if bytes.len() > MAX => format!("{} ...", String::from_utf8_lossy(&bytes[..MAX])),
        Some(b'{') => String::from_utf8_lossy(bytes).into_owned(),
        Some(_) => {
            let hex: String = bytes.iter().take(MAX).map(|b| format!("{b:02x}")).collect();
            if bytes.len() > MAX { format!("{hex} ...") } else { hex }
        }
    }
}

const TYPE_META: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// The kind that the body says it has, the request's where it says nothing.
fn body_gvk(tree: &Json, gvk: &Gvk, raw: &[u8]) -> Result<Gvk, Status> {
    let parse = |why: String| unrecognized(gvk, &format!("couldn't get version/kind; json parse error: {why}"), raw);
    let map = match tree {
        Json::Null => return Ok(gvk.clone()),
        Json::Object(map) => map,
        other => return Err(parse(format!("json: cannot unmarshal {} into Go value of type {TYPE_META}", go_type(other)))),
    };
    let text = |key: &str| match map.get(key) {
        None | Some(Json::Null) => Ok(""),
        Some(Json::String(text)) => Ok(text.as_str()),
        Some(other) => Err(parse(format!("json: cannot unmarshal {} into Go struct field .{key} of type string", go_type(other)))),
    };
    let (api_version, kind) = (text("apiVersion")?, text("kind")?);
    if api_version.matches('/').count() > 1 {
        return Err(unrecognized(gvk, &format!("unexpected GroupVersion string: {api_version}"), raw));
    }
    let mut found = Gvk::of(api_version, kind);
    if kind.is_empty() {
        found.kind = gvk.kind.clone();
    }
    if api_version.is_empty() {
        found.group = gvk.group.clone();
        found.version = gvk.version.clone();
    }
    Ok(found)
}

/// Go's word for a JSON value's type.
pub(crate) fn go_type(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

fn decoded(run: &mut Run<'_, '_>, gvk: &Gvk, older: &[&str], mut text: Text) -> Result<Object, Status> {
    let raw: &[u8] = match &run.request.body {
        Body::Text { bytes, .. } => bytes,
        _ => b"",
    };
    let mut found = body_gvk(&text.tree, gvk, raw)?;
    if found.kind == gvk.kind && older.contains(&found.api_version().as_str()) {
        found = gvk.clone();
    }
    let cannot = |why: &str| {
        let version = quote(&found.version);
        Status::bad_request(format!("{} in version {version} cannot be handled as a {}: {why}", found.kind, gvk.kind))
    };
    if text.tree.is_null() {
        text.tree = Json::Object(Default::default());
    }
    let known = Schema::get().type_of(&found).is_some() || found == *gvk;
    if !known {
        // A known kind of an old version converts; then it is the version that is wrong.
        if found.kind == gvk.kind && is_served_elsewhere(&found) {
            return Err(version_mismatch(&found, gvk));
        }
        let (kind, version) = (quote(&found.kind), quote(&found.api_version()));
        return Err(cannot(&format!("no kind {kind} is registered for version {version} in scheme \"pkg/api/legacyscheme/scheme.go:30\"")));
    }
    let tree = std::mem::take(&mut text.tree);
    let decoded = custom::decode(run, &found, tree).map_err(|why| cannot(&as_spelled(run, &found).unwrap_or(why)))?;
    if found.kind != gvk.kind {
        let internal = internal_package(&gvk.group);
        let why = format!("converting ({}.{}) to ({internal}.{}): unknown conversion", found.version, found.kind, gvk.kind);
        return Err(cannot(&why));
    }
    if found.group != gvk.group || found.version != gvk.version {
        return Err(version_mismatch(&found, gvk));
    }
    strict(run, &cannot, text.in_order(decoded.strict))?;
    let mut object = Object::new(decoded.tree);
    set_type(&mut object, gvk);
    Ok(object)
}

/// The decoder's error with numbers as the text spells them, where the body is JSON.
fn as_spelled(run: &Run<'_, '_>, gvk: &Gvk) -> Option<String> {
    let Body::Text { bytes, .. } = &run.request.body else { return None };
    decode::decode_value(gvk, decode::json::read(bytes).ok()?).err()
}

fn version_mismatch(found: &Gvk, gvk: &Gvk) -> Status {
    let (found, expected) = (found.api_version(), gvk.api_version());
    Status::bad_request(format!(
        "the API version in the data ({found}) does not match the expected API version ({expected})"
    ))
}

/// Versions that kube-apiserver still reads though it no longer serves them.
fn is_served_elsewhere(gvk: &Gvk) -> bool {
    const READ: &[(&str, &str)] = &[
        ("extensions", "v1beta1"),
        ("apps", "v1beta1"),
        ("apps", "v1beta2"),
        ("batch", "v1beta1"),
        ("policy", "v1beta1"),
        ("networking.k8s.io", "v1beta1"),
        ("autoscaling", "v2beta1"),
        ("autoscaling", "v2beta2"),
        ("discovery.k8s.io", "v1beta1"),
        ("events.k8s.io", "v1beta1"),
        ("coordination.k8s.io", "v1beta1"),
        ("rbac.authorization.k8s.io", "v1beta1"),
        ("storage.k8s.io", "v1beta1"),
        ("scheduling.k8s.io", "v1beta1"),
    ];
    READ.contains(&(gvk.group.as_str(), gvk.version.as_str()))
}

/// Go's package of a group's internal types.
pub fn internal_package(group: &str) -> &str {
    match group {
        "" => "core",
        other => other.split('.').next().unwrap_or("core"),
    }
}

fn strict(run: &mut Run<'_, '_>, cannot: &dyn Fn(&str) -> Status, found: Vec<String>) -> Result<(), Status> {
    if found.is_empty() {
        return Ok(());
    }
    match run.request.options.field_validation {
        FieldValidation::Ignore => Ok(()),
        FieldValidation::Strict => Err(cannot(&format!("strict decoding error: {}", found.join(", ")))),
        FieldValidation::Warn => {
            run.warn(text::warnings(found));
            Ok(())
        }
    }
}

/// Writes kind and apiVersion.
pub(crate) fn set_type(object: &mut Object, gvk: &Gvk) {
    object.metadata_mut();
    let json = object.json_mut();
    json["apiVersion"] = Json::from(gvk.api_version());
    json["kind"] = Json::from(gvk.kind.as_str());
}
