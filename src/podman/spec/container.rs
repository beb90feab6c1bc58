//! The body of `containers/create`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Namespace, OciResources, is_empty, resources, signal_number};
use crate::podman::naming::{self, InstanceId};
use crate::podman::volume::Part;
use crate::runtime::{ContainerConfig, LinuxResources, SecurityConfig};

/// Kubernetes keeps 10 MiB of a container's log in one file (kubelet's `containerLogMaxSize`).
const LOG_BYTES: i64 = 10 << 20;

/// `specgen.SpecGenerator`, as far as `wl` fills it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ContainerSpec {
    pub name: String,
    pub pod: String,
    pub image: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub work_dir: String,
    pub create_working_dir: bool,
    #[serde(skip_serializing_if = "is_empty")]
    pub env: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unsetenv: Vec<&'static str>,
    /// The proxy settings of Podman's service are none of the container's business.
    pub httpproxy: bool,
    /// Podman would add the user to `/etc/passwd`.
    #[serde(rename = "manage_password")]
    pub passwd: bool,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<BindMount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<NamedVolume>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_volumes: Vec<ImageVolume>,
    pub stdin: bool,
    pub terminal: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<i32>,
    pub log_configuration: LogConfiguration,
    /// Restarts are `wl`'s.
    pub restart_policy: &'static str,
    /// `NONE`: an image's own check would be run by systemd.
    pub healthconfig: HealthConfig,
    /// Podman would turn containers that run an init into something else.
    pub systemd: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_limits: Option<OciResources>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pidns: Option<Namespace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipcns: Option<Namespace>,
    #[serde(flatten)]
    pub security: Security,
}

/// A bind mount, or another of the OCI runtime's own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BindMount {
    pub destination: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub source: String,
    pub options: Vec<String>,
}

/// A named volume of Podman. (These three have no lower-case keys.)
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamedVolume {
    #[serde(rename = "Name")]
    pub name: String,
    #[serde(rename = "Dest")]
    pub destination: String,
    #[serde(rename = "Options")]
    pub options: Vec<String>,
    #[serde(rename = "SubPath", skip_serializing_if = "String::is_empty")]
    pub sub_path: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageVolume {
    #[serde(rename = "Source")]
    pub source: String,
    #[serde(rename = "Destination")]
    pub destination: String,
    #[serde(rename = "ReadWrite")]
    pub read_write: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LogConfiguration {
    pub driver: &'static str,
    pub path: String,
    pub size: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HealthConfig {
    #[serde(rename = "Test")]
    pub test: Vec<&'static str>,
    /// Nanoseconds. 5.x refuses every later change of the container where this is under a second.
    #[serde(rename = "Timeout")]
    pub timeout: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Security {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    pub privileged: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    pub no_new_privileges: bool,
    pub read_only_filesystem: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub seccomp_profile_path: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub apparmor_profile: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub selinux_opts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmask: Vec<&'static str>,
}

/// What a container is mounted and written with; the paths are the host's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    pub image: String,
    pub log_path: String,
    pub mounts: Vec<BindMount>,
    pub volumes: Vec<NamedVolume>,
    pub image_volumes: Vec<ImageVolume>,
    /// What of `mounts` is a part of a volume.
    pub parts: Vec<Part>,
    pub annotations: BTreeMap<String, String>,
    /// The sandbox shares no PID or IPC namespace, but the host's.
    pub host_pid: bool,
    pub host_ipc: bool,
    /// Lower scores may not be given here.
    pub least_oom_score: i64,
}

/// The container of `config`, or what of it Podman could not be told.
pub fn container(instance: &InstanceId, config: &ContainerConfig, resolved: Resolved) -> Result<ContainerSpec, String> {
    if config.security.user_namespace {
        return Err("a user namespace per pod (hostUsers: false) cannot be had in a Podman pod".to_owned());
    }
    let stop_signal = match &config.stop_signal {
        None => None,
        Some(name) => Some(signal_number(name).ok_or_else(|| format!("{name:?} is no signal"))?),
    };
    let env: BTreeMap<String, String> = config.env.iter().cloned().collect();
    let pidns = match &config.pid_of {
        Some(id) => Some(Namespace { nsmode: "container", value: id.clone() }),
        None if resolved.host_pid => Namespace::host(),
        None => None,
    };
    Ok(ContainerSpec {
        name: naming::container(instance, config),
        pod: config.sandbox_id.clone(),
        image: resolved.image,
        entrypoint: config.command.clone(),
        command: config.args.clone(),
        work_dir: config.working_dir.clone(),
        create_working_dir: true,
        unsetenv: unset(config.tty, &env),
        env,
        httpproxy: false,
        passwd: false,
        labels: naming::container_labels(instance, config),
        annotations: resolved.annotations,
        mounts: resolved.mounts,
        volumes: resolved.volumes,
        image_volumes: resolved.image_volumes,
        stdin: config.stdin,
        terminal: config.tty,
        stop_signal,
        log_configuration: LogConfiguration { driver: "k8s-file", path: resolved.log_path, size: LOG_BYTES },
        restart_policy: "no",
        healthconfig: HealthConfig { test: vec!["NONE"], timeout: 30_000_000_000 },
        systemd: "false",
        resource_limits: resources(&LinuxResources {
            // Podman would set a limit of its own; Kubernetes has none. Every OCI runtime takes 0 for none; crun 1.8 on cgroup v1 fails with -1.
            pids_limit: Some(config.resources.pids_limit.unwrap_or(0)),
            ..config.resources.clone()
        }),
        oom_score_adj: config.resources.oom_score_adj.map(|score| score.max(resolved.least_oom_score)),
        pidns,
        ipcns: if resolved.host_ipc { Namespace::host() } else { None },
        security: security(&config.security),
    })
}

/// What Podman would add by itself: `container`, and 4.3 a TERM to those who have no terminal.
fn unset(tty: bool, env: &BTreeMap<String, String>) -> Vec<&'static str> {
    let added = ["TERM", "container"].into_iter().filter(|name| !(tty && *name == "TERM"));
    added.filter(|name| !env.contains_key(*name)).collect()
}

fn security(config: &SecurityConfig) -> Security {
    let selinux = |key: &str, value: &String| match key {
        "user" | "role" | "type" | "level" => Some(format!("{key}:{value}")),
        _ => None,
    };
    Security {
        user: config.user.clone(),
        groups: groups(config),
        privileged: config.privileged,
        cap_add: added_capabilities(config),
        cap_drop: config.drop_capabilities.iter().map(|c| capability(c)).collect(),
        no_new_privileges: config.no_new_privileges,
        read_only_filesystem: config.read_only_root_filesystem,
        seccomp_profile_path: config.seccomp_profile.clone(),
        apparmor_profile: config.apparmor_profile.clone(),
        selinux_opts: config.selinux_options.iter().filter_map(|(k, v)| selinux(k, v)).collect(),
        unmask: if config.unmasked_proc { vec!["ALL"] } else { vec![] },
    }
}

/// Root's own group is one of its groups. Source: containerd, pkg/oci: ensureAdditionalGids.
fn groups(config: &SecurityConfig) -> Vec<String> {
    let own = (config.as_root && !config.user.contains(':')).then_some(0);
    own.into_iter().chain(config.supplemental_groups.iter().copied()).map(|group| group.to_string()).collect()
}

/// What Kubernetes' runtimes give root by default and Podman does not. Of another user Podman would make it more than a bound:
/// capabilities that its programs really have.
/// Source: containerd, pkg/oci: defaultUnixCaps.
const BEYOND_PODMANS: [&str; 3] = ["AUDIT_WRITE", "MKNOD", "NET_RAW"];

fn added_capabilities(config: &SecurityConfig) -> Vec<String> {
    let has = |list: &[String], name: &str| list.iter().any(|c| capability(c) == capability(name));
    let dropped = |name: &str| has(&config.drop_capabilities, name) || has(&config.drop_capabilities, "ALL");
    let own = config.add_capabilities.iter().map(|c| capability(c));
    if config.privileged || !config.as_root || has(&config.add_capabilities, "ALL") {
        return own.collect();
    }
    let usual = BEYOND_PODMANS.iter().filter(|name| !dropped(name) && !has(&config.add_capabilities, name));
    own.chain(usual.map(|name| capability(name))).collect()
}

/// Kubernetes writes `NET_ADMIN`, Podman `CAP_NET_ADMIN`, both `ALL`.
fn capability(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    if upper == "ALL" || upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec(config: &ContainerConfig, resolved: Resolved) -> Value {
        let made = container(&InstanceId::parse("i1").expect("an id"), config, resolved).expect("a body");
        serde_json::to_value(made).expect("JSON")
    }

    #[test]
    fn a_container_is_sent_with_these_keys() {
        let config = ContainerConfig {
            pod_uid: "u-1".into(),
            pod_namespace: "default".into(),
            pod_name: "web".into(),
            sandbox_id: "pod1".into(),
            name: "app".into(),
            attempt: 3,
            command: vec!["/bin/app".into()],
            args: vec!["-v".into()],
            working_dir: "/srv".into(),
            env: vec![("A".into(), "1".into()), ("A".into(), "2".into())],
            stop_signal: Some("SIGQUIT".into()),
            pid_of: Some("other".into()),
            spec_hash: "h".into(),
            security: SecurityConfig {
                user: "1000:1000".into(),
                supplemental_groups: vec![7],
                add_capabilities: vec!["NET_ADMIN".into()],
                drop_capabilities: vec!["all".into()],
                no_new_privileges: true,
                read_only_root_filesystem: true,
                seccomp_profile: "unconfined".into(),
                selinux_options: [("level".to_owned(), "s0".to_owned())].into(),
                unmasked_proc: true,
                ..SecurityConfig::default()
            },
            ..ContainerConfig::default()
        };
        let resolved = Resolved {
            image: "localhost/app:1".into(),
            log_path: "/l".into(),
            mounts: vec![BindMount { destination: "/d".into(), kind: "bind", source: "/s".into(), options: vec!["ro".into()] }],
            volumes: vec![NamedVolume { name: "v".into(), destination: "/v".into(), options: vec![], sub_path: String::new() }],
            image_volumes: vec![ImageVolume { source: "i".into(), destination: "/i".into(), read_write: false }],
            annotations: [("a".to_owned(), "b".to_owned())].into(),
            host_ipc: true,
            ..Resolved::default()
        };
        let expected = json!({
            "name": "wl-i1_default_web_u-1_app_3", "pod": "pod1", "image": "localhost/app:1",
            "entrypoint": ["/bin/app"], "command": ["-v"], "work_dir": "/srv", "create_working_dir": true,
            "env": {"A": "2"}, "unsetenv": ["TERM", "container"], "httpproxy": false, "manage_password": false,
            "labels": {
                "io.wl.attempt": "3", "io.wl.container": "app", "io.wl.format": "1", "io.wl.instance": "i1",
                "io.wl.pod-name": "web", "io.wl.pod-namespace": "default", "io.wl.pod-uid": "u-1", "io.wl.spec-hash": "h",
            },
            "annotations": {"a": "b"},
            "mounts": [{"destination": "/d", "type": "bind", "source": "/s", "options": ["ro"]}],
            "volumes": [{"Name": "v", "Dest": "/v", "Options": []}],
            "image_volumes": [{"Source": "i", "Destination": "/i", "ReadWrite": false}],
            "stdin": false, "terminal": false, "stop_signal": 3,
            "log_configuration": {"driver": "k8s-file", "path": "/l", "size": 10_485_760},
            "restart_policy": "no", "healthconfig": {"Test": ["NONE"], "Timeout": 30_000_000_000_u64}, "systemd": "false",
            "pidns": {"nsmode": "container", "value": "other"}, "ipcns": {"nsmode": "host"},
            "user": "1000:1000", "groups": ["7"], "privileged": false,
            "cap_add": ["CAP_NET_ADMIN"], "cap_drop": ["ALL"], "no_new_privileges": true,
            "read_only_filesystem": true, "seccomp_profile_path": "unconfined", "selinux_opts": ["level:s0"],
            "unmask": ["ALL"], "resource_limits": {"pids": {"limit": 0}},
        });
        assert_eq!(spec(&config, resolved), expected);
    }

    #[test]
    fn limits_are_sent_as_the_oci_runtime_takes_them() {
        let mut config = ContainerConfig { tty: true, ..ContainerConfig::default() };
        config.resources.cpu_quota = Some(5);
        config.resources.memory_limit_bytes = Some(6);
        config.resources.oom_score_adj = Some(7);
        config.resources.hugepage_limits = [("2MB".to_owned(), 8)].into();
        let sent = spec(&config, Resolved::default());
        let expected = json!({
            "cpu": {"quota": 5}, "memory": {"limit": 6}, "pids": {"limit": 0}, "hugepageLimits": [{"pageSize": "2MB", "limit": 8}],
        });
        assert_eq!(sent["resource_limits"], expected);
        assert_eq!((&sent["oom_score_adj"], &sent["unsetenv"]), (&json!(7), &json!(["container"])));
    }

    #[test]
    fn what_podman_cannot_be_told_is_refused() {
        let instance = InstanceId::parse("i1").expect("an id");
        let mut config = ContainerConfig { stop_signal: Some("SIGNONE".into()), ..ContainerConfig::default() };
        assert!(container(&instance, &config, Resolved::default()).is_err());
        config.stop_signal = None;
        config.security.user_namespace = true;
        assert!(container(&instance, &config, Resolved::default()).is_err());
    }
}
