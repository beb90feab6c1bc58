//! Request bodies as trees: JSON and YAML, with what a strict reader says of them.

pub mod json;
mod yaml;

use crate::api::Json;
use crate::manifest;

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

/// Reads YAML as sigs.k8s.io/yaml does: the first document. `Err`: the text of its error.
pub fn read_yaml(bytes: &[u8]) -> Result<Text, String> {
    let first = manifest::first_document(bytes).map_err(|why| format!("yaml: {}", yaml::goyaml_error(bytes, &why)))?;
    let duplicates = first.duplicates.join("\n  ");
    let yaml = (!duplicates.is_empty()).then(|| format!("{YAML_ERRORS}\n  {duplicates}"));
    Ok(Text { yaml, ..Text::of(first.tree) })
}

/// What goyaml puts before the errors of its strict reader.
const YAML_ERRORS: &str = "yaml: unmarshal errors:";

/// Strict errors as `Warning` headers tell them: those of YAML one by one.
/// Source: `addStrictDecodingWarnings` in k8s.io/apiserver/pkg/endpoints/handlers/rest.go.
pub fn warnings(strict: Vec<String>) -> Vec<String> {
    let each = |text: String| match text.strip_prefix(YAML_ERRORS) {
        Some(lines) => lines.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect(),
        None => vec![text],
    };
    strict.into_iter().flat_map(each).collect()
}
