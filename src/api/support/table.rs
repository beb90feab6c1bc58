//! The table itself, read once from the embedded text; its form is told at its head.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::api::Json;
use crate::api::schema::Schema;

/// What happens here with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As in Kubernetes.
    Runs,
    /// Nearly so; the reason tells how.
    Approximated,
    /// It has no effect on one machine; the reason tells why.
    Ignored,
    /// It is not accepted; the reason tells why.
    Refused,
}

/// A section of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub verdict: Verdict,
    /// Empty for what runs.
    pub reason: String,
    /// The test of the effect, for what runs.
    pub test: Option<String>,
}

/// A line's word: a field, and for which of its values it counts.
#[derive(Clone, Debug)]
struct Rule {
    type_pattern: String,
    field: String,
    /// Only this value.
    only: Option<Json>,
    /// This value is nothing to talk about.
    quiet: Option<Json>,
    section: usize,
}

impl Rule {
    /// The most exact rule of a field wins: exact type before pattern, exact field before `*`, longer pattern first.
    fn exactness(&self) -> (bool, bool, usize) {
        (!self.type_pattern.contains('*'), self.field != "*", self.type_pattern.len())
    }
}

/// The whole table.
pub struct Table {
    sections: Vec<Entry>,
    rules: Vec<Rule>,
    /// Type and field → rules about it, the most exact first.
    index: HashMap<(String, String), Vec<usize>>,
}

impl Table {
    /// The embedded table.
    pub fn get() -> &'static Table {
        static TABLE: OnceLock<Table> = OnceLock::new();
        TABLE.get_or_init(|| {
            let mut table = Table::parse(include_str!("table.txt")).expect("the embedded table is well-formed");
            table.build_index();
            table
        })
    }

    /// `Err`: the line that is not understood, and why.
    fn parse(text: &str) -> Result<Table, String> {
        let mut table = Table { sections: Vec::new(), rules: Vec::new(), index: HashMap::new() };
        for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
            if let Some(head) = line.strip_prefix("= ") {
                table.sections.push(section(head).ok_or_else(|| format!("no such verdict: {line}"))?);
                continue;
            }
            let section = table.sections.len().checked_sub(1).ok_or_else(|| format!("before any section: {line}"))?;
            let mut words = line.split_whitespace();
            let type_pattern = words.next().unwrap_or_default().to_owned();
            for word in words {
                let rule = rule(&type_pattern, word, section).ok_or_else(|| format!("no such value: {line}"))?;
                table.rules.push(rule);
            }
        }
        Ok(table)
    }

    fn build_index(&mut self) {
        for (name, kind) in &Schema::get().types {
            let short = short_name(name);
            for field in kind.fields.iter().flat_map(|f| f.keys()) {
                let fits = |r: &Rule| (r.field == *field || r.field == "*") && glob(&r.type_pattern, &short);
                let mut rules: Vec<usize> = (0..self.rules.len()).filter(|i| fits(&self.rules[*i])).collect();
                rules.sort_by_key(|i| std::cmp::Reverse((self.rules[*i].only.is_some(), self.rules[*i].exactness())));
                self.index.insert((name.clone(), field.clone()), rules);
            }
        }
    }

    /// What happens with a field, by its type's OpenAPI name, whatever its value. `None`: the schema does not know it.
    #[cfg(test)]
    pub fn field(&self, type_name: &str, field: &str) -> Option<&Entry> {
        let rules = self.index.get(&(type_name.to_owned(), field.to_owned()))?;
        let rule = rules.iter().map(|i| &self.rules[*i]).find(|r| r.only.is_none())?;
        self.sections.get(rule.section)
    }

    /// What happens with a field that has this value; `None` also where the value is nothing to talk about.
    pub fn value(&self, type_name: &str, field: &str, value: &Json) -> Option<&Entry> {
        let rules = self.index.get(&(type_name.to_owned(), field.to_owned()))?;
        let fits = |r: &&Rule| r.only.as_ref().is_none_or(|only| only == value);
        let rule = rules.iter().map(|i| &self.rules[*i]).find(fits)?;
        if rule.quiet.as_ref() == Some(value) {
            return None;
        }
        self.sections.get(rule.section)
    }

    #[cfg(test)]
    pub fn sections(&self) -> &[Entry] {
        &self.sections
    }

    /// Lines that are about nothing, for the test of the table.
    #[cfg(test)]
    pub(super) fn idle(&self) -> Vec<String> {
        let used: std::collections::HashSet<usize> = self.index.values().flatten().copied().collect();
        let idle = |(i, r): (usize, &Rule)| (!used.contains(&i)).then(|| format!("{} {}", r.type_pattern, r.field));
        self.rules.iter().enumerate().filter_map(idle).collect()
    }
}

fn section(head: &str) -> Option<Entry> {
    let (verdict, rest) = head.split_once(' ').unwrap_or((head, ""));
    let verdict = match verdict {
        "runs" => Verdict::Runs,
        "approximated" => Verdict::Approximated,
        "ignored" => Verdict::Ignored,
        "refused" => Verdict::Refused,
        _ => return None,
    };
    match rest.strip_prefix('@') {
        Some(test) => Some(Entry { verdict, reason: String::new(), test: Some(test.to_owned()) }),
        None => Some(Entry { verdict, reason: rest.to_owned(), test: None }),
    }
}

fn rule(type_pattern: &str, word: &str, section: usize) -> Option<Rule> {
    let value = |text: &str| {
        if text.starts_with(['[', '{']) { serde_json::from_str(text).ok() } else { Some(Json::from(text)) }
    };
    let rule = |field: &str, only, quiet| {
        Some(Rule { type_pattern: type_pattern.to_owned(), field: field.to_owned(), only, quiet, section })
    };
    if let Some((field, quiet)) = word.split_once('~') {
        return rule(field, None, Some(value(quiet)?));
    }
    match word.split_once('=') {
        Some((field, only)) => rule(field, Some(value(only)?), None),
        None => rule(word, None, None),
    }
}

/// `io.k8s.api.core.v1.Container` → `core.v1.Container`.
fn short_name(type_name: &str) -> String {
    let parts: Vec<&str> = type_name.rsplitn(4, '.').collect();
    match parts.as_slice() {
        [name, version, group, ..] => format!("{group}.{version}.{name}"),
        _ => type_name.to_owned(),
    }
}

/// Whether a text fits a pattern in which `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    if rest.is_empty() {
        return true;
    }
    loop {
        if glob(rest, text) {
            return true;
        }
        let mut chars = text.chars();
        if chars.next().is_none() {
            return false;
        }
        text = chars.as_str();
    }
}
