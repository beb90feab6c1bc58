//! Texts in lines of a width, in both ways that `explain` has.

/// Breaks lines between words; what is there stays, line feeds and blanks included.
/// Source: github.com/mitchellh/go-wordwrap (`WrapString`).
pub fn wrap(width: usize, text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 40);
    let (mut column, mut word, mut blanks) = (0, String::new(), String::new());
    let count = |text: &str| text.chars().count();
    for c in text.chars() {
        if c == '\n' {
            if !word.is_empty() || column + count(&blanks) <= width {
                out.push_str(&blanks);
            }
            out.push_str(&word);
            word.clear();
            blanks.clear();
            out.push('\n');
            column = 0;
        } else if c.is_whitespace() && c != '\u{a0}' {
            if blanks.is_empty() || !word.is_empty() {
                column += count(&blanks) + count(&word);
                out.push_str(&std::mem::take(&mut blanks));
                out.push_str(&std::mem::take(&mut word));
            }
            blanks.push(c);
        } else {
            word.push(c);
            if column + count(&word) + count(&blanks) > width && count(&word) < width {
                out.push('\n');
                column = 0;
                blanks.clear();
            }
        }
    }
    if !word.is_empty() || column + count(&blanks) <= width {
        out.push_str(&blanks);
    }
    out.push_str(&word);
    out
}

/// Every line of a text moved in, empty ones too.
pub fn indent(blanks: usize, text: &str) -> String {
    let pad = " ".repeat(blanks);
    format!("{pad}{}", text.replace('\n', &format!("\n{pad}")))
}

/// Joins lines and breaks them anew; empty lines, lists and what is moved in stay lines of their own.
/// Source: k8s.io/kubectl/pkg/explain/formatter.go (`wrapString`).
pub fn rewrap(width: usize, text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut last = String::new();
    for part in text.split('\n') {
        if part.starts_with("    ") {
            flush(&mut lines, &mut line, &mut last);
            lines.push(part.to_owned());
            continue;
        }
        if !lines.is_empty() && part.trim().is_empty() {
            flush(&mut lines, &mut line, &mut last);
            lines.push(String::new());
            continue;
        }
        if last.ends_with(':') || part.trim().is_empty() || is_item(part.trim()) {
            flush(&mut lines, &mut line, &mut last);
        }
        for word in part.split_whitespace() {
            if !line.is_empty() && line.len() + 1 + word.len() > width {
                flush(&mut lines, &mut line, &mut last);
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            word.clone_into(&mut last);
        }
    }
    flush(&mut lines, &mut line, &mut last);
    lines
}

fn flush(lines: &mut Vec<String>, line: &mut String, last: &mut String) {
    if !line.is_empty() {
        last.clear();
        lines.push(std::mem::take(line));
    }
}

/// `- x`, `* x`, `1. x`
fn is_item(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = if rest.len() < line.len() { Some(rest.strip_prefix('.').unwrap_or(rest)) } else { line.strip_prefix(['-', '*']) };
    rest.is_some_and(|rest| rest.starts_with(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap(10, "one two three four"), "one two\nthree four");
        assert_eq!(wrap(5, "a verylongword b"), "a\nverylongword\nb");
        assert_eq!(wrap(20, "one\n\ntwo\n"), "one\n\ntwo\n");
        assert_eq!(indent(2, "a\n\nb"), "  a\n  \n  b");
    }

    #[test]
    fn paragraphs_and_lists_stay_apart() {
        let text = "one two\nthree four five\n\nkinds:\n- a b\n- c\n    code";
        assert_eq!(rewrap(14, text), ["one two three", "four five", "", "kinds:", "- a b", "- c", "    code"]);
    }
}
