//! Rules about the operating system: which fields are for Linux and which for Windows.

use super::super::field::{self, Errors, Path};
use super::super::{names, rules};
use crate::api::Json;
use crate::api::tree::Tree;

const GMSA_SPEC_MAX: usize = 64 * 1024;
const DOMAIN_MAX: usize = 256;
const USER_MAX: usize = 104;

/// `os` of a PodSpec, and what it forbids.
pub(super) fn os(spec: &Json, path: &Path) -> Errors {
    let os = spec.field("os");
    if os.is_null() {
        return Errors::new();
    }
    match os.text("name") {
        "" => vec![field::required(&path.child("os").child("name"), "")],
        "linux" => no_windows_options(spec, path),
        "windows" => linux_fields(spec, path),
        other => vec![field::not_supported(&path.child("os"), other, &["linux", "windows"])],
    }
}

fn no_windows_options(spec: &Json, path: &Path) -> Errors {
    const DETAIL: &str = "windows options cannot be set for a linux pod";
    let mut errors = Errors::new();
    let mut check = |holder: &Json, path: &Path| {
        if holder.field("securityContext").has("windowsOptions") {
            errors.push(field::forbidden(&path.child("securityContext").child("windowsOptions"), DETAIL));
        }
    };
    check(spec, path);
    for (container, path) in super::all_containers(spec, path) {
        check(container, &path);
    }
    errors
}

fn linux_fields(spec: &Json, path: &Path) -> Errors {
    const DETAIL: &str = "cannot be set for a windows pod";
    let context = spec.field("securityContext");
    let mut errors = Errors::new();
    let within = path.child("securityContext");
    // In the order in which Kubernetes asks; those of the spec itself stand at its path.
    for (name, in_context) in [
        ("appArmorProfile", true),
        ("seLinuxOptions", true),
        ("hostUsers", false),
        ("hostPID", false),
        ("hostIPC", false),
        ("seccompProfile", true),
        ("fsGroup", true),
        ("fsGroupChangePolicy", true),
        ("sysctls", true),
        ("shareProcessNamespace", false),
        ("runAsUser", true),
        ("runAsGroup", true),
        ("supplementalGroups", true),
        ("supplementalGroupsPolicy", true),
        ("seLinuxChangePolicy", true),
    ] {
        let (holder, at) = if in_context { (context, &within) } else { (spec, path) };
        let is_set = match name {
            "hostPID" | "hostIPC" => holder.flag(name),
            _ => holder.has(name),
        };
        if is_set {
            errors.push(field::forbidden(&at.child(name), DETAIL));
        }
    }
    for (container, path) in super::all_containers(spec, path) {
        let context = container.field("securityContext");
        for name in [
            "appArmorProfile",
            "seLinuxOptions",
            "seccompProfile",
            "capabilities",
            "readOnlyRootFilesystem",
            "privileged",
            "allowPrivilegeEscalation",
            "procMount",
            "runAsUser",
            "runAsGroup",
        ] {
            if context.has(name) {
                errors.push(field::forbidden(&path.child("securityContext").child(name), DETAIL));
            }
        }
    }
    errors
}

/// Containers that run as processes of a Windows host: all or none, on its network.
pub(super) fn host_process(spec: &Json, path: &Path) -> Errors {
    let of = |holder: &Json| holder.field("securityContext").field("windowsOptions").field("hostProcess").as_bool();
    let pod = of(spec);
    let mut errors = Errors::new();
    let containers = super::all_containers(spec, path);
    let mut count = 0;
    for (container, path) in &containers {
        let own = of(container);
        if let (Some(pod), Some(own)) = (pod, own)
            && pod != own
        {
            let at = path.child("securityContext").child("windowsOptions").child("hostProcess");
            let detail = format!("pod hostProcess value must be identical if both are specified, was {pod}");
            errors.push(field::invalid(&at, own, &detail));
        }
        if own.or(pod) == Some(true) {
            count += 1;
        }
    }
    if count == 0 {
        return errors;
    }
    if count != containers.len() {
        let detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(field::invalid(path, "", detail));
    }
    if !spec.flag("hostNetwork") {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(field::invalid(&path.child("hostNetwork"), false, detail));
    }
    errors
}

/// `windowsOptions` of a security context.
pub(super) fn options(options: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(name) = options.opt_text("gmsaCredentialSpecName") {
        errors.extend(rules::each(&path.child("gmsaCredentialSpecName"), name, names::dns1123_subdomain(name)));
    }
    if let Some(spec) = options.opt_text("gmsaCredentialSpec") {
        let at = path.child("gmsaCredentialSpec");
        if spec.is_empty() {
            errors.push(field::invalid(&at, spec, "gmsaCredentialSpec cannot be an empty string"));
        } else if spec.len() > GMSA_SPEC_MAX {
            errors.push(field::invalid(&at, spec, "gmsaCredentialSpec size must be under 64 KiB"));
        }
    }
    if let Some(name) = options.opt_text("runAsUserName") {
        let at = path.child("runAsUserName");
        errors.extend(user_name(name).iter().map(|m| field::invalid(&at, name, m)));
    }
    errors
}

/// `user` or `DOMAIN\user`.
fn user_name(name: &str) -> Vec<String> {
    let one = |text: &str| vec![text.to_owned()];
    if name.is_empty() {
        return one("runAsUserName cannot be an empty string");
    }
    if name.bytes().any(|b| b.is_ascii_control()) {
        return one("runAsUserName cannot contain control characters");
    }
    let (domain, user) = match name.split('\\').collect::<Vec<_>>()[..] {
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return one("runAsUserName cannot contain more than one backslash"),
    };
    let mut wrong = Vec::new();
    if domain.is_some_and(|d| d.len() >= DOMAIN_MAX) {
        wrong.push(format!("runAsUserName's Domain length must be under {DOMAIN_MAX} characters"));
    }
    if domain.is_some_and(|d| !is_netbios(d) && !is_dns(d)) {
        wrong.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format".into());
    }
    if user.is_empty() {
        wrong.push("runAsUserName's User cannot be empty".into());
    } else if user.len() > USER_MAX {
        wrong.push(format!("runAsUserName's User length must not be longer than {USER_MAX} characters"));
    }
    if !user.is_empty() && user.chars().all(|c| c == '.' || c == ' ') {
        wrong.push("runAsUserName's User cannot contain only periods or spaces".into());
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        wrong.push("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]".into());
    }
    wrong
}

fn is_netbios(domain: &str) -> bool {
    let count = domain.chars().count();
    (1..=15).contains(&count)
        && !domain.starts_with('.')
        && !domain.contains(['\\', '/', ':', '*', '?', '"', '<', '>', '|'])
}

fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}
