//! Completion indexes of an Indexed Job, kept as ranges.
//! Source of the rules: pkg/controller/job/indexed_job_utils.go.

use std::collections::BTreeSet;

use serde_json::json;

use crate::api::Json;
use crate::api::digest::JOB_INDEX;

const INDEX_ENV: &str = "JOB_COMPLETION_INDEX";
/// Longest generated prefix of a pod's name: 63 less five random letters.
const LONGEST_BASE: usize = 58;

/// Ascending ranges of indexes that neither touch nor overlap; both ends are in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(Vec<(usize, usize)>);

impl Indexes {
    /// Reads `1,3-5`; what lies beyond `completions` and what is no number is left out.
    pub fn parse(text: &str, completions: usize) -> Self {
        let mut found = Indexes::default();
        for range in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else { continue };
            if first >= completions {
                break;
            }
            found.append((first, last.min(completions - 1)));
        }
        found
    }

    /// Adds a range that begins no earlier than any before it.
    fn append(&mut self, (first, last): (usize, usize)) {
        match self.0.last_mut() {
            Some(end) if first <= end.1 + 1 => end.1 = end.1.max(last),
            _ => self.0.push((first, last)),
        }
    }

    pub fn merged(&self, other: &Indexes) -> Self {
        let mut ranges: Vec<_> = self.0.iter().chain(&other.0).copied().collect();
        ranges.sort_unstable();
        let mut merged = Indexes::default();
        ranges.into_iter().for_each(|range| merged.append(range));
        merged
    }

    pub fn with(&self, more: impl IntoIterator<Item = usize>) -> Self {
        let more: BTreeSet<usize> = more.into_iter().collect();
        self.merged(&Indexes(more.into_iter().map(|i| (i, i)).collect()))
    }

    pub fn total(&self) -> usize {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    pub fn has(&self, index: usize) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < index);
        self.0.get(at).is_some_and(|(first, _)| *first <= index)
    }

    /// How many indexes are in both.
    pub fn in_common(&self, other: &Indexes) -> usize {
        let (mut a, mut b, mut common) = (0, 0, 0);
        while let (Some(left), Some(right)) = (self.0.get(a), other.0.get(b)) {
            common += (left.1.min(right.1) + 1).saturating_sub(left.0.max(right.0));
            if left.1 <= right.1 {
                a += 1;
            }
            if right.1 <= left.1 {
                b += 1;
            }
        }
        common
    }

    /// The lowest `count` indexes under `completions` that are not in here.
    pub fn missing(&self, count: usize, completions: usize) -> Vec<usize> {
        let mut free = Vec::new();
        let mut next = 0;
        for &(first, last) in self.0.iter().chain([&(completions, completions)]) {
            free.extend((next..first.min(completions)).take(count - free.len()));
            next = last + 1;
        }
        free
    }
}

impl std::fmt::Display for Indexes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// What the names of the pods of an index begin with; a long Job name is cut, the index is kept.
pub(super) fn name_base(job: &str, index: usize) -> String {
    let ending = format!("-{index}-");
    let kept: String = job.chars().take(LONGEST_BASE - ending.len()).collect();
    kept + &ending
}

/// Tells the pod of a template its index: annotation, label, host name, environment.
pub(super) fn mark(template: &mut Json, job: &str, index: usize) {
    let text = index.to_string();
    template["metadata"]["annotations"][JOB_INDEX] = json!(text);
    template["metadata"]["labels"][JOB_INDEX] = json!(text);
    template["spec"]["hostname"] = json!(format!("{job}-{index}"));
    for list in ["initContainers", "containers"] {
        let containers = template["spec"].get_mut(list).and_then(Json::as_array_mut);
        for container in containers.into_iter().flatten() {
            add_variable(container);
        }
    }
}

fn add_variable(container: &mut Json) {
    if !container["env"].is_array() {
        container["env"] = json!([]);
    }
    let Some(variables) = container["env"].as_array_mut() else { return };
    if variables.iter().all(|variable| variable["name"] != INDEX_ENV) {
        let path = format!("metadata.labels['{JOB_INDEX}']");
        variables.push(json!({
            "name": INDEX_ENV,
            "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}},
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_written_as_they_are_kept() {
        for text in ["", "0", "0,1", "0-2", "1,3-5,7,8,10"] {
            assert_eq!(Indexes::parse(text, 100).to_string(), text);
        }
        assert_eq!(Indexes::parse("1,3-9", 5).to_string(), "1,3,4");
        assert_eq!(Indexes::parse("x,2", 5).to_string(), "2");
        assert_eq!(Indexes::parse("0,1,2", 5).to_string(), "0-2");
    }

    #[test]
    fn indexes_join_count_and_leave_gaps() {
        let some = Indexes::parse("1,3-5", 10).with([2, 8, 4]);
        assert_eq!(some.to_string(), "1-5,8");
        assert_eq!(some.total(), 6);
        assert!(some.has(1) && some.has(5) && some.has(8) && !some.has(0) && !some.has(6));
        assert_eq!(some.missing(3, 10), [0, 6, 7]);
        assert_eq!(some.missing(9, 10), [0, 6, 7, 9]);
        assert_eq!(some.missing(0, 10), [0usize; 0]);
        assert_eq!(some.in_common(&Indexes::parse("0-2,5-9", 10)), 4);
        assert_eq!(Indexes::default().missing(2, 1), [0]);
    }

    #[test]
    fn a_long_job_name_keeps_the_index_of_its_pods() {
        assert_eq!(name_base("pi", 3), "pi-3-");
        let long = name_base(&"x".repeat(63), 12);
        assert_eq!(long.len(), 58);
        assert!(long.ends_with("x-12-"));
    }
}
