use serde_json::json;

use super::*;
use crate::api::Json;
use crate::api::schema::{Field as Declared, Schema};

/// A field on the wire: its number and a run of bytes.
fn run(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).expect("a short run");
    assert!(length < 128, "one byte tells the length");
    [&[number << 3 | 2, length], bytes].concat()
}

fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let kind = [run(1, api_version.as_bytes()), run(2, kind.as_bytes())].concat();
    [PREFIX.to_vec(), run(1, &kind), run(2, raw)].concat()
}

fn decoded(api_version: &str, kind: &str, raw: &[u8]) -> Json {
    decode(&body(api_version, kind, raw), &Gvk::of("v1", "Pod")).expect("a body")
}

#[test]
fn fields_of_every_shape_are_read() {
    let metadata = run(1, &[run(1, b"x"), run(8, b""), run(11, &[run(1, b"app"), run(2, b"web")].concat()), run(14, b"a/f"), run(14, b"b/f")].concat());
    let data = run(2, &[run(1, b"key"), run(2, b"\x00\xff")].concat());
    assert_eq!(
        decoded("v1", "Secret", &[metadata, data, vec![5 << 3, 1]].concat()),
        json!({"apiVersion": "v1", "kind": "Secret", "immutable": true, "data": {"key": "AP8="}, "metadata": {
            "name": "x", "creationTimestamp": null, "labels": {"app": "web"}, "finalizers": ["a/f", "b/f"]}})
    );
}

#[test]
fn types_that_write_themselves_are_read() {
    let int = [vec![1 << 3, 0], vec![2 << 3, 80], run(3, b"")].concat();
    let port = [vec![3 << 3, 80], run(4, &int)].concat();
    let named = [vec![3 << 3, 81], run(4, &[vec![1 << 3, 1, 2 << 3, 0], run(3, b"web")].concat())].concat();
    let service = decoded("v1", "Service", &run(2, &[run(1, &port), run(1, &named)].concat()));
    assert_eq!(service["spec"]["ports"], json!([{"port": 80, "targetPort": 80}, {"port": 81, "targetPort": "web"}]));
    let hard = run(1, &[run(1, b"cpu"), run(2, &run(1, b"500m"))].concat());
    assert_eq!(decoded("v1", "ResourceQuota", &run(2, &hard))["spec"]["hard"], json!({"cpu": "500m"}));
    // 2026-01-01T00:00:00.5Z
    let seconds = [0x08, 0x80, 0xf2, 0xd6, 0xca, 0x06, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01];
    let lease = run(2, &[run(3, &seconds), run(1, b"me")].concat());
    assert_eq!(decoded("coordination.k8s.io/v1", "Lease", &lease)["spec"]["acquireTime"], "2026-01-01T00:00:00.500000Z");
    let extra = run(5, &[run(1, b"scopes"), run(2, &[run(1, b"a"), run(1, b"b")].concat())].concat());
    let review = decoded("authorization.k8s.io/v1", "SubjectAccessReview", &run(2, &extra));
    assert_eq!(review["spec"]["extra"], json!({"scopes": ["a", "b"]}));
}

#[test]
fn structs_in_structs_have_no_name_in_json() {
    let volume = [run(1, b"v"), run(2, &run(2, &run(1, b"Memory")))].concat();
    let pod = decoded("v1", "Pod", &run(2, &run(1, &volume)));
    assert_eq!(pod["spec"]["volumes"], json!([{"name": "v", "emptyDir": {"medium": "Memory"}}]));
}

#[test]
fn what_stands_there_twice_goes_on() {
    let raw = [run(1, &run(1, b"old")), run(1, &run(3, b"there")), run(1, &run(1, b"new"))].concat();
    assert_eq!(decoded("v1", "ConfigMap", &raw)["metadata"], json!({"name": "new", "namespace": "there"}));
}

#[test]
fn broken_bodies_are_refused_and_unknown_fields_left_out() {
    let asked = Gvk::of("v1", "Pod");
    let broken = |bytes: &[u8]| match decode(bytes, &asked) {
        Err(Refused::Broken(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(broken(b"{}").starts_with("provided data does not appear to be a protobuf message"));
    assert_eq!(broken(&body("v1", "Pod", &[0x0a, 0x05, 0x01])), "unexpected EOF");
    assert_eq!(broken(&body("v1", "Pod", &[0x0f])), "proto: illegal wireType 7");
    assert_eq!(broken(&body("v1", "Pod", &[0x08, 0x01])), "proto: wrong wireType for field metadata");
    assert_eq!(broken(&body("v1", "Pod", &run(1, &run(1, b"\xff")))), "proto: string field contains invalid UTF-8");
    assert_eq!(decode(&body("example.com/v1", "Widget", b""), &asked), Err(Refused::Unknown(Gvk::of("example.com/v1", "Widget"))));
    let unknown = [run(15, b"later"), vec![14 << 3 | 5, 0, 0, 0, 0], vec![13 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(decoded("v1", "Pod", &unknown), json!({"apiVersion": "v1", "kind": "Pod"}));
    let nameless = [PREFIX.to_vec(), run(2, b"")].concat();
    assert_eq!(decode(&nameless, &asked).expect("an object")["kind"], "Pod");
}

/// The messages lead to every field of every kind, and each field has the name and the shape that the schema gives it.
#[test]
fn the_table_has_every_field_of_the_schema() {
    let schema = Schema::get();
    let mut missing = Vec::new();
    for (name, kind) in &schema.types {
        let Some(message) = Table::get().named(name).filter(|_| own_form(name).is_none()) else { continue };
        let found = named_fields(message);
        for (field, declared) in kind.fields.iter().flatten() {
            if matches!(field.as_str(), "apiVersion" | "kind") && !found.iter().any(|(name, ..)| name == field) {
                continue;
            }
            match found.iter().find(|(name, ..)| name == field) {
                Some((_, count, _)) => assert_eq!(*count, count_of(declared), "{name}.{field}"),
                None => missing.push(format!("{name}.{field}")),
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

fn named_fields(message: &Message) -> Vec<(String, Count, Shape)> {
    let mut found = Vec::new();
    for field in message.fields.values() {
        match (field.name.as_str(), field.shape) {
            ("", Shape::Message(place)) => found.extend(named_fields(Table::get().at(place).expect("a message"))),
            (name, shape) => found.push((name.to_owned(), field.count, shape)),
        }
    }
    found
}

fn count_of(declared: &Declared) -> Count {
    match declared.kind.as_deref() {
        Some("array") => Count::List,
        Some("object") if declared.reference.is_none() => Count::Map,
        _ => Count::One,
    }
}
