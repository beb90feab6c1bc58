//! A write that changes nothing but the times of its managers is no write.
//! Source: equality.go of k8s.io/apiserver/pkg/endpoints/handlers/fieldmanager.

use crate::api::{Json, JsonMap};

/// Gives `new` the managers of `old` where both objects are equal but for the managers' times.
pub fn keep_times_of_unchanged(new: &mut Json, old: &Json) {
    let entries = |object: &Json| object.pointer("/metadata/managedFields").and_then(Json::as_array).cloned();
    let (Some(of_new), Some(of_old)) = (entries(new), entries(old)) else { return };
    if of_new.len() != of_old.len() || of_new.is_empty() || of_new == of_old {
        return;
    }
    if timeless(new) == timeless(old) {
        new["metadata"]["managedFields"] = Json::Array(of_old);
    }
}

/// The object without what does not count: times of managers, empty lists and maps, nulls.
fn timeless(object: &Json) -> Json {
    let mut object = object.clone();
    if let Some(Json::Array(entries)) = object.pointer_mut("/metadata/managedFields") {
        entries.iter_mut().filter_map(Json::as_object_mut).for_each(|e| {
            e.remove("time");
            // Fields of an entry are empty maps; they count.
            if let Some(fields) = e.get_mut("fieldsV1") {
                *fields = fields.to_string().into();
            }
        });
    }
    bare(object)
}

fn bare(value: Json) -> Json {
    match value {
        Json::Object(map) => {
            let entries = map.into_iter().map(|(k, v)| (k, bare(v))).filter(|(_, v)| !is_empty(v));
            Json::Object(entries.collect::<JsonMap>())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(bare).collect()),
        other => other,
    }
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Array(items) => items.is_empty(),
        Json::Object(map) => map.is_empty(),
        _ => false,
    }
}
