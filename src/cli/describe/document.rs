//! Text in the making: lines at levels, cells parted by tabs, laid out at the end.
//! Source: k8s.io/kubectl/pkg/describe/describe.go (`PrefixWriter` and the `…Multiline` functions).

use jiff::{Timestamp, tz::TimeZone};

use crate::api::tree::Tree;
use crate::api::{Json, shown};
use crate::cli::print::tabwriter::TabWriter;
use crate::cli::terminal::escape;

/// Annotations longer than this are cut: `maxAnnotationLen`.
const LONGEST_ANNOTATION: usize = 140;
/// `apply` keeps a whole manifest there, which is no news.
const SKIPPED_ANNOTATION: &str = crate::apply::managed::LAST_APPLIED;
/// How a missing time is written.
const NO_DATE: &str = "Mon, 01 Jan 0001 00:00:00 +0000";

/// A description in the making.
pub struct Document {
    text: String,
    now: Timestamp,
    zone: TimeZone,
    /// Levels that every piece stands deeper, for a part of another object.
    nested: usize,
}

impl Document {
    pub fn new(now: Timestamp, zone: TimeZone) -> Self {
        Document { text: String::new(), now, zone, nested: 0 }
    }

    /// A piece at a level; levels are two blanks each.
    pub fn write(&mut self, level: usize, text: &str) {
        for _ in 0..level + self.nested {
            self.text.push_str("  ");
        }
        self.text.push_str(text);
    }

    pub fn line(&mut self, level: usize, text: &str) {
        self.write(level, text);
        self.text.push('\n');
    }

    /// `title:`, and the value in the next column.
    pub fn field(&mut self, level: usize, title: &str, value: impl std::fmt::Display) {
        self.line(level, &format!("{title}:\t{value}"));
    }

    /// The same, where there is a value.
    pub fn some_field(&mut self, level: usize, title: &str, value: &str) {
        if !value.is_empty() {
            self.field(level, title, value);
        }
    }

    /// What `part` writes, so many levels deeper.
    pub fn nest(&mut self, levels: usize, part: impl FnOnce(&mut Self)) {
        self.nested += levels;
        part(self);
        self.nested -= levels;
    }

    /// The title, and each value on a line of its own in the next column; `<none>` for none.
    pub fn column(&mut self, level: usize, title: &str, values: &[String]) {
        self.write(level, &format!("{title}:\t"));
        if values.is_empty() {
            return self.line(0, "<none>");
        }
        for (i, value) in values.iter().enumerate() {
            if i > 0 {
                self.write(level, "\t");
            }
            self.line(0, value);
        }
    }

    /// `key=value`, one a line.
    pub fn labels(&mut self, title: &str, map: &Json) {
        self.labels_at(0, title, map);
    }

    pub fn labels_at(&mut self, level: usize, title: &str, map: &Json) {
        let pairs = map.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or("")));
        self.column(level, title, &pairs.collect::<Vec<_>>());
    }

    /// `key: value`, one a line; what is long or has lines of its own stands below its key, cut.
    pub fn annotations(&mut self, title: &str, map: &Json) {
        let mut rows = Vec::new();
        for (key, value) in map.as_object().into_iter().flatten().filter(|(key, _)| *key != SKIPPED_ANNOTATION) {
            let value = value.as_str().unwrap_or("");
            let value = value.strip_suffix('\n').unwrap_or(value);
            if value.len() + key.len() + 2 > LONGEST_ANNOTATION || value.contains('\n') {
                rows.push(format!("{key}:"));
                rows.extend(value.split('\n').map(|line| format!("  {}", shorten(line, LONGEST_ANNOTATION - 2))));
            } else {
                rows.push(format!("{key}: {value}"));
            }
        }
        self.column(0, title, &rows);
    }

    /// The name, and where it lives.
    pub fn name(&mut self, object: &Json) {
        self.field(0, "Name", object.field("metadata").text("name"));
    }

    pub fn namespace(&mut self, object: &Json) {
        self.field(0, "Namespace", object.field("metadata").text("namespace"));
    }

    /// The object's own labels and annotations.
    pub fn marks(&mut self, object: &Json) {
        let metadata = object.field("metadata");
        self.labels("Labels", metadata.field("labels"));
        self.annotations("Annotations", metadata.field("annotations"));
    }

    pub fn created(&mut self, object: &Json) {
        let date = self.date(object.field("metadata").text("creationTimestamp"));
        self.field(0, "CreationTimestamp", date);
    }

    pub fn controlled_by(&mut self, object: &Json) {
        let owners = object.field("metadata").list("ownerReferences");
        if let Some(owner) = owners.iter().find(|o| o.flag("controller")) {
            self.field(0, "Controlled By", format!("{}/{}", owner.text("kind"), owner.text("name")));
        }
    }

    /// `Mon, 02 Jan 2006 15:04:05 -0700`, in the reader's zone.
    pub fn date(&self, time: &str) -> String {
        match time.parse::<Timestamp>() {
            Ok(time) => time.to_zoned(self.zone.clone()).strftime("%a, %d %b %Y %H:%M:%S %z").to_string(),
            Err(_) => NO_DATE.into(),
        }
    }

    /// `2006-01-02 15:04:05 -0700 MST`, as Go's `Time.String` writes it.
    pub fn go_time(&self, time: &str) -> String {
        match time.parse::<Timestamp>() {
            Ok(time) => time.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string(),
            Err(_) => "0001-01-01 00:00:00 +0000 UTC".into(),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How long ago a time was.
    pub fn since(&self, time: &str) -> String {
        shown::since(time, self.now)
    }

    /// The whole, with its columns aligned; what could steer a terminal is made visible.
    pub fn finish(self) -> String {
        let text = escape(&self.text);
        if text.is_empty() { text } else { TabWriter::DESCRIBE.format(&text) }
    }

    /// The whole with its tabs.
    pub fn finish_unaligned(self) -> String {
        escape(&self.text)
    }
}

/// At most so many bytes, and a sign that there are more.
pub fn shorten(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    format!("{}...", &text[..end])
}

/// The text, or `<none>`.
pub fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

/// The text behind a pointer, or `<unset>`.
pub fn or_unset(value: &Json) -> String {
    match value {
        Json::Null => "<unset>".into(),
        value => plain(value),
    }
}

/// `True` or `False`; `<unset>` where it is neither.
pub fn flag(value: &Json) -> &'static str {
    match value.as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    }
}

/// A text or a number without quotes: `IntOrString`, and what `%v` does with both.
pub fn plain(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        value => crate::api::go::display(value),
    }
}

/// A quantity in its canonical spelling; `0` where there is none.
pub fn quantity(value: &Json) -> String {
    let text = value.as_str().unwrap_or("0");
    crate::api::quantity::Quantity::parse(text).map_or_else(|_| text.to_owned(), |q| q.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document() -> Document {
        Document::new(Timestamp::UNIX_EPOCH, TimeZone::UTC)
    }

    #[test]
    fn long_annotations_stand_below_their_key_and_are_cut() {
        let mut doc = document();
        doc.annotations("Annotations", &json!({"a": "x".repeat(139), "b": "1\n2\n", SKIPPED_ANNOTATION: "{}", "c": "d"}));
        let expected = format!(
            "Annotations:  a:\n                {}...\n              b:\n                1\n                2\n              c: d\n",
            "x".repeat(138)
        );
        assert_eq!(doc.finish(), expected);
    }

    #[test]
    fn nothing_steers_a_terminal() {
        let mut doc = document();
        doc.labels("Labels", &json!({"a": "\u{1b}]0;x\u{7}"}));
        assert_eq!(doc.finish(), "Labels:  a=^[]0;x\\x07\n");
    }

    #[test]
    fn dates_are_in_the_readers_zone() {
        let doc = Document::new(Timestamp::UNIX_EPOCH, TimeZone::get("Asia/Tokyo").unwrap());
        assert_eq!(doc.date("2026-01-02T20:04:05Z"), "Sat, 03 Jan 2026 05:04:05 +0900");
        assert_eq!(doc.go_time("2026-01-02T20:04:05Z"), "2026-01-03 05:04:05 +0900 JST");
        assert_eq!(doc.date(""), NO_DATE);
    }
}
