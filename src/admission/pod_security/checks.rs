//! What a check is, and how it sees a Pod.

use std::collections::BTreeSet;

use crate::api::Json;
use crate::api::tree::Tree;

/// A way in which a Pod breaks a standard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub reason: String,
    pub detail: String,
}

impl Violation {
    pub fn new(reason: impl Into<String>, detail: impl Into<String>) -> Option<Self> {
        Some(Violation { reason: reason.into(), detail: detail.into() })
    }
}

/// One check of the standards.
pub(super) struct Check {
    pub id: &'static str,
    /// The minor release that it came with.
    pub since: u32,
    /// Checks of the baseline that it makes needless.
    pub overrides: &'static [&'static str],
    /// Given the minor release that is asked for.
    pub look: fn(u32, &PodView<'_>) -> Option<Violation>,
}

impl Check {
    pub fn run(&self, minor: u32, pod: &PodView<'_>) -> Option<Violation> {
        if minor < self.since { None } else { (self.look)(minor, pod) }
    }
}

/// A Pod or a template.
pub(super) struct PodView<'a> {
    pub metadata: &'a Json,
    pub spec: &'a Json,
    /// Init containers, containers, ephemeral containers.
    pub containers: Vec<&'a Json>,
}

impl<'a> PodView<'a> {
    pub fn of(pod: &'a Json) -> Self {
        let spec = pod.field("spec");
        let lists = ["initContainers", "containers", "ephemeralContainers"];
        let containers = lists.into_iter().flat_map(|l| spec.list(l)).collect();
        PodView { metadata: pod.field("metadata"), spec, containers }
    }

    pub fn security(&self) -> &'a Json {
        self.spec.field("securityContext")
    }

    pub fn is_windows(&self) -> bool {
        self.spec.field("os").text("name") == "windows"
    }

    pub fn in_user_namespace(&self) -> bool {
        self.spec.field("hostUsers").as_bool() == Some(false)
    }

    /// Names of the containers that a test picks out.
    pub fn names(&self, mut bad: impl FnMut(&'a Json) -> bool) -> Vec<&'a str> {
        self.containers.iter().filter(|c| bad(c)).map(|c| c.text("name")).collect()
    }
}

pub(super) fn joined<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|i| format!("\"{}\"", i.as_ref())).collect::<Vec<_>>().join(", ")
}

pub(super) fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// `container "a"`, `containers "a", "b"`.
pub(super) fn containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), joined(names))
}

/// Who set something: `pod and container "a"`.
pub(super) fn setters(pod: bool, names: &[&str]) -> Option<String> {
    let mut setters = Vec::new();
    if pod {
        setters.push("pod".to_owned());
    }
    if !names.is_empty() {
        setters.push(containers(names));
    }
    (!setters.is_empty()).then(|| setters.join(" and "))
}

/// Bad values seen, sorted.
pub(super) type Seen = BTreeSet<String>;
