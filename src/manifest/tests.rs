use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::Json;

fn values(yaml: &str) -> Vec<Json> {
    let parsed = parse("t.yaml", yaml.as_bytes());
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
    parsed.documents.iter().map(Document::json).collect()
}

fn value(yaml: &str) -> Json {
    let mut all = values(&format!("v: {yaml}"));
    assert_eq!(all.len(), 1);
    all.remove(0)["v"].take()
}

#[test]
fn scalars_are_what_goyaml_makes_of_them() {
    assert_eq!(value("[y, yes, on, off, NO, n]"), json!([true, true, true, false, false, false]));
    assert_eq!(value("[0644, -0755, 0o644, 0x1F, 1_000, 09, 0b11]"), json!([420, -493, 420, 31, 1000, 9, 3]));
    assert_eq!(value("['0644', \"yes\"]"), json!(["0644", "yes"]));
    assert_eq!(value("|-\n  no"), json!("no"));
    assert_eq!(value("[~, null, '', 1.5, 1e3, 1.0e+3, 2001-01-01]"), json!([null, null, "", 1.5, 1000, 1000, "2001-01-01"]));
    assert_eq!(value("[18446744073709551615, 18446744073709551616]"), json!([u64::MAX, 18446744073709551616.0f64]));
    assert_eq!(value("!!str 5"), json!("5"));
    assert_eq!(value("!!binary aGk="), json!("hi"));
    assert_eq!(value("!Ref x"), json!("x"));
}

#[test]
fn keys_become_text() {
    assert_eq!(value("{1: a, true: b, y: c}"), json!({"1": "a", "true": "c"}));
}

#[test]
fn merge_keys_give_way_to_the_mapping_itself() {
    let all = values("base: &b {a: 1, c: 3}\nv:\n  <<: *b\n  a: 2\n");
    assert_eq!(all[0]["v"], json!({"a": 2, "c": 3}));
}

#[test]
fn byte_order_marks_line_ends_and_empty_documents_do_no_harm() {
    assert_eq!(values("\u{feff}a: 1\r\nb: 2\r\n"), vec![json!({"a": 1, "b": 2})]);
    assert_eq!(values("---\n---\na: 1\n---\n# nothing\n"), vec![json!({"a": 1})]);
    let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain("a: 1".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert_eq!(parse("t", &wide).documents[0].json(), json!({"a": 1}));
}

#[test]
fn json_is_read_too_and_several_after_each_other() {
    assert_eq!(values("{\"a\": \"\\u00e9\\/\",\n\t\"b\": [1, null]}"), vec![json!({"a": "é/", "b": [1, null]})]);
    assert_eq!(values("{\"a\": 1}\n{\"b\": 2}"), vec![json!({"a": 1}), json!({"b": 2})]);
}

#[test]
fn lists_are_taken_apart() {
    let yaml = "kind: List\napiVersion: v1\nitems:\n- {kind: A, v: 1}\n- kind: PodList\n  items:\n  - {kind: Pod, v: 2}\n";
    assert_eq!(values(yaml), vec![json!({"kind": "A", "v": 1}), json!({"kind": "Pod", "v": 2})]);
}

#[test]
fn duplicate_keys_are_told_with_both_places_and_the_last_counts() {
    let parsed = parse("t.yaml", b"a: 1\nb: 2\na: 3\n");
    assert_eq!(parsed.documents[0].json(), json!({"a": 3, "b": 2}));
    assert_eq!(parsed.documents[0].strict[0].place(), "t.yaml:3:1");
}

#[test]
fn behind_a_broken_document_reading_goes_on() {
    let parsed = parse("t.yaml", b"a: [1\n---\nb: 2\n---\nc: *nope\n---\nd: 4\n");
    assert_eq!(parsed.problems.len(), 2, "{:?}", parsed.problems);
    let kept: Vec<Json> = parsed.documents.iter().map(Document::json).collect();
    assert_eq!(kept, vec![json!({"b": 2}), json!({"d": 4})]);
}

#[test]
fn alias_bombs_and_deep_nesting_are_refused() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for i in 1..10 {
        let refs = vec![format!("*a{}", i - 1); 9].join(",");
        bomb.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
    }
    assert_eq!(parse("t", bomb.as_bytes()).problems[0].message(), "document contains excessive aliasing");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(parse("t", deep.as_bytes()).problems.len(), 1);
}

#[test]
fn what_is_no_text_is_refused_with_its_place() {
    let parsed = parse("t.yaml", b"a: 1\nb: \xff\n");
    assert_eq!(parsed.problems[0].place(), "t.yaml:2:4");
    assert_eq!(parse("t.yaml", b"- 1\n- 2\n").problems[0].message(), "a manifest is a map with apiVersion and kind");
}

#[test]
fn paths_of_the_api_lead_to_the_text() {
    let yaml = "spec:\n  containers:\n  - name: web\n    image: nginx\ndata:\n  app.ini: x\n";
    let parsed = parse("t.yaml", yaml.as_bytes());
    let document = &parsed.documents[0];
    for (path, place) in [
        ("spec.containers[0].image", "t.yaml:4:12"),
        (".spec.containers[name=\"web\"].image", "t.yaml:4:12"),
        ("data[app.ini]", "t.yaml:6:12"),
        ("data.app.ini", "t.yaml:6:12"),
        ("spec.containers[0].ports[2].name", "t.yaml:3:5"),
        ("spec.nodeName", "t.yaml:1:1"),
    ] {
        assert_eq!(document.place_of(path), place, "{path}");
    }
}

#[test]
fn what_is_written_reads_back_as_the_same() {
    for text in ["yes", "on", "y", "N", "1_000", "1:20", "2001-01-01", "<<", "=", "0644", "null", "~", "- a", "a: b", "#x", "", " x", "x\ny\n", "\u{1b}[31m"] {
        let tree = json!({"v": text, text: 1});
        assert_eq!(values(&to_yaml(&tree)), vec![tree], "{text:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let parsed = parse("t", &bytes);
        for document in &parsed.documents {
            document.place_of("spec.a[0].b");
        }
    }

    #[test]
    fn any_yaml_like_text_is_read_without_panic(text in "[a-c:\\-\\[\\]{}&*!<>|'\"#,? \n\t0-9.]{0,120}") {
        parse("t", text.as_bytes());
    }
}
