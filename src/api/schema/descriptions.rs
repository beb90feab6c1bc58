//! What types and fields are for, in Kubernetes' own words: unpacked when somebody asks, and not kept.
//!
//! `descriptions.deflate` holds, packed, what the documentation of k8s-openapi says (Apache-2.0, from Kubernetes'
//! OpenAPI); `describe.py` makes it.

use std::collections::HashMap;

/// Between types, between a type's entries, and between a name and its text.
const TYPES: char = '\u{1d}';
const ENTRIES: char = '\u{1e}';
const TEXT: char = '\u{1f}';

/// The texts of all types.
pub struct Descriptions {
    text: String,
}

/// The texts of one type and its fields.
#[derive(Clone, Debug, Default)]
pub struct Description<'a> {
    pub text: &'a str,
    pub fields: HashMap<&'a str, &'a str>,
}

impl Descriptions {
    /// Unpacks them.
    pub fn read() -> Self {
        let packed = include_bytes!("descriptions.deflate");
        let bytes = miniz_oxide::inflate::decompress_to_vec(packed).unwrap_or_default();
        Descriptions { text: String::from_utf8(bytes).unwrap_or_default() }
    }

    /// By OpenAPI name of a type.
    pub fn by_type(&self) -> HashMap<&str, Description<'_>> {
        self.text.split(TYPES).filter_map(described).collect()
    }
}

fn described(text: &str) -> Option<(&str, Description<'_>)> {
    let mut entries = text.split(ENTRIES).filter_map(|entry| entry.split_once(TEXT));
    let (name, text) = entries.next()?;
    Some((name, Description { text, fields: entries.collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::schema::Schema;

    #[test]
    fn nearly_every_field_is_described() {
        let all = Descriptions::read();
        let described = all.by_type();
        let pod = &described["io.k8s.api.core.v1.PodSpec"];
        assert!(pod.text.starts_with("PodSpec is a description of a pod"));
        let mut missing = Vec::new();
        for (name, kind) in &Schema::get().types {
            // Lists have their items' words.
            let fields = kind.fields.iter().flatten().filter(|_| !name.ends_with("List"));
            for (field, _) in fields {
                if described.get(name.as_str()).is_none_or(|d| !d.fields.contains_key(field.as_str())) {
                    missing.push(format!("{name}.{field}"));
                }
            }
        }
        // The schema of schemas says nothing of its own fields.
        let silent = ["JSONSchemaProps", "ExternalDocumentation", "WatchEvent"];
        missing.retain(|field| !silent.iter().any(|kind| field.contains(kind)));
        assert_eq!(missing, ["io.k8s.api.networking.v1.IngressRule.http"]);
    }
}
