//! Columns of custom resources: a simple JSONPath each.
//! Source: …/apiserver/pkg/registry/customresource/tableconvertor/tableconvertor.go, k8s.io/client-go/util/jsonpath.

use crate::api::Json;

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    /// Every item or value.
    All,
    /// Items of which a field is (or is not) a value.
    Where { path: Vec<Step>, equal: bool, value: Json },
}

/// A path that could be read.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

impl JsonPath {
    /// Reads `.spec.list[0]['a.b'][?(@.type=="Ready")].status`. `None`: it is none of these.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('{').trim_end_matches('}').trim_start_matches('$');
        Some(JsonPath(steps(text)?))
    }

    /// The first value that the path leads to.
    pub fn first<'a>(&self, tree: &'a Json) -> Option<&'a Json> {
        follow(&self.0, tree).into_iter().next()
    }
}

fn steps(mut rest: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let end = closing(inside)?;
            steps.push(bracket(&inside[..end])?);
            rest = &inside[end + 1..];
        } else {
            let (name, after) = name(rest.strip_prefix('.')?);
            match name.as_str() {
                "" if after.starts_with('[') => {}
                "" => return None,
                "*" => steps.push(Step::All),
                _ => steps.push(Step::Field(name)),
            }
            rest = after;
        }
    }
    Some(steps)
}

/// A name up to the next step; a backslash takes away what the next character means.
fn name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            '.' | '[' if !escaped => return (name, &text[at..]),
            c => name.push(c),
        }
        escaped = false;
    }
    (name, "")
}

/// Where the bracket that is open ends.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn bracket(text: &str) -> Option<Step> {
    let text = text.trim();
    if text == "*" {
        return Some(Step::All);
    }
    if let Some(filter) = text.strip_prefix("?(").and_then(|t| t.strip_suffix(')')) {
        let (at, operator) = ["==", "!="].iter().find_map(|op| Some((filter.find(op)?, *op)))?;
        let path = steps(filter[..at].trim().strip_prefix('@')?)?;
        return Some(Step::Where { path, equal: operator == "==", value: literal(filter[at + 2..].trim())? });
    }
    if let Ok(index) = text.parse() {
        return Some(Step::Index(index));
    }
    match literal(text)? {
        Json::String(name) => Some(Step::Field(name)),
        _ => None,
    }
}

fn literal(text: &str) -> Option<Json> {
    match text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')) {
        Some(inside) => Some(Json::from(inside)),
        None => serde_json::from_str(text).ok(),
    }
}

fn follow<'a>(steps: &[Step], tree: &'a Json) -> Vec<&'a Json> {
    let Some((step, rest)) = steps.split_first() else { return vec![tree] };
    let next: Vec<&Json> = match (step, tree) {
        (Step::Field(name), _) => tree.get(name).into_iter().collect(),
        (Step::Index(index), Json::Array(items)) => {
            let length = i64::try_from(items.len()).unwrap_or(0);
            let at = if *index < 0 { length + index } else { *index };
            usize::try_from(at).ok().and_then(|at| items.get(at)).into_iter().collect()
        }
        (Step::All, Json::Array(items)) => items.iter().collect(),
        (Step::All, Json::Object(map)) => map.values().collect(),
        (Step::Where { path, equal, value }, Json::Array(items)) => {
            let is = |item: &&Json| follow(path, item).first().is_some_and(|found| (**found == *value) == *equal);
            items.iter().filter(is).collect()
        }
        _ => Vec::new(),
    };
    next.into_iter().flat_map(|tree| follow(rest, tree)).collect()
}
