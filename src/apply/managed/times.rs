//! A write that changes nothing but the times of its managers is no write.
//! Source: equality.go of k8s.io/apiserver/pkg/endpoints/handlers/fieldmanager.

use std::collections::BTreeSet;

use crate::api::{Json, JsonMap};

const MANAGERS: &str = "managedFields";

/// Gives `new` the managers of `old` where both objects are equal but for the managers' times.
pub fn keep_times_of_unchanged(new: &mut Json, old: &Json) {
    let entries = |object: &'_ Json| object.get("metadata")?.get(MANAGERS)?.as_array().cloned();
    let (Some(of_new), Some(of_old)) = (entries(new), entries(old)) else { return };
    if of_new.len() != of_old.len() || of_new.is_empty() || of_new == of_old {
        return;
    }
    let only_times = || of_new.iter().zip(&of_old).all(|(new, old)| timeless(new) == timeless(old));
    if only_times() && are_alike_but(MANAGERS, new, old) {
        new["metadata"][MANAGERS] = Json::Array(of_old);
    }
}

/// An entry without its time.
fn timeless(entry: &Json) -> Vec<(&String, &Json)> {
    entry.as_object().into_iter().flatten().filter(|(key, _)| *key != "time").collect()
}

/// Whether two objects are alike, `left_out` of their metadata aside.
fn are_alike_but(left_out: &str, a: &Json, b: &Json) -> bool {
    let (Json::Object(a), Json::Object(b)) = (a, b) else { return a == b };
    all_fields(a, b, |key, a, b| match (key, a, b) {
        ("metadata", Some(Json::Object(a)), Some(Json::Object(b))) => {
            all_fields(a, b, |key, a, b| key == left_out || fields_are_alike(a, b))
        }
        _ => fields_are_alike(a, b),
    })
}

fn all_fields(a: &JsonMap, b: &JsonMap, are_alike: impl Fn(&str, Option<&Json>, Option<&Json>) -> bool) -> bool {
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    keys.into_iter().all(|key| are_alike(key, a.get(key), b.get(key)))
}

/// Nulls, empty lists and maps, and maps of nothing else do not count.
fn fields_are_alike(a: Option<&Json>, b: Option<&Json>) -> bool {
    let counts = |value: &&Json| !is_nothing(value);
    match (a.filter(counts), b.filter(counts)) {
        (Some(a), Some(b)) => are_alike(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

fn are_alike(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Object(a), Json::Object(b)) => all_fields(a, b, |_, a, b| fields_are_alike(a, b)),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| are_alike(a, b)),
        _ => a == b,
    }
}

fn is_nothing(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Array(items) => items.is_empty(),
        Json::Object(map) => map.values().all(is_nothing),
        _ => false,
    }
}
