//! `-o custom-columns`. Source: k8s.io/kubectl/pkg/cmd/get/customcolumn.go.

use crate::api::go;
use super::jsonpath::{JsonPath, relaxed};
use super::tabwriter::TabWriter;
use crate::api::Json;
use crate::cli::terminal::escape;

/// Heads, and the path of each column.
#[derive(Clone, Debug)]
pub struct Columns {
    heads: Vec<String>,
    paths: Vec<JsonPath>,
}

impl Columns {
    /// From `NAME:.metadata.name,IMAGE:…`.
    pub fn parse(spec: &str) -> Result<Self, String> {
        if spec.is_empty() {
            return Err("custom-columns format specified but no custom columns given".into());
        }
        let mut columns = Columns { heads: Vec::new(), paths: Vec::new() };
        for part in spec.split(',') {
            let Some((head, path)) = part.split_once(':') else {
                return Err(format!("unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>"));
            };
            columns.push(head, path)?;
        }
        Ok(columns)
    }

    /// From a file of two lines: heads, paths.
    pub fn parse_file(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let (Some(heads), Some(paths)) = (lines.next().filter(|l| !l.is_empty()), lines.next().filter(|l| !l.is_empty()))
        else {
            return Err("invalid template, missing newline".into());
        };
        if heads.len() != paths.len() {
            return Err(format!("number of headers ({}) and field specifications ({}) don't match", heads.len(), paths.len()));
        }
        let mut columns = Columns { heads: Vec::new(), paths: Vec::new() };
        for (head, path) in heads.iter().zip(paths) {
            columns.push(head, path)?;
        }
        Ok(columns)
    }

    fn push(&mut self, head: &str, path: &str) -> Result<(), String> {
        self.heads.push(head.into());
        self.paths.push(JsonPath::parse(&relaxed(path)?)?);
        Ok(())
    }

    /// The table of some objects.
    pub fn render(&self, objects: &[&Json], heads: bool) -> Result<String, String> {
        let mut text = String::new();
        if heads {
            text.push_str(&self.heads.join("\t"));
            text.push('\n');
        }
        for object in objects {
            let cells: Result<Vec<String>, String> = self.paths.iter().map(|path| cell(path, object)).collect();
            text.push_str(&cells?.join("\t"));
            text.push('\n');
        }
        Ok(if text.is_empty() { text } else { TabWriter::TABLE.format(&text) })
    }
}

fn cell(path: &JsonPath, object: &Json) -> Result<String, String> {
    let found = path.find(object)?;
    let mut shown: Vec<String> = Vec::new();
    if found.first().is_none_or(Vec::is_empty) {
        shown.push("<none>".into());
    }
    shown.extend(found.iter().flatten().map(|value| escape(&go::display(value.json()))));
    Ok(shown.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_hold_what_the_paths_find() {
        let columns = Columns::parse("NAME:.metadata.name,L:metadata.labels,C:.c[*].i").unwrap();
        let object = json!({"metadata": {"name": "web"}, "c": [{"i": 1}, {"i": 2}]});
        assert_eq!(columns.render(&[&object], true).unwrap(), "NAME   L        C\nweb    <none>   1,2\n");
        assert!(Columns::parse("x").unwrap_err().starts_with("unexpected custom-columns spec: x"));
    }
}
