//! Go's text templates over JSON trees, with kubectl's functions. Source: text/template and
//! k8s.io/cli-runtime/pkg/printers/template.go.

mod evaluate;
mod functions;
mod lex;
mod parse;

use std::collections::BTreeMap;

use crate::api::Json;

/// A parsed template.
#[derive(Clone, Debug)]
pub struct GoTemplate {
    text: String,
    defined: BTreeMap<String, Vec<parse::Node>>,
    allow_missing: bool,
}

/// The name that kubectl gives its templates in messages.
const NAME: &str = "output";

impl GoTemplate {
    /// Parses a template. `Err`: Go's text (`template: output:1: …`).
    pub fn parse(text: &str) -> Result<Self, String> {
        let defined = parse::parse(NAME, text)?;
        Ok(GoTemplate { text: text.to_owned(), defined, allow_missing: true })
    }

    /// Whether a key that is not there prints `<no value>` (default) or is an error.
    pub fn allow_missing(mut self, allow: bool) -> Self {
        self.allow_missing = allow;
        self
    }

    /// The template's text.
    pub fn template(&self) -> &str {
        &self.text
    }

    /// The template filled in, and what ended it early.
    pub fn render(&self, data: &Json) -> (String, Result<(), String>) {
        let mut run = evaluate::Run::new(&self.defined, self.allow_missing, data);
        let result = run.template(NAME, data);
        let result = result.map_err(|e| format!("template: {NAME}:{}:{}: executing {e}", run.line(), run.column()));
        (run.out, result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(template: &str, expected: &str) {
        let data = json!({"kind": "List", "n": 3, "secret": "aHVudGVyMg==", "items": [
            {"name": "a", "labels": {"x/y": "1"}, "ok": true}, {"name": "b"}]});
        let template = GoTemplate::parse(template).unwrap_or_else(|e| panic!("{template}: {e}"));
        let (out, result) = template.render(&data);
        assert_eq!((out.as_str(), result), (expected, Ok(())), "{}", template.template());
    }

    #[test]
    fn templates_render_as_go_renders_them() {
        check("{{.kind}} {{ .n }}", "List 3");
        check("{{range .items}}{{.name}} {{end}}", "a b ");
        check("{{range $i, $e := .items}}{{$i}}={{$e.name}},{{end}}", "0=a,1=b,");
        check("{{range .none}}x{{else}}nothing{{end}}", "nothing");
        check("{{if .kind}}yes{{else}}no{{end}}{{if not .kind}}x{{else if eq .n 3}}three{{end}}", "yesthree");
        check("{{with index .items 1}}{{.name}}{{end}}", "b");
        check("{{index (index .items 0).labels \"x/y\"}}", "1");
        check("{{.secret | base64decode}}", "hunter2");
        check("{{len .items}} {{printf \"%s-%d %v %q\" .kind .n .items .kind}}", "2 List-3 [map[labels:map[x/y:1] name:a ok:true] map[name:b]] \"List\"");
        check("{{.nosuch}} {{.nosuch.deep}}", "<no value> <no value>");
        check("a  {{- /* c */ -}}  b{{\"\\n\"}}", "ab\n");
        check("{{$x := .kind}}{{$x}}{{$x = \"y\"}}{{$x}}", "Listy");
        check("{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .kind}}", "<List>");
        check("{{range .items}}{{if eq .name \"b\"}}{{break}}{{end}}{{.name}}{{end}}", "a");
        check("{{and .kind .n}} {{or .nosuch \"d\"}} {{ne 1 2}} {{lt 1 2}} {{exists . \"kind\"}}", "3 d true true true");
        check("{{(index .items 0).name}}{{$.kind}}", "aList");
        check("{{print 1 2 \"a\" \"b\"}}", "1 2ab");
    }

    #[test]
    fn broken_templates_are_refused_in_gos_words() {
        for (template, expected) in [
            ("{{.metadata", "template: output:1: unclosed action"),
            ("{{if .a}}x", "template: output:1: unexpected EOF"),
            ("\n{{nosuch .a}}", "template: output:2: function \"nosuch\" not defined"),
            ("{{end}}", "template: output:1: unexpected {{end}}"),
            ("{{.a}", "template: output:1: bad character U+007D '}'"),
        ] {
            assert_eq!(GoTemplate::parse(template).map(|_| ()), Err(expected.to_owned()), "{template}");
        }
    }

    #[test]
    fn a_failing_template_keeps_what_it_printed() {
        let template = GoTemplate::parse("x{{index .a 5}}").unwrap();
        let (out, result) = template.render(&json!({"a": [1]}));
        assert_eq!(out, "x");
        assert!(result.unwrap_err().contains("error calling index: index out of range: 5"));
    }
}
