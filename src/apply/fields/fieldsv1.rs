//! `fieldsV1`: a set of paths as a JSON tree with keys `f:name`, `k:{…}`, `v:…`, `i:0` and `.`.
//! Source of the rules: sigs.k8s.io/structured-merge-diff/v6/fieldpath/serialize.go and serialize-pe.go.

use serde_json::json;

use super::{Element, FieldSet, Scalar};
use crate::api::{Json, JsonMap};
use crate::api::go;

/// Why a tree is no `fieldsV1`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FieldsError(String);

/// The set as `fieldsV1`; members come before children of a later name, as names sort.
pub fn print(set: &FieldSet) -> Json {
    Json::Object(contents(set, false))
}

fn contents(set: &FieldSet, with_self: bool) -> JsonMap {
    let mut map = JsonMap::new();
    if with_self && !(set.members.is_empty() && set.children.is_empty()) {
        map.insert(".".into(), json!({}));
    }
    let mut members = set.members.iter().peekable();
    let mut children = set.children.iter().peekable();
    loop {
        let order = match (members.peek(), children.peek()) {
            (None, None) => return map,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(member), Some((child, _))) => (*member).cmp(child),
        };
        let member = if order.is_le() { members.next() } else { None };
        let child = if order.is_ge() { children.next() } else { None };
        match (member, child) {
            (_, Some((element, below))) => {
                map.insert(step(element), Json::Object(contents(below, order.is_eq())));
            }
            (Some(element), None) => {
                map.insert(step(element), json!({}));
            }
            (None, None) => return map,
        }
    }
}

fn step(element: &Element) -> String {
    match element {
        Element::Field(name) => format!("f:{name}"),
        Element::Key(keys) => {
            let keys: JsonMap = keys.iter().map(|(k, v)| (k.clone(), v.0.clone())).collect();
            format!("k:{}", go::json::compact(&Json::Object(keys)))
        }
        Element::Value(value) => format!("v:{}", go::json::compact(&value.0)),
        Element::Index(index) => format!("i:{index}"),
    }
}

/// Reads `fieldsV1`. Steps of kinds that nobody knows yet are left out, as Kubernetes does.
pub fn parse(fields: &Json) -> Result<FieldSet, FieldsError> {
    match fields {
        Json::Object(map) => Ok(read(map)?.0.unwrap_or_default()),
        Json::Null => Ok(FieldSet::default()),
        _ => Err(FieldsError("fieldsV1 is no object".into())),
    }
}

/// The set below, if there is any, and whether the step itself is a member.
fn read(map: &JsonMap) -> Result<(Option<FieldSet>, bool), FieldsError> {
    let mut set: Option<FieldSet> = None;
    let mut member = false;
    for (key, value) in map {
        if key == "." {
            member = true;
            continue;
        }
        let Some(element) = parse_step(key)? else { continue };
        let Json::Object(below) = value else {
            return Err(FieldsError(format!("{key} holds no object")));
        };
        let (child, is_member) = read(below)?;
        let set = set.get_or_insert_default();
        if is_member {
            set.members.insert(element.clone());
        }
        if let Some(child) = child {
            set.children.insert(element, child);
        }
    }
    let member = member || set.is_none();
    Ok((set, member))
}

fn parse_step(text: &str) -> Result<Option<Element>, FieldsError> {
    let bad = |why: &str| FieldsError(format!("parsing key as path element: {why}: {text}"));
    let bytes = text.as_bytes();
    if bytes.len() < 2 {
        return Err(bad("key must be 2 characters long"));
    }
    if bytes[1] != b':' {
        return Err(bad("missing colon"));
    }
    // The two first bytes are ASCII or the step is of no known kind.
    let Some(rest) = text.get(2..) else { return Ok(None) };
    let value = |rest: &str| serde_json::from_str::<Json>(rest).map_err(|_| bad("not valid JSON"));
    Ok(Some(match bytes[0] {
        b'f' => Element::Field(rest.to_owned()),
        b'v' => Element::Value(Scalar(value(rest)?)),
        b'k' => match value(rest)? {
            Json::Object(map) => {
                let mut keys: Vec<_> = map.into_iter().map(|(k, v)| (k, Scalar(v))).collect();
                keys.sort();
                Element::Key(keys)
            }
            _ => return Err(bad("keys must be an object")),
        },
        b'i' => Element::Index(rest.parse().map_err(|_| bad("not an index"))?),
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: Json) {
        assert_eq!(print(&parse(&fields).unwrap()), fields);
    }

    #[test]
    fn fields_survive_a_round_trip() {
        check(json!({}));
        check(json!({"f:data": {".": {}, "f:a": {}}, "f:metadata": {"f:labels": {"f:l/x:y": {}}}}));
        check(json!({"f:spec": {"f:ports": {r#"k:{"containerPort":80,"protocol":"TCP"}"#: {".": {}, "f:name": {}}}}}));
        check(json!({"f:metadata": {"f:finalizers": {r#"v:"a/b""#: {}, "v:1": {}}}, "i:3": {}}));
    }

    #[test]
    fn unknown_steps_are_left_out_and_broken_ones_refused() {
        assert_eq!(print(&parse(&json!({"z:x": {}, "f:a": {}})).unwrap()), json!({"f:a": {}}));
        for broken in [json!({"a": {}}), json!({"fa": {}}), json!({"i:x": {}}), json!({"k:[]": {}}), json!({"v:": {}})] {
            assert!(parse(&broken).is_err(), "{broken}");
        }
        assert!(parse(&json!([])).is_err());
        assert!(parse(&json!({"f:a": 1})).is_err());
    }
}
