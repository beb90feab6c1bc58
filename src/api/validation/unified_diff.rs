//! A unified diff of two texts as Python's difflib (and its Go port, which Kubernetes uses) makes it.
//! Source: github.com/pmezard/go-difflib, the algorithm of Ratcliff and Obershelp.

use std::collections::HashMap;
use std::fmt::Write as _;

/// Lines kept around a change.
const CONTEXT: usize = 3;

/// Equal stretches: `a[a..a+size] == b[b..b+size]`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Match {
    a: usize,
    b: usize,
    size: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Change {
    Equal,
    Other,
}

#[derive(Clone, Copy)]
struct Step {
    change: Change,
    a: (usize, usize),
    b: (usize, usize),
}

/// The hunks of the difference, without file names; empty where there is none.
pub fn unified(old: &str, new: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (old.split('\n').collect(), new.split('\n').collect());
    let mut out = String::new();
    for group in groups(&steps(&a, &b)) {
        write_group(&mut out, &group, &a, &b);
    }
    out
}

fn write_group(out: &mut String, group: &[Step], a: &[&str], b: &[&str]) {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return };
    let _ = writeln!(out, "@@ -{} +{} @@", range(first.a.0, last.a.1), range(first.b.0, last.b.1));
    for step in group {
        if step.change == Change::Equal {
            for line in &a[step.a.0..step.a.1] {
                let _ = writeln!(out, " {line}");
            }
            continue;
        }
        for line in &a[step.a.0..step.a.1] {
            let _ = writeln!(out, "-{line}");
        }
        for line in &b[step.b.0..step.b.1] {
            let _ = writeln!(out, "+{line}");
        }
    }
}

fn range(start: usize, stop: usize) -> String {
    match stop - start {
        1 => format!("{}", start + 1),
        0 => format!("{start},0"),
        length => format!("{},{length}", start + 1),
    }
}

fn steps(a: &[&str], b: &[&str]) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut i, mut j) = (0, 0);
    for found in matches(a, b) {
        if i < found.a || j < found.b {
            steps.push(Step { change: Change::Other, a: (i, found.a), b: (j, found.b) });
        }
        (i, j) = (found.a + found.size, found.b + found.size);
        if found.size > 0 {
            steps.push(Step { change: Change::Equal, a: (found.a, i), b: (found.b, j) });
        }
    }
    steps
}

/// Steps in groups with up to [`CONTEXT`] equal lines around the changes.
fn groups(steps: &[Step]) -> Vec<Vec<Step>> {
    let mut steps = steps.to_vec();
    if let Some(first) = steps.first_mut().filter(|s| s.change == Change::Equal) {
        first.a.0 = first.a.0.max(first.a.1.saturating_sub(CONTEXT));
        first.b.0 = first.b.0.max(first.b.1.saturating_sub(CONTEXT));
    }
    if let Some(last) = steps.last_mut().filter(|s| s.change == Change::Equal) {
        last.a.1 = last.a.1.min(last.a.0 + CONTEXT);
        last.b.1 = last.b.1.min(last.b.0 + CONTEXT);
    }
    let (mut groups, mut group) = (Vec::new(), Vec::new());
    for mut step in steps {
        if step.change == Change::Equal && step.a.1 - step.a.0 > 2 * CONTEXT {
            let end = (step.a.1.min(step.a.0 + CONTEXT), step.b.1.min(step.b.0 + CONTEXT));
            group.push(Step { change: Change::Equal, a: (step.a.0, end.0), b: (step.b.0, end.1) });
            groups.push(std::mem::take(&mut group));
            step.a.0 = step.a.1 - CONTEXT;
            step.b.0 = step.b.1 - CONTEXT;
        }
        group.push(step);
    }
    if group.iter().any(|s| s.change == Change::Other) {
        groups.push(group);
    }
    groups
}

fn matches(a: &[&str], b: &[&str]) -> Vec<Match> {
    let index = positions(b);
    let mut found = Vec::new();
    collect(a, b, &index, (0, a.len()), (0, b.len()), &mut found);
    found.sort_by_key(|m| (m.a, m.b));
    let mut joined: Vec<Match> = Vec::new();
    for next in found {
        match joined.last_mut() {
            Some(last) if last.a + last.size == next.a && last.b + last.size == next.b => last.size += next.size,
            _ => joined.push(next),
        }
    }
    joined.push(Match { a: a.len(), b: b.len(), size: 0 });
    joined
}

/// Where each line stands in `b`; in long texts without the lines that are everywhere.
fn positions<'a>(b: &[&'a str]) -> HashMap<&'a str, Vec<usize>> {
    let mut index: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, line) in b.iter().enumerate() {
        index.entry(line).or_default().push(i);
    }
    if b.len() >= 200 {
        let limit = b.len() / 100 + 1;
        index.retain(|_, places| places.len() <= limit);
    }
    index
}

type Index<'a> = HashMap<&'a str, Vec<usize>>;

fn collect(a: &[&str], b: &[&str], at: &Index, ra: (usize, usize), rb: (usize, usize), found: &mut Vec<Match>) {
    let mut open = vec![(ra, rb)];
    while let Some((ra, rb)) = open.pop() {
        let best = longest(a, b, at, ra, rb);
        if best.size == 0 {
            continue;
        }
        if ra.0 < best.a && rb.0 < best.b {
            open.push(((ra.0, best.a), (rb.0, best.b)));
        }
        if best.a + best.size < ra.1 && best.b + best.size < rb.1 {
            open.push(((best.a + best.size, ra.1), (best.b + best.size, rb.1)));
        }
        found.push(best);
    }
}

/// The longest equal stretch; of several the one that starts first in `a`, then first in `b`.
fn longest(a: &[&str], b: &[&str], at: &Index, ra: (usize, usize), rb: (usize, usize)) -> Match {
    let mut best = Match { a: ra.0, b: rb.0, size: 0 };
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    for (i, line) in a.iter().enumerate().take(ra.1).skip(ra.0) {
        let mut next = HashMap::new();
        for &j in at.get(line).map_or(&[][..], Vec::as_slice).iter().filter(|j| (rb.0..rb.1).contains(j)) {
            let size = j.checked_sub(1).and_then(|j| lengths.get(&j)).copied().unwrap_or(0) + 1;
            next.insert(j, size);
            if size > best.size {
                best = Match { a: i + 1 - size, b: j + 1 - size, size };
            }
        }
        lengths = next;
    }
    while best.a > ra.0 && best.b > rb.0 && a[best.a - 1] == b[best.b - 1] {
        best = Match { a: best.a - 1, b: best.b - 1, size: best.size + 1 };
    }
    while best.a + best.size < ra.1 && best.b + best.size < rb.1 && a[best.a + best.size] == b[best.b + best.size] {
        best.size += 1;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_no_hunks() {
        assert_eq!(unified("a\nb", "a\nb"), "");
    }

    #[test]
    fn far_changes_make_hunks_of_their_own() {
        let old: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let mut new = old.clone();
        new[2] = "x".into();
        new[17] = "y".into();
        let text = unified(&old.join("\n"), &new.join("\n"));
        assert_eq!(text.matches("@@ -").count(), 2);
        assert!(text.starts_with("@@ -1,6 +1,6 @@\n 0\n 1\n-2\n+x\n 3\n"), "{text}");
    }
}
