//! YAML as `sigs.k8s.io/yaml` writes it: keys in natural order, lists not indented, goyaml's choice of
//! quotes, lines folded behind column 80. Source: goyaml.v2 (`encode.go`, `emitterc.go`, `sorter.go`).

use std::cmp::Ordering;

use crate::api::go;
use crate::api::{Json, JsonMap};

/// goyaml's `best_width`.
const WIDTH: usize = 80;
/// The longest key that may stand before a colon on its line (`yaml_emitter_check_simple_key`).
const LONGEST_SIMPLE_KEY: usize = 128;

/// YAML text of a tree, ending in a line feed.
pub fn to_yaml(tree: &Json) -> String {
    let mut emitter = Emitter { out: String::new(), column: 0 };
    match tree {
        Json::Object(map) if !map.is_empty() => emitter.mapping(map, 0, true),
        Json::Array(items) if !items.is_empty() => emitter.sequence(items, 0, true),
        scalar => {
            emitter.scalar(scalar, 0);
            emitter.newline();
        }
    }
    emitter.out
}

struct Emitter {
    out: String,
    column: usize,
}

impl Emitter {
    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn text(&mut self, text: &str) {
        text.chars().for_each(|c| self.put(c));
    }

    fn newline(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    fn indent(&mut self, indent: usize) {
        for _ in 0..indent {
            self.put(' ');
        }
    }

    /// `at_place`: the first line is already moved in (behind `- `).
    fn mapping(&mut self, map: &JsonMap, indent: usize, mut at_place: bool) {
        let mut entries: Vec<(&String, &Json)> = map.iter().collect();
        entries.sort_by(|a, b| natural(a.0, b.0));
        for (key, value) in entries {
            if !at_place {
                self.indent(indent);
            }
            at_place = false;
            if key.len() > LONGEST_SIMPLE_KEY {
                self.text("? ");
                self.string(key, indent + 2, false);
                self.newline();
                self.indent(indent);
                self.put(':');
            } else {
                self.string(key, indent + 2, true);
                self.put(':');
            }
            self.value(value, indent);
        }
    }

    fn value(&mut self, value: &Json, indent: usize) {
        match value {
            Json::Object(map) if !map.is_empty() => {
                self.newline();
                self.mapping(map, indent + 2, false);
            }
            Json::Array(items) if !items.is_empty() => {
                self.newline();
                self.sequence(items, indent, false);
            }
            scalar => {
                self.put(' ');
                self.scalar(scalar, indent + 2);
                self.newline();
            }
        }
    }

    fn sequence(&mut self, items: &[Json], indent: usize, mut at_place: bool) {
        for item in items {
            if !at_place {
                self.indent(indent);
            }
            at_place = false;
            self.text("- ");
            match item {
                Json::Object(map) if !map.is_empty() => self.mapping(map, indent + 2, true),
                Json::Array(inner) if !inner.is_empty() => self.sequence(inner, indent + 2, true),
                scalar => {
                    self.scalar(scalar, indent + 2);
                    self.newline();
                }
            }
        }
    }

    fn scalar(&mut self, value: &Json, indent: usize) {
        match value {
            Json::Null => self.text("null"),
            Json::Bool(value) => self.text(if *value { "true" } else { "false" }),
            Json::Number(number) if number.is_f64() => {
                let text = go::float(number.as_f64().unwrap_or(0.0));
                self.text(&text);
            }
            Json::Number(number) => self.text(&number.to_string()),
            Json::String(text) => self.string(text, indent, false),
            Json::Array(_) => self.text("[]"),
            Json::Object(_) => self.text("{}"),
        }
    }

    fn string(&mut self, text: &str, indent: usize, key: bool) {
        let allowed = Allowed::of(text);
        let plain = resolves_to_string(text);
        if text.contains('\n') && allowed.block && !key {
            self.literal(text, indent);
        } else if !text.contains('\n') && plain && allowed.plain && !text.is_empty() {
            self.folded(text, indent, !key, |c| c.to_string());
        } else if !text.contains('\n') && plain && allowed.single {
            self.put('\'');
            self.single(text, indent, !key);
            self.put('\'');
        } else {
            self.put('"');
            self.double(text, indent, !key);
            self.put('"');
        }
    }

    fn folded(&mut self, text: &str, indent: usize, may_fold: bool, show: impl Fn(char) -> String) {
        let chars: Vec<char> = text.chars().collect();
        let mut after_space = false;
        for (i, c) in chars.iter().enumerate() {
            let space = *c == ' ';
            let next_is_space = chars.get(i + 1) == Some(&' ');
            if space && may_fold && !after_space && self.column > WIDTH && !next_is_space {
                self.newline();
                self.indent(indent);
            } else {
                let shown = show(*c);
                self.text(&shown);
            }
            after_space = space;
        }
    }

    fn single(&mut self, text: &str, indent: usize, may_fold: bool) {
        self.folded(text, indent, may_fold, |c| if c == '\'' { "''".into() } else { c.to_string() });
    }

    fn double(&mut self, text: &str, indent: usize, may_fold: bool) {
        let chars: Vec<char> = text.chars().collect();
        let mut after_space = false;
        for (i, c) in chars.iter().enumerate() {
            if let Some(escape) = escape_of(*c) {
                self.text(&escape);
                after_space = false;
            } else if *c == ' ' {
                let inside = i > 0 && i + 1 < chars.len();
                if may_fold && !after_space && self.column > WIDTH && inside {
                    self.newline();
                    self.indent(indent);
                    if chars[i + 1] == ' ' {
                        self.put('\\');
                    }
                } else {
                    self.put(' ');
                }
                after_space = true;
            } else {
                self.put(*c);
                after_space = false;
            }
        }
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.put('|');
        if text.starts_with([' ', '\n']) {
            self.put('2');
        }
        if !text.ends_with('\n') {
            self.put('-');
        } else if text == "\n" || text.ends_with("\n\n") {
            self.put('+');
        }
        let body = text.strip_suffix('\n').unwrap_or(text);
        for line in body.split('\n') {
            self.newline();
            if !line.is_empty() {
                self.indent(indent);
                self.text(line);
            }
        }
    }
}

/// Which styles a text may be written in (`yaml_emitter_analyze_scalar`).
struct Allowed {
    plain: bool,
    single: bool,
    block: bool,
}

impl Allowed {
    fn of(text: &str) -> Self {
        if text.is_empty() {
            return Allowed { plain: true, single: true, block: false };
        }
        let chars: Vec<char> = text.chars().collect();
        let last = chars.len() - 1;
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let (mut special, mut breaks, mut break_space, mut space_break) = (false, false, false, false);
        let mut before = None;
        for (i, c) in chars.iter().enumerate() {
            let blank_follows = chars.get(i + 1).is_none_or(|c| matches!(c, ' ' | '\t'));
            let blank_before = before.is_none_or(|c| matches!(c, ' ' | '\t' | '\0') || is_break(c));
            indicators |= match c {
                '#' if i > 0 => blank_before,
                ':' => blank_follows,
                '?' | '-' if i == 0 => blank_follows,
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => i == 0,
                _ => false,
            };
            special |= !is_printable(*c);
            breaks |= is_break(*c);
            break_space |= *c == ' ' && before.is_some_and(is_break);
            space_break |= is_break(*c) && before == Some(' ');
            before = Some(*c);
        }
        let edge = |c: char| c == ' ' || is_break(c);
        let edges = edge(chars[0]) || edge(chars[last]);
        let odd = space_break || special;
        Allowed {
            plain: !(edges || break_space || odd || breaks || indicators),
            single: !(break_space || odd),
            block: !(chars[last] == ' ' || odd),
        }
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// libyaml's idea: no tab, nothing beyond the basic plane.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

fn escape_of(c: char) -> Option<String> {
    let short = match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\0' => "\\0",
        '\u{7}' => "\\a",
        '\u{8}' => "\\b",
        '\t' => "\\t",
        '\n' => "\\n",
        '\u{b}' => "\\v",
        '\u{c}' => "\\f",
        '\r' => "\\r",
        '\u{1b}' => "\\e",
        '\u{85}' => "\\N",
        '\u{a0}' => return None,
        '\u{2028}' => "\\L",
        '\u{2029}' => "\\P",
        c if is_printable(c) => return None,
        c if (c as u32) <= 0xff => return Some(format!("\\x{:02X}", c as u32)),
        c if (c as u32) <= 0xffff => return Some(format!("\\u{:04X}", c as u32)),
        c => return Some(format!("\\U{:08X}", c as u32)),
    };
    Some(short.into())
}

/// Whether the text, unquoted, is read back as a string (`resolve.go`).
fn resolves_to_string(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", "n",
        "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", ".nan", ".NaN", ".NAN", ".inf", ".Inf",
        ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
    ];
    if WORDS.contains(&text) {
        return false;
    }
    match text.as_bytes()[0] {
        b'.' => !is_float(text),
        b'0'..=b'9' | b'+' | b'-' => {
            let plain = text.replace('_', "");
            !(is_timestamp(text) || is_integer(&plain) || is_float(&plain) || is_base_60(text))
        }
        _ => true,
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)) && u64::from_str_radix(digits, radix).is_ok()
}

fn is_float(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.chars().any(|c| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'))
        && digits.parse::<f64>().is_ok_and(f64::is_finite)
}

fn is_base_60(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut parts = digits.split(':');
    let first = parts.next().unwrap_or("");
    let rest: Vec<&str> = parts.collect();
    let numeral = |p: &str| p.chars().all(|c| c.is_ascii_digit() || c == '_');
    let Some((last, middle)) = rest.split_last() else { return false };
    let sixty = |p: &str| matches!(p.len(), 1 | 2) && p.parse::<u8>().is_ok_and(|n| n < 60);
    first.starts_with(|c: char| c.is_ascii_digit())
        && numeral(first)
        && middle.iter().all(|p| sixty(p))
        && match last.split_once('.') {
            Some((whole, fraction)) => sixty(whole) && numeral(fraction),
            None => sixty(last),
        }
}

fn is_timestamp(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some((&text[at..=at], &text[at + 1..]))),
        None => (text, None),
    };
    let parts: Vec<&str> = date.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let number = |p: &str, lengths: std::ops::RangeInclusive<usize>| {
        (lengths.contains(&p.len()) && p.chars().all(|c| c.is_ascii_digit())).then(|| p.parse::<i16>().ok()).flatten()
    };
    let (Some(year), Some(month), Some(day)) = (number(year, 4..=4), number(month, 1..=2), number(day, 1..=2)) else {
        return false;
    };
    let valid = i8::try_from(month).ok().zip(i8::try_from(day).ok());
    if valid.is_none_or(|(month, day)| jiff::civil::Date::new(year, month, day).is_err()) {
        return false;
    }
    let Some((separator, time)) = time else { return true };
    let zone_at = time.find(['Z', '+', '-']);
    let clock = &time[..zone_at.unwrap_or(time.len())];
    let clock = clock.split_once('.').map_or(clock, |(clock, _)| clock);
    let fields: Vec<Option<i16>> = clock.split(':').map(|p| number(p, 1..=2)).collect();
    let clock_fits = matches!(fields[..], [Some(0..=23), Some(0..=59), Some(0..=59)]);
    clock_fits && (separator == " ") == zone_at.is_none()
}

/// goyaml's order of keys: letters last, runs of digits as numbers (`keyList.Less`).
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    for i in 0..a.len().min(b.len()) {
        let (x, y) = (a[i], b[i]);
        if x == y {
            continue;
        }
        return match (x.is_alphabetic(), y.is_alphabetic()) {
            (true, true) => x.cmp(&y),
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => numbers(&a, &b, i),
        };
    }
    a.len().cmp(&b.len())
}

fn numbers(a: &[char], b: &[char], i: usize) -> Ordering {
    let zero = a[i] == '0' || b[i] == '0';
    let led = zero && a[..i].iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0');
    let run = |chars: &[char]| {
        let digits: Vec<u64> = chars[i..].iter().map_while(|c| c.to_digit(10)).map(u64::from).collect();
        let value = digits.iter().fold(u64::from(led), |n, d| n.wrapping_mul(10).wrapping_add(*d));
        (value, digits.len())
    };
    run(a).cmp(&run(b)).then(a[i].cmp(&b[i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn strings_are_quoted_where_goyaml_quotes() {
        for (text, expected) in [
            ("web", "web"),
            ("", "\"\""),
            ("yes", "\"yes\""),
            ("80", "\"80\""),
            ("1.5", "\"1.5\""),
            ("0x1f", "\"0x1f\""),
            ("4Gi", "4Gi"),
            ("*", "'*'"),
            ("a: b", "'a: b'"),
            ("a #b", "'a #b'"),
            ("it's: x", "'it''s: x'"),
            ("2024-01-01T00:00:00Z", "\"2024-01-01T00:00:00Z\""),
            ("2024-01-01", "\"2024-01-01\""),
            ("1:20", "\"1:20\""),
            ("\0\u{1}", "\"\\0\\x01\""),
            ("a\tb", "\"a\\tb\""),
            ("nginx:1.27", "nginx:1.27"),
            (" x", "' x'"),
            ("-", "'-'"),
            ("- a", "'- a'"),
            ("-a", "-a"),
            ("1e3", "\"1e3\""),
            ("😀", "\"\\U0001F600\""),
        ] {
            assert_eq!(to_yaml(&json!(text)), format!("{expected}\n"), "{text:?}");
        }
    }

    #[test]
    fn blocks_and_lists_stand_as_kubectl_prints_them() {
        let tree = json!({"a": ["x", {"b": "1\n2\n", "c": []}], "e": {"f": "no end\nhere"}, "k10": 1, "k9": 2});
        let expected = "a:\n- x\n- b: |\n    1\n    2\n  c: []\ne:\n  f: |-\n    no end\n    here\nk9: 2\nk10: 1\n";
        assert_eq!(to_yaml(&tree), expected);
    }

    #[test]
    fn long_lines_are_folded_behind_column_80() {
        let tree = json!({"m": format!("{}: b c d", "a".repeat(90))});
        assert_eq!(to_yaml(&tree), format!("m: '{}:\n  b c d'\n", "a".repeat(90)));
    }
}
