//! The checks that the restricted level has besides the baseline's, sorted by their identifiers.
//! Source: k8s.io/pod-security-admission/policy/check_*.go.

use super::baseline::{any_proc_mount, is_good_seccomp};
use super::checks::{Check, PodView, Seen, Violation, containers, joined, plural, setters};
use crate::api::Json;
use crate::api::tree::Tree;

pub(super) const CHECKS: &[Check] = &[
    Check { id: "allowPrivilegeEscalation", since: 8, overrides: &[], look: allow_privilege_escalation },
    Check { id: "capabilities_restricted", since: 22, overrides: &["capabilities_baseline"], look: capabilities },
    Check { id: "procMount_restricted", since: 35, overrides: &["procMount"], look: any_proc_mount },
    Check { id: "restrictedVolumes", since: 0, overrides: &["hostPathVolumes"], look: restricted_volumes },
    Check { id: "runAsNonRoot", since: 0, overrides: &[], look: run_as_non_root },
    Check { id: "runAsUser", since: 23, overrides: &[], look: run_as_user },
    Check {
        id: "seccompProfile_restricted",
        since: 19,
        overrides: &["seccompProfile_baseline"],
        look: seccomp_profile,
    },
];

/// Since 1.25 what Windows does not know is not asked of it.
fn exempt(minor: u32, pod: &PodView<'_>) -> bool {
    minor >= 25 && pod.is_windows()
}

fn allow_privilege_escalation(minor: u32, pod: &PodView<'_>) -> Option<Violation> {
    if exempt(minor, pod) {
        return None;
    }
    let denied = |c: &Json| c.field("securityContext").field("allowPrivilegeEscalation").as_bool() == Some(false);
    let names = pod.names(|c| !denied(c));
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&names));
    Violation::new("allowPrivilegeEscalation != false", detail)
}

fn capabilities(minor: u32, pod: &PodView<'_>) -> Option<Violation> {
    if exempt(minor, pod) {
        return None;
    }
    let own = |c: &'_ Json| c.field("securityContext").field("capabilities").clone();
    let keeping = pod.names(|c| !own(c).texts("drop").contains(&"ALL"));
    let mut added = Seen::new();
    let adding = pod.names(|c| {
        let own = own(c);
        let bad: Vec<_> = own.texts("add").into_iter().filter(|a| *a != "NET_BIND_SERVICE").map(str::to_owned).collect();
        let any = !bad.is_empty();
        added.extend(bad);
        any
    });
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keeping)));
    }
    if !adding.is_empty() {
        details.push(format!(
            "{} must not include {} in securityContext.capabilities.add",
            containers(&adding),
            joined(&added)
        ));
    }
    if details.is_empty() { None } else { Violation::new("unrestricted capabilities", details.join("; ")) }
}

const VOLUMES_ALLOWED: &[&str] = &[
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

const VOLUMES_KNOWN: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

fn restricted_volumes(_: u32, pod: &PodView<'_>) -> Option<Violation> {
    let mut types = Seen::new();
    let mut volumes = Vec::new();
    for volume in pod.spec.list("volumes") {
        if VOLUMES_ALLOWED.iter().any(|t| volume.has(t)) {
            continue;
        }
        volumes.push(volume.text("name"));
        let kind = VOLUMES_KNOWN.iter().find(|t| volume.has(t)).copied().unwrap_or("unknown");
        types.insert(kind.to_owned());
    }
    if volumes.is_empty() {
        return None;
    }
    let noun = plural("volume", "volumes", volumes.len());
    let verb = plural("uses", "use", volumes.len());
    let what = plural("restricted volume type", "restricted volume types", types.len());
    Violation::new(
        "restricted volume types",
        format!("{noun} {} {verb} {what} {}", joined(&volumes), joined(&types)),
    )
}

fn run_as_non_root(minor: u32, pod: &PodView<'_>) -> Option<Violation> {
    if minor >= 35 && pod.in_user_namespace() {
        return None;
    }
    let said = |context: &Json| context.field("runAsNonRoot").as_bool();
    let by_pod = said(pod.security());
    let explicit = pod.names(|c| said(c.field("securityContext")) == Some(false));
    let implicit = pod.names(|c| said(c.field("securityContext")).is_none() && by_pod != Some(true));
    if let Some(who) = setters(by_pod == Some(false), &explicit) {
        let detail = format!("{who} must not set securityContext.runAsNonRoot=false");
        return Violation::new("runAsNonRoot != true", detail);
    }
    if implicit.is_empty() {
        return None;
    }
    let detail = format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&implicit));
    Violation::new("runAsNonRoot != true", detail)
}

fn run_as_user(minor: u32, pod: &PodView<'_>) -> Option<Violation> {
    if minor >= 35 && pod.in_user_namespace() {
        return None;
    }
    let root = |context: &Json| context.opt_int("runAsUser") == Some(0);
    let names = pod.names(|c| root(c.field("securityContext")));
    let who = setters(root(pod.security()), &names)?;
    Violation::new("runAsUser=0", format!("{who} must not set runAsUser=0"))
}

fn seccomp_profile(minor: u32, pod: &PodView<'_>) -> Option<Violation> {
    if exempt(minor, pod) {
        return None;
    }
    let of_pod = pod.security().field("seccompProfile");
    let mut values = Seen::new();
    let mut bad = |profile: &Json| {
        let bad = profile.is_object() && !is_good_seccomp(profile);
        if bad {
            values.insert(profile.text("type").to_owned());
        }
        bad
    };
    let by_pod = bad(of_pod);
    let of = |c: &'_ Json| c.field("securityContext").field("seccompProfile").clone();
    let explicit = pod.names(|c| bad(&of(c)));
    let set_by_pod = of_pod.is_object() && !by_pod;
    let implicit = pod.names(|c| !of(c).is_object() && !set_by_pod);
    if let Some(who) = setters(by_pod, &explicit) {
        let detail = format!("{who} must not set securityContext.seccompProfile.type to {}", joined(&values));
        return Violation::new("seccompProfile", detail);
    }
    if implicit.is_empty() {
        return None;
    }
    let detail = format!(
        "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        containers(&implicit)
    );
    Violation::new("seccompProfile", detail)
}
