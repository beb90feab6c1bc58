//! JSONPath templates as kubectl reads them. Source: k8s.io/client-go/util/jsonpath.

mod evaluate;
mod parse;

use crate::api::Json;

/// A parsed template.
#[derive(Clone, Debug)]
pub struct JsonPath {
    text: String,
    nodes: Vec<parse::Node>,
    allow_missing: bool,
}

impl JsonPath {
    /// Parses a template with its braces. `Err`: client-go's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(JsonPath { text: text.to_owned(), nodes: parse::parse(text)?, allow_missing: true })
    }

    /// Whether a key that is not there gives nothing (default) or an error.
    pub fn allow_missing(mut self, allow: bool) -> Self {
        self.allow_missing = allow;
        self
    }

    /// The template's text.
    pub fn template(&self) -> &str {
        &self.text
    }

    /// What each part of the template finds.
    pub fn find<'a>(&'a self, data: &'a Json) -> Result<Vec<Vec<evaluate::Value<'a>>>, String> {
        evaluate::evaluate(&self.nodes, data, self.allow_missing)
    }

    /// What the template finds, flat, without literal text.
    pub fn values(&self, data: &Json) -> Result<Vec<Json>, String> {
        Ok(self.find(data)?.into_iter().flatten().map(|v| v.into_json()).collect())
    }

    /// The template's text filled in.
    pub fn render(&self, data: &Json) -> Result<String, String> {
        let mut out = String::new();
        for results in self.find(data)? {
            let texts: Vec<String> = results.iter().map(evaluate::Value::show).collect();
            out.push_str(&texts.join(" "));
        }
        Ok(out)
    }
}

/// Gives a bare path (`metadata.name`, `.spec`, `{.a}`) its braces and dot.
/// Source: k8s.io/cli-runtime/pkg/genericclioptions (`RelaxedJSONPathExpression`).
pub fn relaxed(path: &str) -> Result<String, String> {
    const WRONG: &str =
        "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'";
    if path.is_empty() {
        return Ok(String::new());
    }
    let inner = match (path.strip_prefix('{'), path.ends_with('}')) {
        (Some(inner), true) => inner.strip_suffix('}').ok_or(WRONG)?,
        (None, false) => path,
        _ => return Err(WRONG.into()),
    };
    let inner = inner.strip_prefix('.').unwrap_or(inner);
    if inner.contains(['{', '}']) || inner.contains('\n') {
        return Err(WRONG.into());
    }
    Ok(format!("{{.{inner}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(template: &str, expected: Result<&str, &str>) {
        let data = json!({"kind": "List", "items": [
            {"name": "a", "n": 1, "labels": {"x.y": "1"}, "tags": ["p", "q"]},
            {"name": "b", "n": 2, "ready": true, "tags": []},
            {"name": "c", "n": 3, "price": 1.5}]});
        let rendered = JsonPath::parse(template).and_then(|path| path.render(&data));
        assert_eq!(rendered.as_deref().map_err(String::as_str), expected, "{template}");
    }

    #[test]
    fn templates_render_as_client_go_renders_them() {
        check("kind={.kind}", Ok("kind=List"));
        check("{$.items[0].name}", Ok("a"));
        check("{.items[*].name}", Ok("a b c"));
        check("{.items[-1].name}", Ok("c"));
        check("{.items[0:2].name}", Ok("a b"));
        check("{.items[::2].name}", Ok("a c"));
        check("{.items[0,2].name}", Ok("a c"));
        check("{.items[0]['name','n']}", Ok("a 1"));
        check("{.items[0].labels.x\\.y}", Ok("1"));
        check("{.items[0].labels}", Ok("{\"x.y\":\"1\"}"));
        check("{..name}", Ok("a b c"));
        check("{range .items[*]}{.name}{\"\\t\"}{.n}{\"\\n\"}{end}!", Ok("a\t1\nb\t2\nc\t3\n!"));
        check("{range .items[*]}{range .tags[*]}{@}{\"-\"}{end}{.name};{end}", Ok("p-q-a;b;c;"));
        check("{.items[?(@.n>1)].name}", Ok("b c"));
        check("{.items[?(@.name==\"b\")].n}", Ok("2"));
        check("{.items[?(@.ready)].name}", Ok("b"));
        check("{.items[?(@.name!='a')].name}", Ok("b c"));
        check("{.nosuch}", Ok(""));
        check("{.items[7].name}", Err("array index out of bounds: index 7, length 3"));
        check("{.kind[0]}", Err("string is not array or slice"));
        check("{.bad", Err("unclosed action"));
        check("{end}", Err("not in range, nothing to end"));
        check("{.items[a]}", Err("invalid array index a"));
        check("{foo}", Err("unrecognized identifier foo"));
        check("{.items[?(@.name>1)]}", Err("incompatible types for comparison"));
    }

    #[test]
    fn a_missing_key_can_be_an_error() {
        let path = JsonPath::parse("{.nosuch}").unwrap().allow_missing(false);
        assert_eq!(path.render(&json!({})), Err("nosuch is not found".into()));
    }

    #[test]
    fn bare_paths_get_braces() {
        for path in ["a.b", ".a.b", "{a.b}", "{.a.b}"] {
            assert_eq!(relaxed(path).as_deref(), Ok("{.a.b}"));
        }
        assert!(relaxed("{.bad").is_err());
    }
}
