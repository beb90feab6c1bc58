//! From when on something is too little, as the kubelet's flags say it.
//! Source: pkg/kubelet/eviction/helpers.go (ParseThresholdConfig); k8s.io/component-base/cli/flag
//! (langle_separated_map_string_string.go, map_string_string.go).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use jiff::SignedDuration;

use super::Signal;
use crate::api::go_time;
use crate::api::quantity::{Format, Quantity};
use crate::runtime::Shortage;

/// Whatever is too little: the node's condition stays for so long (pkg/kubelet/apis/config/v1beta1/defaults.go).
const TRANSITION: SignedDuration = SignedDuration::from_mins(5);
/// Where nothing else is asked for: docs/decisions/0011-only-memory-is-watched-unasked.md.
const HARD: &str = "memory.available<100Mi";

/// An amount, or a share of what there is.
#[derive(Clone, Debug, PartialEq)]
pub enum Amount {
    Quantity(Quantity),
    Share(f32),
}

impl Amount {
    /// Of so much.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "the kubelet counts shares as float64")]
    pub fn of(&self, capacity: i64) -> Quantity {
        match self {
            Amount::Quantity(quantity) => quantity.clone(),
            Amount::Share(share) => Quantity::from_i64((capacity as f64 * f64::from(*share)) as i64, Format::BinarySi),
        }
    }
}

/// Less than this is too little.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    pub signal: Signal,
    pub value: Amount,
    /// For so long it has to be too little before a pod goes. Zero: at once, and the pod gets no time either.
    pub grace: SignedDuration,
    /// So much more than `value` there has to be before it is enough again.
    pub min_reclaim: Option<Amount>,
}

impl Threshold {
    pub fn is_hard(&self) -> bool {
        self.grace.is_zero()
    }
}

/// What this node takes for too little.
#[derive(Clone, Debug, PartialEq)]
pub struct PressureConfig {
    /// In the order of their signals, hard ones first.
    pub thresholds: Vec<Threshold>,
    /// Of a pod that goes for a soft threshold, in seconds; none: its own.
    pub max_pod_grace: Option<i64>,
    /// For how long a condition stays after it was last seen.
    pub transition: SignedDuration,
}

impl Default for PressureConfig {
    /// Nothing is ever too little.
    fn default() -> Self {
        PressureConfig { thresholds: Vec::new(), max_pod_grace: None, transition: TRANSITION }
    }
}

/// The flags as they were given, cut at their commas. `None`: not given.
#[derive(Clone, Copy, Debug, Default)]
pub struct PressureFlags<'a> {
    pub hard: Option<&'a [String]>,
    pub soft: &'a [String],
    pub soft_grace: &'a [String],
    pub min_reclaim: &'a [String],
    pub max_pod_grace: Option<i64>,
    pub transition: Option<&'a str>,
}

impl PressureConfig {
    /// What has to be measured for it.
    pub fn shortages(&self) -> BTreeSet<Shortage> {
        self.thresholds.iter().map(|t| t.signal.shortage()).collect()
    }

    /// Reads the flags; `Err`: all that is wrong with them.
    pub fn parse(flags: PressureFlags<'_>) -> Result<Self, Vec<String>> {
        let mut reader = Reader::default();
        let unasked = [HARD.to_owned()];
        let mut thresholds = reader.thresholds("eviction-hard", flags.hard.unwrap_or(&unasked));
        let graces = reader.pairs("eviction-soft-grace-period", flags.soft_grace, '=', grace);
        let soft = reader.thresholds("eviction-soft", flags.soft);
        for mut threshold in soft {
            match graces.get(&threshold.signal) {
                Some(grace) => threshold.grace = *grace,
                // One that could not be read has been told of.
                None if names(flags.soft_grace, threshold.signal) => {}
                None => {
                    let why = format!("grace period must be specified for the soft eviction threshold {}", threshold.signal.name());
                    reader.wrong("eviction-soft", why);
                }
            }
            thresholds.push(threshold);
        }
        let reclaims = reader.pairs("eviction-minimum-reclaim", flags.min_reclaim, '=', min_reclaim);
        for threshold in &mut thresholds {
            threshold.min_reclaim = reclaims.get(&threshold.signal).cloned();
        }
        thresholds.sort_by_key(|t| (t.signal, !t.is_hard()));
        let transition = match flags.transition.map(go_time::parse_duration) {
            None => TRANSITION,
            Some(Ok(nanos)) if nanos >= 0 => SignedDuration::from_nanos(nanos),
            Some(read) => {
                reader.wrong("eviction-pressure-transition-period", read.err().unwrap_or_else(|| "must not be negative".into()));
                TRANSITION
            }
        };
        // The kubelet's help: "If negative, defer to pod specified value"; and so it does with 0, its default.
        let max_pod_grace = flags.max_pod_grace.filter(|seconds| *seconds > 0);
        if reader.errors.is_empty() { Ok(PressureConfig { thresholds, max_pod_grace, transition }) } else { Err(reader.errors) }
    }
}

/// Whether one of the pairs is about a signal.
fn names(pairs: &[String], signal: Signal) -> bool {
    pairs.iter().any(|pair| pair.split('=').next().is_some_and(|name| name.trim() == signal.name()))
}

/// Reads flags, and keeps what is wrong with them.
#[derive(Default)]
struct Reader {
    errors: Vec<String>,
}

impl Reader {
    fn wrong(&mut self, flag: &str, why: impl Display) {
        self.errors.push(format!("--{flag}: {why}"));
    }

    fn thresholds(&mut self, flag: &str, pairs: &[String]) -> Vec<Threshold> {
        let values = self.pairs(flag, pairs, '<', threshold);
        let values = values.into_iter().filter_map(|(signal, value)| Some((signal, value?)));
        values.map(|(signal, value)| Threshold { signal, value, grace: SignedDuration::ZERO, min_reclaim: None }).collect()
    }

    /// What each signal is given.
    fn pairs<T>(
        &mut self,
        flag: &str,
        pairs: &[String],
        separator: char,
        read: impl Fn(Signal, &str) -> Result<T, String>,
    ) -> BTreeMap<Signal, T> {
        let mut all = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for pair in pairs.iter().filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = pair.split_once(separator).map(|(name, value)| (name.trim(), value.trim())) else {
                self.wrong(flag, format!("{pair:?}: malformed pair, expect string{separator}string"));
                continue;
            };
            let Some(signal) = Signal::ALL.into_iter().find(|signal| signal.name() == name) else {
                self.wrong(flag, unknown(name));
                continue;
            };
            if !seen.insert(signal) {
                self.wrong(flag, format!("found duplicate eviction threshold for signal {name}"));
                continue;
            }
            match read(signal, value) {
                Ok(value) => {
                    all.insert(signal, value);
                }
                Err(why) => self.wrong(flag, format!("{pair:?}: {why}")),
            }
        }
        all
    }
}

/// What the kubelet says of a signal that it does not know, and more where it would take one and ignore it.
fn unknown(name: &str) -> String {
    let why = match name {
        "containerfs.available" | "containerfs.inodesFree" => " (what containers write lies where the images do: imagefs)",
        "allocatableMemory.available" => " (pods have no memory of their own here: memory.available)",
        _ => "",
    };
    format!("unsupported eviction signal {name}{why}")
}

/// `None`: 0% and 100% say nothing.
fn threshold(signal: Signal, text: &str) -> Result<Option<Amount>, String> {
    let name = signal.name();
    if text == "0%" || text == "100%" {
        return Ok(None);
    }
    if text.ends_with('%') {
        let share = share(text)?;
        return match share {
            share if share < 0.0 => Err(format!("eviction percentage threshold {name} must be >= 0%: {text}")),
            share if share > 1.0 => Err(format!("eviction percentage threshold {name} must be <= 100%: {text}")),
            share => Ok(Some(Amount::Share(share))),
        };
    }
    let quantity = Quantity::parse(text)?;
    if quantity.signum() <= 0 {
        return Err(format!("eviction threshold {name} must be positive: {quantity}"));
    }
    Ok(Some(Amount::Quantity(quantity)))
}

fn min_reclaim(signal: Signal, text: &str) -> Result<Amount, String> {
    let name = signal.name();
    if text.ends_with('%') {
        let share = share(text)?;
        if share <= 0.0 {
            return Err(format!("eviction percentage minimum reclaim {name} must be positive: {text}"));
        }
        return Ok(Amount::Share(share));
    }
    let quantity = Quantity::parse(text)?;
    if quantity.signum() < 0 {
        return Err(format!("negative eviction minimum reclaim specified for {name}"));
    }
    Ok(Amount::Quantity(quantity))
}

fn grace(_: Signal, text: &str) -> Result<SignedDuration, String> {
    let nanos = go_time::parse_duration(text)?;
    if nanos < 0 {
        return Err(format!("invalid eviction grace period specified: {text}, must be a positive value"));
    }
    Ok(SignedDuration::from_nanos(nanos))
}

fn share(text: &str) -> Result<f32, String> {
    let number = text.trim_end_matches('%');
    let read = number.parse::<f32>().ok().filter(|share| share.is_finite());
    let share = read.ok_or_else(|| format!("strconv.ParseFloat: parsing {number:?}: invalid syntax"))?;
    Ok(share / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    fn errors(hard: &str, soft: &str, graces: &str, reclaims: &str) -> Vec<String> {
        let (hard, soft, graces, reclaims) = (list(hard), list(soft), list(graces), list(reclaims));
        let flags = PressureFlags {
            hard: Some(&hard),
            soft: &soft,
            soft_grace: &graces,
            min_reclaim: &reclaims,
            ..PressureFlags::default()
        };
        PressureConfig::parse(flags).err().unwrap_or_default()
    }

    fn thresholds(hard: &str) -> Vec<(Signal, String)> {
        let hard = list(hard);
        let config = PressureConfig::parse(PressureFlags { hard: Some(&hard), ..PressureFlags::default() }).unwrap();
        config.thresholds.iter().map(|t| (t.signal, t.value.of(1000).to_string())).collect()
    }

    #[test]
    fn unasked_only_memory_is_watched() {
        let config = PressureConfig::parse(PressureFlags::default()).unwrap();
        let seen: Vec<_> = config.thresholds.iter().map(|t| (t.signal, t.value.of(0).to_string(), t.is_hard())).collect();
        assert_eq!(seen, [(Signal::MemoryAvailable, "100Mi".to_owned(), true)]);
        assert_eq!(config.transition, SignedDuration::from_secs(300));
        assert_eq!(config.shortages(), [Shortage::Memory].into());
        assert_eq!(thresholds(""), [], "given and empty: nothing is watched");
    }

    #[test]
    fn amounts_and_shares_are_read_as_the_kubelet_reads_them() {
        let all = "memory.available<100Mi,nodefs.available<10%, imagefs.available < 1.5% ,nodefs.inodesFree<5%,pid.available<1k";
        let expected = [
            (Signal::MemoryAvailable, "100Mi"),
            (Signal::NodeFsAvailable, "100"),
            (Signal::NodeFsInodesFree, "50"),
            // A share is a float32.
            (Signal::ImageFsAvailable, "14"),
            (Signal::PidAvailable, "1k"),
        ];
        assert_eq!(thresholds(all), expected.map(|(signal, text)| (signal, text.to_owned())));
        assert_eq!(thresholds("nodefs.available<0%,imagefs.available<100%"), [], "they say nothing");
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let found = errors(
            "memory.available=1Gi,mem<1,memory.available<-1,nodefs.available<x%,imagefs.available<101%,pid.available<-1%",
            "memory.available<1Gi,nodefs.available<1Gi",
            "nodefs.available=soon,imagefs.available=-1s",
            "memory.available=0%,nodefs.available=-1,imagefs.available=x",
        );
        let expected = [
            "--eviction-hard: \"memory.available=1Gi\": malformed pair, expect string<string",
            "--eviction-hard: unsupported eviction signal mem",
            "--eviction-hard: \"memory.available<-1\": eviction threshold memory.available must be positive: -1",
            "--eviction-hard: \"nodefs.available<x%\": strconv.ParseFloat: parsing \"x\": invalid syntax",
            "--eviction-hard: \"imagefs.available<101%\": eviction percentage threshold imagefs.available must be <= 100%: 101%",
            "--eviction-hard: \"pid.available<-1%\": eviction percentage threshold pid.available must be >= 0%: -1%",
            "--eviction-soft-grace-period: \"nodefs.available=soon\": time: invalid duration \"soon\"",
            "--eviction-soft-grace-period: \"imagefs.available=-1s\": invalid eviction grace period specified: -1s, must be a positive value",
            "--eviction-soft: grace period must be specified for the soft eviction threshold memory.available",
            "--eviction-minimum-reclaim: \"memory.available=0%\": eviction percentage minimum reclaim memory.available must be positive: 0%",
            "--eviction-minimum-reclaim: \"nodefs.available=-1\": negative eviction minimum reclaim specified for nodefs.available",
        ];
        assert_eq!(found[..expected.len()], expected.map(str::to_owned));
        assert_eq!(found.len(), expected.len() + 1, "{found:?}");
    }

    #[test]
    fn a_signal_has_one_threshold_of_each_sort() {
        let twice = "memory.available<1Gi,memory.available<2Gi";
        let found = errors(twice, twice, "memory.available=1m", "");
        let expected = ["--eviction-hard", "--eviction-soft"]
            .map(|flag| format!("{flag}: found duplicate eviction threshold for signal memory.available"));
        assert_eq!(found, expected);
        assert_eq!(errors("memory.available<1Gi", "memory.available<2Gi", "memory.available=1m", ""), Vec::<String>::new());
        assert!(errors("containerfs.available<1Gi", "", "", "")[0].contains("imagefs"));
    }

    #[test]
    fn the_other_flags_have_the_kubelets_meaning() {
        let parse = |max_pod_grace, transition| {
            PressureConfig::parse(PressureFlags { max_pod_grace, transition, ..PressureFlags::default() })
        };
        assert_eq!(parse(Some(60), Some("1m30s")).unwrap().transition, SignedDuration::from_secs(90));
        assert_eq!(parse(Some(60), None).unwrap().max_pod_grace, Some(60));
        assert_eq!(parse(Some(-1), None).unwrap().max_pod_grace, None);
        assert!(parse(None, Some("-1s")).is_err() && parse(None, Some("5")).is_err());
    }
}
