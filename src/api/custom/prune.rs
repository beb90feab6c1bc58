//! What a schema does not know is dropped. Source: …/apiserver/schema/pruning/algorithm.go.

use super::{keeps_unknown, of_field};
use crate::api::Json;
use crate::api::tree::Tree;

/// What an object has whatever its schema says.
const OWN: &[&str] = &["apiVersion", "kind", "metadata"];

/// Drops what the schema does not know from a whole object; returns the paths of it, sorted.
pub fn prune(schema: &Json, object: &mut Json) -> Vec<String> {
    let mut dropped = Vec::new();
    walk(schema, object, "", true, &mut dropped);
    dropped.sort();
    dropped
}

fn walk(schema: &Json, value: &mut Json, path: &str, resource: bool, dropped: &mut Vec<String>) {
    match value {
        Json::Object(map) => {
            let own = resource || schema.flag("x-kubernetes-embedded-resource");
            map.retain(|name, value| {
                if own && OWN.contains(&name.as_str()) {
                    return true;
                }
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match of_field(schema, name) {
                    Some(schema) => walk(schema, value, &path, false, dropped),
                    None if keeps_unknown(schema) => {}
                    None => {
                        dropped.push(path);
                        return false;
                    }
                }
                true
            });
        }
        Json::Array(items) => {
            let of_items = schema.field("items");
            // Items without a schema inside of what keeps everything are kept as they are.
            if of_items.is_null() && keeps_unknown(schema) {
                return;
            }
            for (index, item) in items.iter_mut().enumerate() {
                walk(of_items, item, &format!("{path}[{index}]"), false, dropped);
            }
        }
        _ => {}
    }
}
