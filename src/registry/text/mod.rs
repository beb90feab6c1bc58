//! Request bodies as trees: JSON and YAML, with what a strict reader says of them.

pub mod json;

use crate::api::Json;

/// A body that could be read.
#[derive(Clone, Debug)]
pub struct Text {
    pub tree: Json,
    /// Strict errors of the text itself, with where they stand: `duplicate field "metadata.name"`.
    pub duplicates: Vec<(usize, String)>,
    /// Path of a field → where it stands in the text, to put strict errors in order.
    pub order: std::collections::HashMap<String, usize>,
    /// Errors of the YAML reader come before all others.
    pub yaml: Option<String>,
}

/// Reads JSON. `Err`: the text of Go's error.
pub fn read_json(bytes: &[u8]) -> Result<Text, String> {
    json::Reader::new(bytes).document()
}

impl Text {
    /// A tree from inside this process.
    pub fn of(tree: Json) -> Self {
        Text { tree, duplicates: Vec::new(), order: Default::default(), yaml: None }
    }

    /// All strict errors in the order of Kubernetes' decoder: by place in the text.
    pub fn in_order(&self, unknown: Vec<String>) -> Vec<String> {
        let mut found: Vec<(usize, String)> = self.duplicates.clone();
        for text in unknown {
            let path = text.split('"').nth(1).unwrap_or("");
            found.push((self.order.get(path).copied().unwrap_or(usize::MAX), text));
        }
        found.sort_by_key(|(at, _)| *at);
        let mut seen = std::collections::HashSet::new();
        let rest = found.into_iter().map(|(_, text)| text).filter(|text| seen.insert(text.clone()));
        self.yaml.clone().into_iter().chain(rest).collect()
    }
}

/// Reads YAML as sigs.k8s.io/yaml does. `Err`: the text of its error.
pub fn read_yaml(bytes: &[u8]) -> Result<Text, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "yaml: invalid leading UTF-8 octet".to_owned())?;
    let tree: Json = serde_yaml::from_str(text).map_err(|e| format!("yaml: {e}"))?;
    Ok(Text::of(tree))
}
