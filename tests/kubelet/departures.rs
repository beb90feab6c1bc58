//! Where `wl` differs on purpose, or where what was recorded is the recorded machine's own.
//!
//! `tests/data/kubelet-departures.txt`, a line each: `SCENARIO ASPECT PART : REASON`. SCENARIO may end in `*`; ASPECT is one of
//! `problems`, `results`, `final`, `sequence`, `events`, `logs` (the whole difference), `state` (a recorded state that need not be
//! seen), `event` and `log` (one event, one line), or `*` (all of it: it cannot be played here); PART must be in the text.
//! A line that begins with `user:` holds for an ordinary user's Podman, one with `unlimited:` where that can limit nothing besides.

use wl::runtime::Machine;

pub struct Departures(Vec<Departure>);

struct Departure {
    scenario: String,
    aspect: String,
    part: String,
}

impl Departures {
    pub fn read(machine: &Machine) -> Self {
        let text = include_str!("../data/kubelet-departures.txt");
        let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
        let lines = lines.filter_map(|line| match line.split_once(':').unwrap_or_default() {
            ("user", rule) => machine.rootless.then_some(rule),
            ("unlimited", rule) => machine.lacks_controllers.then_some(rule),
            _ => Some(line),
        });
        Departures(
            lines
                .map(|line| {
                    let (rule, reason) = line.split_once(" : ").expect("a departure has a reason");
                    assert!(!reason.trim().is_empty(), "{line}");
                    let mut words = rule.splitn(3, ' ');
                    let mut word = || words.next().unwrap_or_default().trim().to_owned();
                    Departure { scenario: word(), aspect: word(), part: word() }
                })
                .collect(),
        )
    }

    pub fn explain(&self, id: &str, aspect: &str, text: &str) -> bool {
        self.0.iter().any(|d| {
            let named = match d.scenario.strip_suffix('*') {
                Some(head) => id.starts_with(head),
                None => id == d.scenario,
            };
            let aspect_fits = d.aspect == aspect || (d.aspect == "*" && d.part.is_empty());
            named && aspect_fits && text.contains(&d.part)
        })
    }
}
