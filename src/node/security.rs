//! Security contexts of pod and container, merged into what the runtime is told.
//! Source: pkg/securitycontext/util.go, pkg/kubelet/kuberuntime/security_context.go.

use k8s_openapi::api::core::v1::{
    Container, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext,
};

use super::identity;
use crate::runtime::{ImageInfo, SecurityConfig};

/// Where `Localhost` profiles are looked for (the kubelet's default root).
const SECCOMP_ROOT: &str = "/var/lib/kubelet/seccomp";

/// Everything about who a container runs as and what it may do; `Err`: CreateContainerConfigError.
pub fn config(
    pod: &k8s_openapi::api::core::v1::Pod,
    spec: &PodSpec,
    container: &Container,
    image: &ImageInfo,
) -> Result<SecurityConfig, String> {
    let of_pod = spec.security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    verify_non_root(&of_pod, &own, image)
        .map_err(|why| format!("{why} (pod: \"{}\", container: {})", identity::pod_text(pod), container.name))?;
    let capabilities = own.capabilities.clone().unwrap_or_default();
    let privileged = own.privileged.unwrap_or(false);
    Ok(SecurityConfig {
        user: user(&of_pod, &own, image),
        as_root: is_root(&of_pod, &own, image),
        supplemental_groups: groups(&of_pod),
        privileged,
        add_capabilities: capabilities.add.unwrap_or_default(),
        drop_capabilities: capabilities.drop.unwrap_or_default(),
        no_new_privileges: own.allow_privilege_escalation == Some(false) && !privileged,
        read_only_root_filesystem: own.read_only_root_filesystem.unwrap_or(false),
        seccomp_profile: seccomp(own.seccomp_profile.as_ref().or(of_pod.seccomp_profile.as_ref()), privileged),
        apparmor_profile: apparmor(&of_pod, &own),
        selinux_options: selinux(&of_pod, &own),
        unmasked_proc: own.proc_mount.as_deref() == Some("Unmasked"),
        user_namespace: spec.host_users == Some(false),
    })
}

fn user(of_pod: &PodSecurityContext, own: &SecurityContext, image: &ImageInfo) -> String {
    let uid = own.run_as_user.or(of_pod.run_as_user).map(|u| u.to_string());
    let gid = own.run_as_group.or(of_pod.run_as_group).map(|g| g.to_string());
    match (uid, gid) {
        (None, None) => String::new(),
        (Some(uid), None) => uid,
        (Some(uid), Some(gid)) => format!("{uid}:{gid}"),
        (None, Some(gid)) => {
            let image_user = image.user.split(':').next().filter(|u| !u.is_empty()).unwrap_or("0");
            format!("{image_user}:{gid}")
        }
    }
}

/// Whether the container runs as root, by its own word or by its image's.
fn is_root(of_pod: &PodSecurityContext, own: &SecurityContext, image: &ImageInfo) -> bool {
    match own.run_as_user.or(of_pod.run_as_user) {
        Some(uid) => uid == 0,
        None => matches!(image.user.split(':').next().unwrap_or_default(), "" | "0" | "root"),
    }
}

fn groups(of_pod: &PodSecurityContext) -> Vec<i64> {
    let mut groups = of_pod.supplemental_groups.clone().unwrap_or_default();
    groups.extend(of_pod.fs_group.filter(|g| !of_pod.supplemental_groups.iter().flatten().any(|o| o == g)));
    groups
}

/// Source: pkg/kubelet/kuberuntime/security_context.go: verifyRunAsNonRoot.
fn verify_non_root(of_pod: &PodSecurityContext, own: &SecurityContext, image: &ImageInfo) -> Result<(), String> {
    if own.run_as_non_root.or(of_pod.run_as_non_root) != Some(true) {
        return Ok(());
    }
    if let Some(uid) = own.run_as_user.or(of_pod.run_as_user) {
        return if uid == 0 { Err("container's runAsUser breaks non-root policy".into()) } else { Ok(()) };
    }
    let name = image.user.split(':').next().unwrap_or_default();
    match name.parse::<i64>() {
        Ok(0) => Err("container has runAsNonRoot and image will run as root".into()),
        Ok(_) => Ok(()),
        Err(_) if name.is_empty() => Err("container has runAsNonRoot and image will run as root".into()),
        Err(_) => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
        )),
    }
}

/// Without a profile a container is unconfined, as with a kubelet that runs without `--seccomp-default`.
fn seccomp(profile: Option<&SeccompProfile>, privileged: bool) -> String {
    match profile.map(|p| (p.type_.as_str(), p.localhost_profile.as_deref().unwrap_or_default())) {
        _ if privileged => "unconfined".into(),
        Some(("RuntimeDefault", _)) => String::new(),
        Some(("Localhost", path)) => format!("{SECCOMP_ROOT}/{path}"),
        _ => "unconfined".into(),
    }
}

fn apparmor(of_pod: &PodSecurityContext, own: &SecurityContext) -> String {
    let profile = own.app_armor_profile.as_ref().or(of_pod.app_armor_profile.as_ref());
    match profile.map(|p| (p.type_.as_str(), p.localhost_profile.as_deref().unwrap_or_default())) {
        Some(("Unconfined", _)) => "unconfined".into(),
        Some(("Localhost", name)) => name.to_owned(),
        _ => String::new(),
    }
}

fn selinux(of_pod: &PodSecurityContext, own: &SecurityContext) -> std::collections::BTreeMap<String, String> {
    let options = own.se_linux_options.as_ref().or(of_pod.se_linux_options.as_ref());
    let Some(options) = options else { return Default::default() };
    let fields = [
        ("user", &options.user),
        ("role", &options.role),
        ("type", &options.type_),
        ("level", &options.level),
    ];
    let set = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
    set.filter(|(_, value)| !value.is_empty()).collect()
}

/// The number of a signal by name (`SIGTERM`, `TERM`) or number; SIGTERM where it is none.
pub fn signal_number(name: &str) -> i32 {
    const TERM: i32 = 15;
    let name = name.trim();
    if let Ok(number) = name.parse::<i32>() {
        return if (1..=64).contains(&number) { number } else { TERM };
    }
    let upper = name.to_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    // In order of their numbers on Linux (x86, ARM); signal(7).
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
        "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
        "PWR", "SYS",
    ];
    if let Some(index) = NAMES.iter().position(|n| *n == short) {
        return i32::try_from(index + 1).unwrap_or(TERM);
    }
    let offset = |text: &str, base: i32| text.parse::<i32>().ok().map(|n| base + n);
    let real_time = match (short, short.strip_prefix("RTMIN+"), short.strip_prefix("RTMAX-")) {
        ("RTMIN", ..) => Some(34),
        ("RTMAX", ..) => Some(64),
        (_, Some(n), _) => offset(n, 34),
        (_, _, Some(n)) => n.parse::<i32>().ok().map(|n| 64 - n),
        ("POLL", ..) => Some(29),
        ("IOT", ..) => Some(6),
        _ => None,
    };
    real_time.filter(|n| (1..=64).contains(n)).unwrap_or(TERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(json: serde_json::Value) -> SecurityContext {
        serde_json::from_value(json).unwrap()
    }

    fn image(user: &str) -> ImageInfo {
        ImageInfo { user: user.into(), ..ImageInfo::default() }
    }

    #[test]
    fn non_root_is_checked_against_the_user_that_would_run() {
        let must = context(serde_json::json!({"runAsNonRoot": true}));
        let pod = PodSecurityContext::default();
        assert!(verify_non_root(&pod, &must, &image("")).unwrap_err().contains("will run as root"));
        assert!(verify_non_root(&pod, &must, &image("0:5")).unwrap_err().contains("will run as root"));
        assert!(verify_non_root(&pod, &must, &image("app")).unwrap_err().contains("non-numeric user (app)"));
        assert!(verify_non_root(&pod, &must, &image("1234")).is_ok());
        let zero = context(serde_json::json!({"runAsNonRoot": true, "runAsUser": 0}));
        assert!(verify_non_root(&pod, &zero, &image("1234")).unwrap_err().contains("breaks non-root policy"));
    }

    #[test]
    fn a_group_alone_keeps_the_images_user() {
        let own = context(serde_json::json!({"runAsGroup": 7}));
        assert_eq!(user(&PodSecurityContext::default(), &own, &image("app:5")), "app:7");
        assert_eq!(user(&PodSecurityContext::default(), &own, &image("")), "0:7");
    }

    #[test]
    fn signals_are_known_by_name_and_number() {
        for (name, number) in [("SIGTERM", 15), ("USR1", 10), ("9", 9), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("nonsense", 15), ("99", 15)] {
            assert_eq!(signal_number(name), number, "{name}");
        }
    }
}
