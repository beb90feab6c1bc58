//! Levels, versions, and which a namespace's labels choose.

use std::collections::BTreeMap;
use std::fmt;

/// How much a Pod may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    /// By its name; `None`: there is no such level.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "privileged" => Some(Level::Privileged),
            "baseline" => Some(Level::Baseline),
            "restricted" => Some(Level::Restricted),
            _ => None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        })
    }
}

/// Of which Kubernetes release the standards are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Latest,
    Minor(u32),
}

impl Version {
    /// The newest release whose checks are known here.
    const NEWEST: u32 = 36;

    fn parse(text: &str) -> Option<Self> {
        if text == "latest" {
            return Some(Version::Latest);
        }
        let digits = text.strip_prefix("v1.")?;
        let plain = digits == "0" || !digits.starts_with('0');
        let minor = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
        plain.then_some(Version::Minor(minor))
    }

    /// The minor release whose checks count.
    pub fn minor(self) -> u32 {
        match self {
            Version::Latest => Version::NEWEST,
            Version::Minor(minor) => minor.min(Version::NEWEST),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LevelVersion {
    pub level: Level,
    pub version: Version,
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Version::Latest => write!(f, "{}:latest", self.level),
            Version::Minor(minor) => write!(f, "{}:v1.{minor}", self.level),
        }
    }
}

/// What a namespace enforces and warns of. What it audits goes to a log that one machine does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub enforce: LevelVersion,
    pub warn: LevelVersion,
}

/// A label that says nothing.
pub(super) struct LabelError {
    pub label: &'static str,
    pub value: String,
    pub why: &'static str,
}

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const ENFORCE_VERSION: &str = "pod-security.kubernetes.io/enforce-version";
const AUDIT: &str = "pod-security.kubernetes.io/audit";
const AUDIT_VERSION: &str = "pod-security.kubernetes.io/audit-version";
const WARN: &str = "pod-security.kubernetes.io/warn";
const WARN_VERSION: &str = "pod-security.kubernetes.io/warn-version";

const BAD_LEVEL: &str = "must be one of privileged, baseline, restricted";
const BAD_VERSION: &str = "must be \"latest\" or \"v1.x\"";

impl Policy {
    /// By labels; `default` is the level where they are silent. A level that is none counts as the strictest.
    /// Source: `PolicyToEvaluate` in api/helpers.go.
    pub fn of_labels(labels: &BTreeMap<&str, &str>, default: Level) -> (Policy, Vec<LabelError>) {
        let latest = LevelVersion { level: default, version: Version::Latest };
        let mut policy = Policy { enforce: latest, warn: latest };
        let mut errors = Vec::new();
        let mut level = |label: &'static str, if_bad: Level| {
            let value = labels.get(label)?;
            let level = Level::parse(value);
            if level.is_none() {
                errors.push(LabelError { label, value: (*value).to_owned(), why: BAD_LEVEL });
            }
            Some((level.unwrap_or(if_bad), level.is_some()))
        };
        let enforce = level(ENFORCE, Level::Restricted);
        let audit_given = level(AUDIT, Level::Privileged);
        let warn = level(WARN, Level::Privileged);
        let _ = audit_given;
        let mut version = |label: &'static str| {
            let value = labels.get(label)?;
            let version = Version::parse(value);
            if version.is_none() {
                errors.push(LabelError { label, value: (*value).to_owned(), why: BAD_VERSION });
            }
            Some(version.unwrap_or(Version::Latest))
        };
        let enforce_version = version(ENFORCE_VERSION);
        version(AUDIT_VERSION);
        let warn_version = version(WARN_VERSION);
        policy.enforce.level = enforce.map_or(default, |(l, _)| l);
        policy.enforce.version = enforce_version.unwrap_or(Version::Latest);
        policy.warn.level = warn.map_or(default, |(l, _)| l);
        policy.warn.version = warn_version.unwrap_or(Version::Latest);
        // Who enforces more than is warned of wants to be warned of that.
        let enforced = enforce.is_some_and(|(_, good)| good);
        if warn.is_none() && enforced && policy.enforce.level > policy.warn.level {
            policy.warn.level = policy.enforce.level;
            if warn_version.is_none() {
                policy.warn.version = policy.enforce.version;
            }
        }
        errors.sort_by_key(|e| {
            [ENFORCE, ENFORCE_VERSION, AUDIT, AUDIT_VERSION, WARN, WARN_VERSION].iter().position(|l| *l == e.label)
        });
        (policy, errors)
    }
}
