//! Objects → YAML that every reader, of YAML 1.1 or 1.2, reads back as the same values.

use crate::api::Json;

/// YAML text of a tree, keys in the tree's order, with a line feed at its end.
pub fn to_yaml(tree: &Json) -> String {
    match serde_saphyr::to_string(tree) {
        Ok(mut text) => {
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text
        }
        // JSON is YAML; a tree of JSON always has a JSON text.
        Err(_) => format!("{tree:#}\n"),
    }
}
