//! Values as Kubernetes' messages show them when they are structs: its internal types have no JSON tags, so
//! encoding/json writes every field under its Go name, in the order of the Go source.
//! Source: pkg/apis/{core,apps,batch,…}/types.go; apimachinery's field.Error prints values with encoding/json.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

use crate::api::{Json, JsonMap};

enum Shape {
    /// Go names, all fields.
    Internal(Vec<Field>),
    /// JSON tags with omitempty: names in order.
    Tagged(Vec<&'static str>),
}

struct Field {
    go: &'static str,
    json: String,
    kind: Kind,
}

enum Kind {
    Text,
    Number,
    Flag,
    Quantity,
    /// A pointer, list or map without inner structs: the value as it is, or null.
    Any,
    Struct(&'static str),
    Pointer(&'static str),
    List(&'static str),
    Map(&'static str),
    Embedded(&'static str),
}

/// `value`, which is of the internal type `kind`, on one line.
pub fn line(kind: &str, value: &Json) -> String {
    let mut out = Writer { text: String::new(), pretty: false, depth: 0 };
    out.value(kind, value);
    out.text
}

/// `value` over several lines, each level indented by one blank, as `diff` compares them.
pub fn pretty(kind: &str, value: &Json) -> String {
    let mut out = Writer { text: String::new(), pretty: true, depth: 0 };
    out.value(kind, value);
    out.text
}

/// How `old` and `new` differ, as k8s.io/apimachinery/pkg/util/diff writes it.
pub fn diff(kind: &str, old: &Json, new: &Json) -> String {
    super::unified_diff::unified(&pretty(kind, old), &pretty(kind, new))
}

/// `spec.securityContext` holds five fields in the internal types that the versioned spec has itself.
fn with_host_fields(spec: &Json) -> Json {
    let Some(context) = spec.get("securityContext").and_then(Json::as_object) else { return spec.clone() };
    let mut context = context.clone();
    for name in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"] {
        if let Some(value) = spec.get(name) {
            context.insert(name.into(), value.clone());
        }
    }
    let mut spec = spec.clone();
    spec["securityContext"] = Json::Object(context);
    spec
}

/// A schema that may be a list of schemas, or a flag, is a struct of both.
fn either(kind: &str, value: &Json) -> Option<Json> {
    Some(match (kind, value) {
        ("JSONSchemaPropsOrArray", Json::Array(_)) => serde_json::json!({"jsonSchemas": value}),
        ("JSONSchemaPropsOrArray", _) => serde_json::json!({"schema": value}),
        ("JSONSchemaPropsOrBool", Json::Bool(_)) => serde_json::json!({"allows": value}),
        ("JSONSchemaPropsOrBool", _) => serde_json::json!({"allows": true, "schema": value}),
        _ => return None,
    })
}

struct Writer {
    text: String,
    pretty: bool,
    depth: usize,
}

impl Writer {
    fn value(&mut self, kind: &str, value: &Json) {
        if kind == "PodSpec" {
            return self.object(kind, &with_host_fields(value));
        }
        if let Some(either) = either(kind, value) {
            return self.object(kind, &either);
        }
        self.object(kind, value);
    }

    fn object(&mut self, kind: &str, value: &Json) {
        let Some(shape) = types().get(kind) else { return self.raw(value) };
        let mut first = true;
        self.open('{');
        match shape {
            Shape::Internal(fields) => self.fields(fields, value, &mut first),
            Shape::Tagged(names) => self.tagged(names, value, &mut first),
        }
        self.close('}', first);
    }

    fn fields(&mut self, fields: &[Field], value: &Json, first: &mut bool) {
        for field in fields {
            if let Kind::Embedded(kind) = field.kind {
                match (kind, types().get(kind)) {
                    ("ObjectMeta", Some(Shape::Tagged(names))) => self.tagged(names, at(value, "metadata"), first),
                    (_, Some(Shape::Internal(inner))) => self.fields(inner, value, first),
                    _ => {}
                }
                continue;
            }
            self.key(field.go, first);
            self.field(field, at(value, &field.json));
        }
    }

    fn field(&mut self, field: &Field, value: &Json) {
        match (&field.kind, value) {
            (Kind::Text, Json::Null) => self.text.push_str("\"\""),
            (Kind::Number, Json::Null) => self.text.push('0'),
            (Kind::Flag, Json::Null) => self.text.push_str("false"),
            (Kind::Quantity, Json::Null) => self.text.push_str("\"0\""),
            (Kind::Struct(kind), _) => self.value(kind, value),
            (Kind::Pointer(_) | Kind::List(_) | Kind::Map(_), Json::Null) => self.text.push_str("null"),
            (Kind::Pointer(kind), _) => self.value(kind, value),
            (Kind::List(kind), Json::Array(items)) => {
                self.open('[');
                let mut first = true;
                for item in items {
                    self.next(&mut first);
                    self.value(kind, item);
                }
                self.close(']', first);
            }
            (Kind::Map(kind), Json::Object(map)) => {
                self.open('{');
                let mut first = true;
                for (key, item) in map {
                    self.key(key, &mut first);
                    self.value(kind, item);
                }
                self.close('}', first);
            }
            _ => self.raw(value),
        }
    }

    fn tagged(&mut self, names: &[&str], value: &Json, first: &mut bool) {
        for name in names {
            if let Some(inner) = value.get(name).filter(|v| !is_empty(v)) {
                self.key(name, first);
                self.raw(inner);
            }
        }
    }

    fn raw(&mut self, value: &Json) {
        match value {
            Json::Object(map) if self.pretty => self.map(map),
            Json::Array(items) if self.pretty => {
                self.open('[');
                let mut first = true;
                for item in items {
                    self.next(&mut first);
                    self.raw(item);
                }
                self.close(']', first);
            }
            Json::String(text) => self.text.push_str(&go_string(text)),
            other => {
                let _ = write!(self.text, "{other}");
            }
        }
    }

    fn map(&mut self, map: &JsonMap) {
        self.open('{');
        let mut first = true;
        for (key, value) in map {
            self.key(key, &mut first);
            self.raw(value);
        }
        self.close('}', first);
    }

    fn open(&mut self, bracket: char) {
        self.text.push(bracket);
        self.depth += 1;
    }

    fn close(&mut self, bracket: char, empty: bool) {
        self.depth -= 1;
        if !empty {
            self.line_break();
        }
        self.text.push(bracket);
    }

    fn next(&mut self, first: &mut bool) {
        if !std::mem::take(first) {
            self.text.push(',');
        }
        self.line_break();
    }

    fn key(&mut self, name: &str, first: &mut bool) {
        self.next(first);
        self.text.push_str(&go_string(name));
        self.text.push_str(if self.pretty { ": " } else { ":" });
    }

    fn line_break(&mut self) {
        if self.pretty {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n(' ', self.depth));
        }
    }
}

/// A string as encoding/json writes it: `<`, `>` and `&` escaped too.
pub fn go_string(text: &str) -> String {
    let plain = Json::from(text).to_string();
    if plain.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        plain
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026")
            .replace('\u{2028}', "\\u2028")
            .replace('\u{2029}', "\\u2029")
    } else {
        plain
    }
}

fn at<'a>(value: &'a Json, key: &str) -> &'a Json {
    value.get(key).unwrap_or(&Json::Null)
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(map) => map.is_empty(),
        Json::Number(number) => number.as_i64() == Some(0),
        Json::Bool(flag) => !flag,
    }
}

fn types() -> &'static HashMap<&'static str, Shape> {
    static TYPES: OnceLock<HashMap<&'static str, Shape>> = OnceLock::new();
    TYPES.get_or_init(|| {
        let lines = include_str!("internal_types.txt").lines().filter(|l| !l.starts_with('#'));
        lines.filter_map(declared).collect()
    })
}

fn declared(line: &'static str) -> Option<(&'static str, Shape)> {
    if let Some((name, fields)) = line.split_once("~ ") {
        return Some((name, Shape::Tagged(fields.split(' ').collect())));
    }
    let (name, fields) = line.split_once(": ")?;
    Some((name, Shape::Internal(fields.split('|').map(field).collect())))
}

fn field(text: &'static str) -> Field {
    if let Some(kind) = text.strip_prefix('+') {
        return Field { go: "", json: String::new(), kind: Kind::Embedded(kind) };
    }
    let (name, kind) = text.split_once(' ').unwrap_or((text, "?"));
    let (go, json) = match name.split_once('=') {
        Some((go, json)) => (go, json.to_owned()),
        None => (name, versioned_name(name)),
    };
    let kind = match kind {
        "s" => Kind::Text,
        "i" => Kind::Number,
        "b" => Kind::Flag,
        "q" => Kind::Quantity,
        "?" | "[]" | "{}" => Kind::Any,
        other if other.starts_with('{') => Kind::Map(other[1..].trim_end_matches('}')),
        other => match (other.strip_prefix('*'), other.strip_prefix('[')) {
            (Some(inner), _) => Kind::Pointer(inner),
            (None, Some(inner)) => Kind::List(inner.trim_end_matches(']')),
            (None, None) => Kind::Struct(other),
        },
    };
    Field { go, json, kind }
}

/// `DNSPolicy` → `dnsPolicy`, `TTY` → `tty`, `HostPID` → `hostPID`.
fn versioned_name(go: &str) -> String {
    let run = go.bytes().take_while(u8::is_ascii_uppercase).count();
    let lower = if run > 1 && run < go.len() { run - 1 } else { run };
    format!("{}{}", go[..lower].to_ascii_lowercase(), &go[lower..])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_follow_the_versioned_types() {
        let cases =
            [("DNSPolicy", "dnsPolicy"), ("TTY", "tty"), ("HostPID", "hostPID"), ("SELinuxOptions", "seLinuxOptions")];
        for (go, json) in cases {
            assert_eq!(versioned_name(go), json);
        }
    }

    #[test]
    fn absent_fields_are_shown_as_go_shows_them() {
        let value = json!({"partition": 1});
        let text = line("RollingUpdateStatefulSetStrategy", &value);
        assert_eq!(text, r#"{"Partition":1,"MaxUnavailable":null}"#);
        assert_eq!(line("UncountedTerminatedPods", &json!({"failed": ["a"]})), r#"{"Succeeded":null,"Failed":["a"]}"#);
    }

    #[test]
    fn a_difference_shows_three_lines_around_it() {
        let old = json!({"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem"});
        let new = json!({"accessModes": ["ReadWriteOnce"], "volumeMode": "Block"});
        let text = diff("PersistentVolumeClaimSpec", &old, &new);
        assert!(text.starts_with("@@ -9,7 +9,7 @@\n"), "{text}");
        assert!(text.contains("- \"VolumeMode\": \"Filesystem\",\n+ \"VolumeMode\": \"Block\",\n"), "{text}");
    }
}
