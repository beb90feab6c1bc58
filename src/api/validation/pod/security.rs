//! Security contexts of Pods and containers.

use std::collections::BTreeSet;

use super::super::field::{self, Errors, Path};
use super::super::{names, rules};
use super::mounts::local_path;
use super::spec::{Options, Scope};
use super::windows;
use crate::api::Json;
use crate::api::tree::Tree;

const SYSCTL_MAX: usize = 253;
const SYSCTL: &str = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
/// PATH_MAX - 1.
const APPARMOR_PROFILE_MAX: usize = 4095;

fn ids(context: &Json, keys: &[&str], path: &Path) -> Errors {
    let mut errors = Errors::new();
    for key in keys {
        if let Some(id) = context.opt_int(key) {
            errors.extend(names::user_id(id).iter().map(|m| field::invalid(&path.child(key), id, m)));
        }
    }
    errors
}

fn one_of(context: &Json, key: &str, supported: &[&str], path: &Path) -> Errors {
    match context.opt_text(key) {
        Some(value) if !supported.contains(&value) => vec![field::not_supported(&path.child(key), value, supported)],
        _ => Errors::new(),
    }
}

/// `securityContext` of a PodSpec.
pub(super) fn of_pod(spec: &Json, path: &Path, options: &Options) -> Errors {
    let context = spec.field("securityContext");
    if context.is_null() {
        return Errors::new();
    }
    let mut errors = ids(context, &["fsGroup", "runAsUser", "runAsGroup"], path);
    for (index, group) in context.list("supplementalGroups").iter().enumerate() {
        let group = group.as_i64().unwrap_or(0);
        let at = path.child("supplementalGroups").index(index);
        errors.extend(names::user_id(group).iter().map(|m| field::invalid(&at, group, m)));
    }
    if spec.flag("shareProcessNamespace") && spec.flag("hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(field::invalid(&path.child("shareProcessNamespace"), true, detail));
    }
    errors.extend(sysctls(spec, &path.child("sysctls"), options));
    errors.extend(one_of(context, "fsGroupChangePolicy", &["Always", "OnRootMismatch"], path));
    errors.extend(seccomp(context.field("seccompProfile"), &path.child("seccompProfile")));
    errors.extend(windows::options(context.field("windowsOptions"), &path.child("windowsOptions")));
    errors.extend(apparmor(context.field("appArmorProfile"), &path.child("appArmorProfile")));
    errors.extend(one_of(context, "supplementalGroupsPolicy", &["Merge", "Strict"], path));
    errors.extend(one_of(context, "seLinuxChangePolicy", &["MountOption", "Recursive"], path));
    errors
}

fn is_sysctl(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_segment = |segment: &str| match segment.as_bytes() {
        [] => false,
        [only] => is_plain(*only),
        [first, inner @ .., last] => {
            is_plain(*first) && is_plain(*last) && inner.iter().all(|b| is_plain(*b) || matches!(b, b'-' | b'_'))
        }
    };
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(is_segment)
}

fn sysctls(spec: &Json, path: &Path, options: &Options) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (index, sysctl) in spec.field("securityContext").list("sysctls").iter().enumerate() {
        let path = path.index(index).child("name");
        let name = sysctl.text("name");
        if name.is_empty() {
            errors.push(field::required(&path, ""));
        } else if !is_sysctl(name) {
            let detail = format!("must have at most {SYSCTL_MAX} characters and match regex {SYSCTL}");
            errors.push(field::invalid(&path, name, &detail));
        } else if seen.contains(name) {
            errors.push(field::duplicate(&path, name));
        }
        if !options.host_sysctls {
            errors.extend(host_sysctl(spec, name, &path));
        }
        seen.insert(name);
    }
    errors
}

/// Sysctls of a namespace that the Pod shares with the host.
pub(super) fn host_sysctls(spec: &Json, path: &Path) -> Errors {
    let all = spec.field("securityContext").list("sysctls");
    all.iter().flat_map(|s| host_sysctl(spec, s.text("name"), path)).collect()
}

/// Source: k8s.io/component-helpers/node/util/sysctl/namespace.go.
fn host_sysctl(spec: &Json, name: &str, path: &Path) -> Errors {
    let dotted = match name.find(['.', '/']) {
        Some(at) if name.as_bytes()[at] == b'/' => {
            name.chars().map(|c| if c == '/' { '.' } else if c == '.' { '/' } else { c }).collect()
        }
        _ => name.to_owned(),
    };
    let is_ipc = ["kernel.sem", "kernel.msg", "kernel.shm", "fs.mqueue."].iter().any(|p| dotted.starts_with(p));
    if spec.flag("hostNetwork") && dotted.starts_with("net.") {
        return vec![field::invalid(path, name, "may not be specified when 'hostNetwork' is true")];
    }
    if spec.flag("hostIPC") && is_ipc {
        return vec![field::invalid(path, name, "may not be specified when 'hostIPC' is true")];
    }
    Errors::new()
}

const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];

fn seccomp(profile: &Json, path: &Path) -> Errors {
    if profile.is_null() {
        return Errors::new();
    }
    let mut errors = Errors::new();
    let kind = profile.text("type");
    if kind.is_empty() {
        errors.push(field::required(&path.child("type"), "type is required when seccompProfile is set"));
    } else if !PROFILES.contains(&kind) {
        errors.push(field::not_supported(&path.child("type"), kind, &PROFILES));
    }
    let at = path.child("localhostProfile");
    match (kind == "Localhost", profile.opt_text("localhostProfile")) {
        (true, None) => errors.push(field::required(&at, "must be set when seccomp type is Localhost")),
        (true, Some(file)) => errors.extend(local_path(file, &at)),
        (false, Some(_)) => {
            let detail = "can only be set when seccomp type is Localhost";
            errors.push(rules::invalid_struct(&at, "SeccompProfile", profile, detail));
        }
        (false, None) => {}
    }
    errors
}

fn apparmor(profile: &Json, path: &Path) -> Errors {
    if profile.is_null() {
        return Errors::new();
    }
    let at = path.child("localhostProfile");
    let name = profile.opt_text("localhostProfile");
    match profile.text("type") {
        "Localhost" => apparmor_profile(name, &at),
        "RuntimeDefault" | "Unconfined" => {
            let detail = "can only be set when AppArmor type is Localhost";
            name.map(|n| field::invalid(&at, n, detail)).into_iter().collect()
        }
        "" => vec![field::required(&path.child("type"), "type is required when appArmorProfile is set")],
        other => vec![field::not_supported(&path.child("type"), other, &PROFILES)],
    }
}

/// Whether a container may have this AppArmor profile. Source: ValidateAppArmorProfileField.
pub fn is_apparmor_profile(profile: &Json) -> bool {
    apparmor(profile, &Path::root()).is_empty()
}

fn apparmor_profile(name: Option<&str>, path: &Path) -> Errors {
    const MISSING: &str = "must be set when AppArmor type is Localhost";
    let Some(name) = name else { return vec![field::required(path, MISSING)] };
    let mut errors = Errors::new();
    if name.trim() != name {
        errors.push(field::invalid(path, name, "must not be padded with whitespace"));
    } else if name.is_empty() {
        errors.push(field::required(path, MISSING));
    }
    if name.len() > APPARMOR_PROFILE_MAX {
        errors.push(field::too_long(path, APPARMOR_PROFILE_MAX as i64));
    }
    errors
}

/// `securityContext` of a container.
pub(super) fn of_container(scope: &Scope<'_>, container: &Json, path: &Path) -> Errors {
    let context = container.field("securityContext");
    if context.is_null() {
        return Errors::new();
    }
    let mut errors = ids(context, &["runAsUser", "runAsGroup"], path);
    if let Some(mount) = context.opt_text("procMount") {
        let at = path.child("procMount");
        if !["Default", "Unmasked"].contains(&mount) {
            errors.push(field::not_supported(&at, mount, &["Default", "Unmasked"]));
        }
        if scope.host_users && mount == "Unmasked" {
            errors.push(field::invalid(&at, mount, "`hostUsers` must be false to use `Unmasked`"));
        }
    }
    errors.extend(seccomp(context.field("seccompProfile"), &path.child("seccompProfile")));
    if context.field("allowPrivilegeEscalation").as_bool() == Some(false) {
        let mut refuse = |what: &str| {
            let detail = format!("cannot set `allowPrivilegeEscalation` to false and {what}");
            errors.push(rules::invalid_struct(path, "SecurityContext", context, &detail));
        };
        if context.flag("privileged") {
            refuse("`privileged` to true");
        }
        for capability in context.field("capabilities").texts("add") {
            if capability == "CAP_SYS_ADMIN" {
                refuse("`capabilities.Add` CAP_SYS_ADMIN");
            }
        }
    }
    errors.extend(windows::options(context.field("windowsOptions"), &path.child("windowsOptions")));
    errors.extend(apparmor(context.field("appArmorProfile"), &path.child("appArmorProfile")));
    errors
}
