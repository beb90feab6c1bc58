//! Whether a ConfigMap or a Secret may be. Source: pkg/apis/core/validation/validation.go.

use base64::Engine as _;

use super::field::{self, Errors, Path};
use super::{meta, names, rules};
use crate::api::tree::Tree;
use crate::api::{Json, Object};

/// All values together.
const MAX_BYTES: usize = 1024 * 1024;
const FROZEN: &str = "field is immutable when `immutable` is set";

pub fn config_map(object: &Object) -> Errors {
    let tree = object.json();
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    let (data, binary) = (tree.entries("data"), tree.entries("binaryData"));
    let mut size = 0;
    for (key, value) in &data {
        errors.extend(config_key(key, &Path::new("data").key(key)));
        if tree.field("binaryData").get(*key).is_some() {
            let detail = "duplicate of key present in binaryData";
            errors.push(field::invalid(&Path::new("data").key(key), *key, detail));
        }
        size += value.as_str().map_or(0, str::len);
    }
    for (key, value) in &binary {
        errors.extend(config_key(key, &Path::new("binaryData").key(key)));
        size += decoded(value).len();
    }
    if size > MAX_BYTES {
        errors.push(field::too_long(&Path::new("[]"), MAX_BYTES as i64));
    }
    errors
}

fn config_key(key: &str, path: &Path) -> Errors {
    rules::each(path, key, names::config_key(key))
}

fn decoded(value: &Json) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap_or("")).unwrap_or_default()
}

pub fn config_map_update(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    errors.extend(frozen(new, old, &["data", "binaryData"]));
    errors.extend(config_map(new));
    errors
}

fn frozen(new: &Object, old: &Object, fields: &[&str]) -> Errors {
    let (new, old) = (new.json(), old.json());
    if !old.flag("immutable") {
        return Errors::new();
    }
    let mut errors = Errors::new();
    if !new.flag("immutable") {
        errors.push(field::forbidden(&Path::new("immutable"), FROZEN));
    }
    let changed = fields.iter().filter(|name| new.entries(name) != old.entries(name));
    errors.extend(changed.map(|name| field::forbidden(&Path::new(name), FROZEN)));
    errors
}

pub fn secret(object: &Object) -> Errors {
    let path = Path::new("data");
    let mut errors = meta::create(object, true, names::name_is_subdomain);
    let mut size = 0;
    for (key, value) in object.json().entries("data") {
        errors.extend(config_key(key, &path.key(key)));
        size += decoded(value).len();
    }
    if size > MAX_BYTES {
        errors.push(field::too_long(&path, MAX_BYTES as i64));
    }
    errors.extend(secret_type(object, &path));
    errors
}

fn secret_type(object: &Object, path: &Path) -> Errors {
    let data = object.json().field("data");
    let required = |keys: &[&str]| -> Errors {
        keys.iter().map(|key| field::required(&path.key(key), "")).collect()
    };
    let missing = |keys: &[&str]| -> Errors {
        let keys: Vec<&str> = keys.iter().copied().filter(|key| data.get(*key).is_none()).collect();
        required(&keys)
    };
    match object.json().text("type") {
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            if object.annotation(key).unwrap_or("").is_empty() {
                let path = Path::new("metadata").child("annotations").key(key);
                return vec![field::required(&path, "")];
            }
            Errors::new()
        }
        "kubernetes.io/dockercfg" => docker_json(data, path, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" => docker_json(data, path, ".dockerconfigjson"),
        "kubernetes.io/basic-auth" => {
            let keys = ["username", "password"];
            if keys.iter().any(|key| data.get(key).is_some()) { Errors::new() } else { required(&keys) }
        }
        "kubernetes.io/ssh-auth" if data.text("ssh-privatekey").is_empty() => required(&["ssh-privatekey"]),
        "kubernetes.io/tls" => missing(&["tls.crt", "tls.key"]),
        _ => Errors::new(),
    }
}

fn docker_json(data: &Json, path: &Path, key: &str) -> Errors {
    let path = path.key(key);
    let Some(value) = data.get(key) else { return vec![field::required(&path, "")] };
    match go_json_object(&decoded(value)) {
        Ok(()) => Errors::new(),
        Err(error) => vec![field::invalid(&path, "<secret contents redacted>", &error)],
    }
}

/// Whether Go's encoding/json would read an object; its words otherwise.
fn go_json_object(bytes: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(bytes);
    match serde_json::from_str::<Json>(&text) {
        Ok(Json::Object(_) | Json::Null) => Ok(()),
        Ok(other) => {
            let kind = match other {
                Json::Bool(_) => "bool",
                Json::Number(_) => "number",
                Json::String(_) => "string",
                _ => "array",
            };
            Err(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
        }
        Err(_) if text.trim().is_empty() => Err("unexpected end of JSON input".into()),
        Err(error) if error.is_eof() => Err("unexpected end of JSON input".into()),
        Err(error) => Err(syntax_error(&text, &error)),
    }
}

/// Go names the first character that does not fit, and what it was looking for.
fn syntax_error(text: &str, error: &serde_json::Error) -> String {
    let line: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let at = (line + error.column().saturating_sub(1)).min(text.len().saturating_sub(1));
    let start = (0..=at).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let before = text[..start].trim_end().chars().last();
    let Some(found) = text[start..].chars().find(|c| !c.is_ascii_whitespace()) else {
        return "unexpected end of JSON input".into();
    };
    let looking_for = match before {
        None => "looking for beginning of value",
        Some('{') => "looking for beginning of object key string",
        Some(',' | ':' | '[') => "looking for beginning of value",
        Some('"') => "after object key",
        Some('}' | ']') if error.to_string().starts_with("trailing") => "after top-level value",
        Some(_) => "after object key:value pair",
    };
    format!("invalid character '{found}' {looking_for}")
}

pub fn secret_update(new: &Object, old: &Object) -> Errors {
    let mut errors = meta::update(new, old);
    let types = (new.json().field("type"), old.json().field("type"));
    errors.extend(rules::immutable(&Path::new("type"), "", types.0, types.1));
    errors.extend(frozen(new, old, &["data"]));
    errors.extend(secret(new));
    errors
}

/// A TLS Secret whose pair cannot be used. Source: pkg/api/secret/warnings.go, Go's tls.X509KeyPair.
pub fn secret_warnings(object: &Object) -> Vec<String> {
    let (tree, data) = (object.json(), object.json().field("data"));
    if tree.text("type") != "kubernetes.io/tls" {
        return Vec::new();
    }
    let (certificate, key) = (decoded(data.field("tls.crt")), decoded(data.field("tls.key")));
    key_pair_problem(&certificate, &key).into_iter().collect()
}

fn key_pair_problem(certificate: &[u8], key: &[u8]) -> Option<String> {
    let certificates = pem_kinds(certificate);
    if !certificates.iter().any(|kind| kind == "CERTIFICATE") {
        return Some(match certificates.first() {
            None => "tls: failed to find any PEM data in certificate input".into(),
            Some(kind) if kind == "PRIVATE KEY" || kind.ends_with(" PRIVATE KEY") => {
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; \
                 PEM inputs may have been switched"
                    .into()
            }
            Some(_) => {
                let kinds = certificates.join(" ");
                format!("tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [{kinds}]")
            }
        });
    }
    let keys = pem_kinds(key);
    if keys.iter().any(|kind| kind == "PRIVATE KEY" || kind.ends_with(" PRIVATE KEY")) {
        return None;
    }
    Some(match keys.as_slice() {
        [] => "tls: failed to find any PEM data in key input".into(),
        [kind] if kind == "CERTIFICATE" => {
            "tls: found a certificate rather than a key in the PEM for the private key".into()
        }
        kinds => {
            let kinds = kinds.join(" ");
            format!("tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: [{kinds}]")
        }
    })
}

/// The kinds of the PEM blocks in a text.
fn pem_kinds(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut kinds = Vec::new();
    let mut rest = text.as_ref();
    while let Some((_, tail)) = rest.split_once("-----BEGIN ") {
        let Some((kind, body)) = tail.split_once("-----") else { break };
        match body.split_once(&format!("-----END {kind}-----")) {
            Some((_, after)) => {
                kinds.push(kind.to_owned());
                rest = after;
            }
            None => rest = body,
        }
    }
    kinds
}
