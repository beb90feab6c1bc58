//! The checks of the baseline level, sorted by their identifiers.
//! Source: k8s.io/pod-security-admission/policy/check_*.go.

use super::checks::{Check, PodView, Seen, Violation, containers, joined, plural, setters};
use crate::api::Json;
use crate::api::status::quote;
use crate::api::tree::Tree;

pub(super) const CHECKS: &[Check] = &[
    Check { id: "appArmorProfile", since: 0, overrides: &[], look: app_armor_profile },
    Check { id: "capabilities_baseline", since: 0, overrides: &[], look: capabilities },
    Check { id: "hostNamespaces", since: 0, overrides: &[], look: host_namespaces },
    Check { id: "hostPathVolumes", since: 0, overrides: &[], look: host_path_volumes },
    Check { id: "hostPorts", since: 0, overrides: &[], look: host_ports },
    Check { id: "hostProbesAndHostLifecycle", since: 34, overrides: &[], look: host_probes },
    Check { id: "privileged", since: 0, overrides: &[], look: privileged },
    Check { id: "procMount", since: 0, overrides: &[], look: proc_mount },
    Check { id: "seLinuxOptions", since: 0, overrides: &[], look: se_linux_options },
    Check { id: "seccompProfile_baseline", since: 0, overrides: &[], look: seccomp_profile },
    Check { id: "sysctls", since: 0, overrides: &[], look: sysctls },
    Check { id: "windowsHostProcess", since: 0, overrides: &[], look: windows_host_process },
];

fn app_armor_profile(_: u32, pod: &PodView<'_>) -> Option<Violation> {
    let mut values = Seen::new();
    let mut bad = |context: &Json| {
        let profile = context.field("appArmorProfile");
        let bad = profile.is_object() && !matches!(profile.text("type"), "RuntimeDefault" | "Localhost");
        if bad {
            values.insert(profile.text("type").to_owned());
        }
        bad
    };
    let by_pod = bad(pod.security());
    let names = pod.names(|c| bad(c.field("securityContext")));
    let mut annotations: Vec<String> = Vec::new();
    for (key, value) in pod.metadata.entries("annotations") {
        let value = value.as_str().unwrap_or("");
        let good = value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
        if key.starts_with("container.apparmor.security.beta.kubernetes.io/") && !good {
            annotations.push(format!("{key}={}", quote(value)));
        }
    }
    let count = annotations.len();
    let mut who: Vec<String> = setters(by_pod, &names).into_iter().collect();
    if count > 0 {
        who.push(plural("annotation", "annotations", count).to_owned());
    }
    if who.is_empty() {
        return None;
    }
    annotations.sort();
    let values: Vec<String> = values.into_iter().chain(annotations).collect();
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len());
    Violation::new(reason, format!("{} must not set AppArmor profile type to {}", who.join(" and "), joined(&values)))
}

/// Source: `capabilities_allowed_1_0`.
const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn capabilities(_: u32, pod: &PodView<'_>) -> Option<Violation> {
    let mut added = Seen::new();
    let names = pod.names(|c| {
        let add = c.field("securityContext").field("capabilities").texts("add");
        let bad: Vec<_> = add.into_iter().filter(|a| !CAPABILITIES.contains(a)).collect();
        added.extend(bad.iter().map(|b| (*b).to_owned()));
        !bad.is_empty()
    });
    if names.is_empty() {
        return None;
    }
    let detail =
        format!("{} must not include {} in securityContext.capabilities.add", containers(&names), joined(&added));
    Violation::new("non-default capabilities", detail)
}

fn host_namespaces(_: u32, pod: &PodView<'_>) -> Option<Violation> {
    let fields = ["hostNetwork", "hostPID", "hostIPC"];
    let set: Vec<_> = fields.into_iter().filter(|f| pod.spec.flag(f)).map(|f| format!("{f}=true")).collect();
    if set.is_empty() { None } else { Violation::new("host namespaces", set.join(", ")) }
}

fn host_path_volumes(_: u32, pod: &PodView<'_>) -> Option<Violation> {
    let volumes: Vec<_> =
        pod.spec.list("volumes").iter().filter(|v| v.has("hostPath")).map(|v| v.text("name")).collect();
    if volumes.is_empty() {
        return None;
    }
    let noun = plural("volume", "volumes", volumes.len());
    Violation::new("hostPath volumes", format!("{noun} {}", joined(&volumes)))
}

fn host_ports(_: u32, pod: &PodView<'_>) -> Option<Violation> {
    let mut ports = Seen::new();
    let names = pod.names(|c| {
        let set: Vec<_> = c.list("ports").iter().map(|p| p.int("hostPort")).filter(|p| *p != 0).collect();
        ports.extend(set.iter().map(ToString::to_string));
        !set.is_empty()
    });
    if names.is_empty() {
        return None;
    }
    let verb = plural("uses", "use", names.len());
    let noun = plural("hostPort", "hostPorts", ports.len());
    let ports = ports.into_iter().collect::<Vec<_>>().join(", ");
    Violation::new("hostPort", format!("{} {verb} {noun} {ports}", containers(&names)))
}

fn host_probes(_: u32, pod: &PodView<'_>) -> Option<Violation> {
    let mut hosts = Seen::new();
    let names: Seen = pod
        .names(|c| {
            let lifecycle = c.field("lifecycle");
            let handlers = [
                c.field("livenessProbe"),
                c.field("readinessProbe"),
                c.field("startupProbe"),
                lifecycle.field("postStart"),
                lifecycle.field("preStop"),
            ];
            let set = handlers.into_iter().flat_map(|h| [h.field("httpGet"), h.field("tcpSocket")]);
            let set: Vec<_> = set.map(|h| h.text("host")).filter(|h| !h.is_empty()).collect();
            hosts.extend(set.iter().map(|h| (*h).to_owned()));
            !set.is_empty()
        })
        .into_iter()
        .map(str::to_owned)
        .collect();
    if names.is_empty() {
        return None;
    }
    let noun = plural("container", "containers", names.len());
    let verb = plural("uses", "use", names.len());
    let what = plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len());
    Violation::new("probe or lifecycle host", format!("{noun} {} {verb} {what} {}", joined(&names), joined(&hosts)))
}

fn privileged(_: u32, pod: &PodView<'_>) -> Option<Violation> {
    let names = pod.names(|c| c.field("securityContext").flag("privileged"));
    if names.is_empty() {
        return None;
    }
    Violation::new("privileged", format!("{} must not set securityContext.privileged=true", containers(&names)))
}

fn proc_mount(minor: u32, pod: &PodView<'_>) -> Option<Violation> {
    if minor >= 35 && pod.in_user_namespace() { None } else { any_proc_mount(minor, pod) }
}

pub(super) fn any_proc_mount(_: u32, pod: &PodView<'_>) -> Option<Violation> {
    let mut types = Seen::new();
    let names = pod.names(|c| {
        let set = c.field("securityContext").opt_text("procMount").filter(|p| *p != "Default");
        types.extend(set.map(str::to_owned));
        set.is_some()
    });
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must not set securityContext.procMount to {}", containers(&names), joined(&types));
    Violation::new("procMount", detail)
}

fn se_linux_options(minor: u32, pod: &PodView<'_>) -> Option<Violation> {
    let allowed = |kind: &str| {
        matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t")
            || (minor >= 31 && kind == "container_engine_t")
    };
    let (mut types, mut user, mut role) = (Seen::new(), false, false);
    let mut bad = |context: &Json| {
        let options = context.field("seLinuxOptions");
        let bad_type = !allowed(options.text("type"));
        if bad_type {
            types.insert(options.text("type").to_owned());
        }
        let (bad_user, bad_role) = (!options.text("user").is_empty(), !options.text("role").is_empty());
        user |= bad_user;
        role |= bad_role;
        bad_type || bad_user || bad_role
    };
    let by_pod = bad(pod.security());
    let names = pod.names(|c| bad(c.field("securityContext")));
    let who = setters(by_pod, &names)?;
    let mut data = Vec::new();
    if !types.is_empty() {
        data.push(format!("{} {}", plural("type", "types", types.len()), joined(&types)));
    }
    if user {
        data.push("user may not be set".to_owned());
    }
    if role {
        data.push("role may not be set".to_owned());
    }
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", data.join("; "));
    Violation::new("seLinuxOptions", detail)
}

pub(super) fn is_good_seccomp(profile: &Json) -> bool {
    matches!(profile.text("type"), "RuntimeDefault" | "Localhost")
}

fn seccomp_profile(minor: u32, pod: &PodView<'_>) -> Option<Violation> {
    if minor < 19 {
        return seccomp_annotations(pod);
    }
    let mut values = Seen::new();
    let mut bad = |context: &Json| {
        let profile = context.field("seccompProfile");
        let bad = profile.is_object() && !is_good_seccomp(profile);
        if bad {
            values.insert(profile.text("type").to_owned());
        }
        bad
    };
    let by_pod = bad(pod.security());
    let names = pod.names(|c| bad(c.field("securityContext")));
    let who = setters(by_pod, &names)?;
    let detail = format!("{who} must not set securityContext.seccompProfile.type to {}", joined(&values));
    Violation::new("seccompProfile", detail)
}

/// Until release 1.19 annotations chose the profile.
fn seccomp_annotations(pod: &PodView<'_>) -> Option<Violation> {
    let annotations = pod.metadata.field("annotations");
    let mut keys = vec!["seccomp.security.alpha.kubernetes.io/pod".to_owned()];
    let prefix = "container.seccomp.security.alpha.kubernetes.io/";
    keys.extend(pod.containers.iter().map(|c| format!("{prefix}{}", c.text("name"))));
    let mut bad = Seen::new();
    for key in keys {
        let good = |v: &str| matches!(v, "runtime/default" | "docker/default") || v.starts_with("localhost/");
        if let Some(value) = annotations.opt_text(&key).filter(|v| !good(v)) {
            bad.insert(format!("{key}={}", quote(value)));
        }
    }
    if bad.is_empty() {
        return None;
    }
    let noun = plural("annotation", "annotations", bad.len());
    let bad = bad.into_iter().collect::<Vec<_>>().join(", ");
    Violation::new("seccompProfile", format!("forbidden {noun} {bad}"))
}

/// Sysctls that concern only the Pod itself, and since which release that is held.
const SYSCTLS: &[(&str, u32)] = &[
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

fn sysctls(minor: u32, pod: &PodView<'_>) -> Option<Violation> {
    let safe = |name: &str| SYSCTLS.iter().any(|(n, since)| *n == name && minor >= *since);
    let names = pod.security().list("sysctls").iter().map(|s| s.text("name"));
    let bad: Vec<_> = names.filter(|n| !safe(n)).collect();
    if bad.is_empty() { None } else { Violation::new("forbidden sysctls", bad.join(", ")) }
}

fn windows_host_process(_: u32, pod: &PodView<'_>) -> Option<Violation> {
    let set = |context: &Json| context.field("windowsOptions").flag("hostProcess");
    let names = pod.names(|c| set(c.field("securityContext")));
    let who = setters(set(pod.security()), &names)?;
    Violation::new("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
}
