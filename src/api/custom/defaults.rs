//! Defaults from a schema. Source: …/apiserver/schema/defaulting/algorithm.go.

use super::of_field;
use crate::api::Json;
use crate::api::tree::Tree;

/// Puts defaults where nothing is, or a null that may not be; a null that may not be and has no default goes.
pub fn fill(schema: &Json, value: &mut Json) {
    match value {
        Json::Object(map) => {
            for (name, property) in schema.entries("properties") {
                let default = property.field("default");
                let missing = map.get(name).is_none_or(|value| value.is_null() && !property.flag("nullable"));
                if missing && !default.is_null() {
                    map.insert(name.to_owned(), default.clone());
                }
            }
            map.retain(|name, value| !value.is_null() || of_field(schema, name).is_none_or(|s| s.flag("nullable")));
            for (name, value) in map.iter_mut() {
                if let Some(schema) = of_field(schema, name) {
                    fill(schema, value);
                }
            }
        }
        Json::Array(items) => {
            let of_items = schema.field("items");
            for item in items {
                if item.is_null() && !of_items.flag("nullable") && of_items.has("default") {
                    *item = of_items.field("default").clone();
                }
                fill(of_items, item);
            }
        }
        _ => {}
    }
}
