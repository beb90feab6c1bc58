//! Samples, pairs of samples, and the table that they end in.

use std::time::Instant;

use crate::machine;

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Seconds by the clock.
    pub wall: f64,
    /// Seconds of processors, of all that runs in this cgroup; only where it holds nothing else.
    pub cpu: Option<f64>,
}

/// Begins a sample.
pub struct Watch {
    begun: Instant,
    cpu: Option<f64>,
}

impl Watch {
    pub fn start() -> Self {
        Watch { cpu: machine::cgroup_seconds(), begun: machine::now() }
    }

    pub fn stop(self) -> Sample {
        let wall = self.begun.elapsed().as_secs_f64();
        let cpu = self.cpu.and_then(|before| Some(machine::cgroup_seconds()? - before));
        Sample { wall, cpu }
    }
}

/// Runs taken in turn, so that what else the machine does meets both sides alike.
#[derive(Default)]
pub struct Pairs {
    ours: Vec<Sample>,
    theirs: Vec<Sample>,
}

impl Pairs {
    pub fn add(&mut self, ours: Sample, theirs: Sample) {
        self.ours.push(ours);
        self.theirs.push(theirs);
    }

    /// The row of the table: medians of both sides, the median of the pairs' ratios.
    pub fn row(&self, name: &str, beside: &str, at_most: f64) -> Row {
        let walls = |side: &[Sample]| side.iter().map(|s| s.wall).collect::<Vec<_>>();
        let cpus = |side: &[Sample]| side.iter().filter_map(|s| s.cpu).collect::<Vec<_>>();
        let (ours, theirs) = (walls(&self.ours), walls(&self.theirs));
        let (our_cpu, their_cpu) = (cpus(&self.ours), cpus(&self.theirs));
        let cpu = (our_cpu.len() == ours.len() && our_cpu.iter().chain(&their_cpu).all(|s| *s > 0.0))
            .then(|| median(&ratios(&our_cpu, &their_cpu)));
        Row {
            name: name.to_owned(),
            ours: time(median(&ours)),
            beside: format!("{} ({beside})", time(median(&theirs))),
            ratio: median(&ratios(&ours, &theirs)),
            cpu,
            at_most,
            runs: ours.len(),
        }
    }
}

/// One line of the table.
pub struct Row {
    pub name: String,
    pub ours: String,
    pub beside: String,
    /// What the bound is for.
    pub ratio: f64,
    /// The same ratio of processor time.
    pub cpu: Option<f64>,
    pub at_most: f64,
    pub runs: usize,
}

impl Row {
    /// A figure with a bound of its own, beside nothing.
    pub fn alone(name: &str, shown: String, figure: f64, at_most: f64) -> Self {
        Row { name: name.to_owned(), ours: shown, beside: "–".into(), ratio: figure, cpu: None, at_most, runs: 1 }
    }

    pub fn print(&self) {
        let cpu = self.cpu.map_or_else(|| "–".to_owned(), |cpu| format!("{cpu:.2}"));
        let verdict = if self.ratio <= self.at_most { "" } else { " **over**" };
        let at_most = if self.at_most.is_finite() { self.at_most.to_string() } else { "–".to_owned() };
        println!(
            "| {} | {} | {} | {:.2}{verdict} | {at_most} | {cpu} | {} |",
            self.name, self.ours, self.beside, self.ratio, self.runs
        );
    }
}

/// The head of the table.
pub fn print_head() {
    println!("| measure | wl | beside | ratio | at most | of CPU | runs |\n|---|---|---|---|---|---|---|");
}

fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(a, b)| a / b).collect()
}

/// The value in the middle, or between the two there.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that a share of all do not exceed, between two where it falls there.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few samples"
    )]
    let (place, low) = (share * last as f64, (share * last as f64) as usize);
    let high = (low + 1).min(last);
    sorted[low] + (sorted[high] - sorted[low]) * place.fract()
}

/// A length of time as people read it.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.1} µs", s * 1e6),
    }
}
