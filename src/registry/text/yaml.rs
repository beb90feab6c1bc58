//! Errors of YAML in the words of goyaml: its problem, and the line that it names.

/// The error of a text that is no YAML. `fallback` is said where libyaml, whose messages goyaml has, finds nothing.
/// Source: `fail` in go.yaml.in/yaml/v2/decode.go.
pub(super) fn goyaml_error(bytes: &[u8], fallback: &str) -> String {
    let text = String::from_utf8_lossy(bytes);
    match serde_yaml::from_str::<serde::de::IgnoredAny>(&text) {
        Ok(_) => fallback.to_owned(),
        Err(error) => reworded(&error.to_string()).unwrap_or_else(|| fallback.to_owned()),
    }
}

/// `problem at line 2 column 1, while parsing a flow node at line 1 column 4` → `line 1: problem`.
fn reworded(message: &str) -> Option<String> {
    let (problem, rest) = message.split_once(" at line ")?;
    let (place, context) = rest.split_once(", ").unwrap_or((rest, ""));
    let number = |text: &str| text.split(' ').next().and_then(|n| n.parse::<usize>().ok());
    // goyaml counts from 0, and takes 0 for "not known".
    let problem_line = number(place)?.saturating_sub(1);
    let context_line = context.split_once(" at line ").and_then(|(_, p)| number(p)).map_or(0, |n| n.saturating_sub(1));
    let line = if context_line == 0 { problem_line } else { context_line };
    // Lines of the scanner are one further than those of the parser.
    let scanned = context.starts_with("while scanning") || problem.starts_with("found character");
    let line = if scanned && line > 0 { line + 1 } else { line };
    Some(if line == 0 { problem.to_owned() } else { format!("line {line}: {problem}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_as_goyaml_tells_them() {
        assert_eq!(goyaml_error(b"a: [\n", ""), "line 1: did not find expected node content");
        assert_eq!(goyaml_error(b"a: b: c\n", ""), "mapping values are not allowed in this context");
        assert_eq!(goyaml_error(b"a: b\n\tc: d\n", ""), "line 2: found a tab character that violates indentation");
        assert_eq!(goyaml_error(b"a: 1\n", "something else"), "something else");
    }
}
