//! What one attempt of a container is made from.
//! Source: pkg/kubelet/kubelet_pods.go, kuberuntime_container.go.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume, VolumeMount};

use super::env::{self, Env};
use super::fields::Addresses;
use super::{Context, expansion, hosts, identity, observed, resources, security};
use crate::runtime::{ContainerConfig, ContainerState, ImageInfo, Mount, MountSource, Sandbox};

/// Where the termination message is read from by default (core/v1: TerminationMessagePathDefault).
const TERMINATION_MESSAGE_PATH: &str = "/dev/termination-log";

/// The configuration; `Err`: CreateContainerConfigError with this message.
pub fn config(
    pod: &Pod,
    container: &Container,
    attempt: u32,
    backoff_seconds: i64,
    image: &ImageInfo,
    sandbox: &Sandbox,
    context: &Context<'_>,
) -> Result<ContainerConfig, String> {
    let spec = pod.spec.as_ref().ok_or("the pod has no spec")?;
    let addresses = Addresses::of(pod, context, &sandbox.ips);
    let security = security::config(pod, spec, container, image)?;
    let env = env::environment(pod, container, &addresses, context)?;
    let mounts = mounts(spec, container, &env, context)?;
    let command = env::expand_all(container.command.as_ref(), &env);
    let args = env::expand_all(container.args.as_ref(), &env);
    let own_hosts = mounts.iter().any(|m| m.target == "/etc/hosts");
    let stop_signal = stop_signal(container, image);
    let annotations = BTreeMap::from([
        (identity::BACKOFF.to_owned(), backoff_seconds.to_string()),
        (identity::STOP_SIGNAL.to_owned(), security::signal_number(&stop_signal).to_string()),
        (identity::IMAGE_REFERENCE.to_owned(), image.digest_reference.clone()),
        (identity::RESOURCES.to_owned(), serde_json::to_string(&container.resources).unwrap_or_default()),
    ]);
    Ok(ContainerConfig {
        pod_uid: identity::uid(pod).to_owned(),
        pod_namespace: identity::namespace(pod).to_owned(),
        pod_name: identity::name(pod).to_owned(),
        sandbox_id: sandbox.id.clone(),
        name: container.name.clone(),
        attempt,
        image: container.image.clone().unwrap_or_default(),
        command,
        args,
        working_dir: container.working_dir.clone().unwrap_or_default(),
        env,
        mounts,
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        stop_signal: Some(stop_signal),
        resources: resources::container(pod, spec, container, context.machine.memory_bytes),
        security,
        pid_of: pid_of(spec, container, sandbox)?,
        termination_message_path: container
            .termination_message_path
            .clone()
            .filter(|p| !p.is_empty())
            .unwrap_or_else(|| TERMINATION_MESSAGE_PATH.to_owned()),
        termination_message_from_log: container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError"),
        hosts: (!own_hosts).then(|| hosts::hosts_file(pod, &addresses.pod, context)),
        spec_hash: identity::spec_hash(container),
        labels: BTreeMap::new(),
        annotations,
    })
}

/// Whose processes an ephemeral container sees; in a pod that shares them it sees them all.
/// Source: pkg/kubelet/kuberuntime/kuberuntime_container.go: getTargetID.
fn pid_of(spec: &PodSpec, container: &Container, sandbox: &Sandbox) -> Result<Option<String>, String> {
    let ephemeral = spec.ephemeral_containers.iter().flatten().find(|c| c.name == container.name);
    let target = ephemeral.and_then(|c| c.target_container_name.as_deref()).filter(|name| !name.is_empty());
    let Some(name) = target.filter(|_| spec.share_process_namespace != Some(true)) else { return Ok(None) };
    match observed::latest(Some(sandbox), name) {
        Some(found) => Ok(Some(found.id.clone())),
        None => Err(format!("unable to find target container {name}")),
    }
}

/// Why the runtime would not make a container: neither its spec nor its image names a command. (Podman 5 would make it.)
/// Source: github.com/containerd/containerd: pkg/cri/opts/spec_opts.go (WithProcessArgs).
pub fn without_command(config: &ContainerConfig, image: &ImageInfo) -> Option<String> {
    let lists = [&config.command, &config.args, &image.entrypoint, &image.command];
    lists.iter().all(|list| list.is_empty()).then(|| "no command specified".to_owned())
}

/// Why the runtime would not make an ephemeral container whose target was there and does not run any more.
/// Source: github.com/containerd/containerd: pkg/cri/sbserver/container_create.go (validateTargetContainer).
pub fn ended_target(config: &ContainerConfig, sandbox: &Sandbox) -> Option<String> {
    let target = sandbox.containers.iter().find(|c| Some(&c.id) == config.pid_of.as_ref())?;
    let runs = matches!(target.state, ContainerState::Running { .. });
    (!runs).then(|| format!("invalid target container: container {:?} is not running", target.name))
}

fn stop_signal(container: &Container, image: &ImageInfo) -> String {
    let own = container.lifecycle.as_ref().and_then(|l| l.stop_signal.clone()).filter(|s| !s.is_empty());
    let of_image = Some(image.stop_signal.clone()).filter(|s| !s.is_empty());
    own.or(of_image).unwrap_or_else(|| "SIGTERM".into())
}

fn mounts(spec: &PodSpec, container: &Container, env: &Env, context: &Context<'_>) -> Result<Vec<Mount>, String> {
    let volumes = spec.volumes.as_deref().unwrap_or_default();
    let list = container.volume_mounts.as_deref().unwrap_or_default();
    list.iter()
        .map(|mount| {
            let volume = volumes.iter().find(|v| v.name == mount.name);
            let volume = volume.ok_or_else(|| format!("cannot find volume \"{}\" to mount into container \"{}\"", mount.name, container.name))?;
            one_mount(volume, mount, env, context)
        })
        .collect()
}

fn one_mount(volume: &Volume, mount: &VolumeMount, env: &Env, context: &Context<'_>) -> Result<Mount, String> {
    let kept_read_only =
        volume.config_map.is_some() || volume.secret.is_some() || volume.projected.is_some() || volume.downward_api.is_some() || volume.image.is_some();
    let claim_read_only = volume.persistent_volume_claim.as_ref().and_then(|c| c.read_only).unwrap_or(false);
    let propagation = match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => "rslave",
        Some("Bidirectional") => "rshared",
        _ => "private",
    };
    let read_only = mount.read_only.unwrap_or(false) || kept_read_only || claim_read_only;
    Ok(Mount {
        target: absolute(&mount.mount_path),
        source: source(volume),
        read_only,
        recursive_read_only: recursive(volume, mount, context)?,
        propagation: propagation.to_owned(),
        sub_path: sub_path(mount, env)?,
    })
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn source(volume: &Volume) -> MountSource {
    match volume.image.as_ref().and_then(|i| i.reference.clone()) {
        Some(image) => MountSource::Image(image),
        None => MountSource::PodVolume(volume.name.clone()),
    }
}

/// Source: pkg/kubelet/kubelet_pods.go: resolveRecursiveReadOnly.
fn recursive(volume: &Volume, mount: &VolumeMount, context: &Context<'_>) -> Result<bool, String> {
    let supported = context.machine.recursive_read_only_mounts;
    match mount.recursive_read_only.as_deref() {
        Some("IfPossible") => Ok(supported),
        Some("Enabled") if supported => Ok(true),
        Some("Enabled") => Err(format!(
            "failed to resolve recursive read-only mode: volume \"{}\" requested recursive read-only mode, but it is not supported by the runtime",
            volume.name
        )),
        _ => Ok(false),
    }
}

/// The path inside the volume, expanded and checked.
fn sub_path(mount: &VolumeMount, env: &Env) -> Result<String, String> {
    let plain = mount.sub_path.clone().unwrap_or_default();
    let path = match mount.sub_path_expr.as_deref().filter(|e| !e.is_empty()) {
        None => plain,
        Some(expression) => {
            // Source: pkg/kubelet/container/helpers.go: ExpandContainerVolumeMounts.
            let missing = RefCell::new(BTreeSet::new());
            let path = expansion::expand(expression, |name| {
                let value = env.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.clone());
                if value.as_ref().is_none_or(String::is_empty) {
                    missing.borrow_mut().insert(name.to_owned());
                }
                value
            });
            let missing: Vec<String> = missing.into_inner().into_iter().collect();
            if !missing.is_empty() {
                return Err(format!("missing value for {}", missing.join(", ")));
            }
            path
        }
    };
    if path.starts_with('/') {
        return Err(format!("error SubPath `{path}` must not be an absolute path"));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(format!("unable to provision SubPath `{path}`: must not contain '..'"));
    }
    if path.contains('\0') {
        return Err("unable to provision SubPath: must not contain NUL".into());
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_has_to_name_a_command() {
        let some = || vec!["x".to_owned()];
        let (config, image) = (ContainerConfig::default(), ImageInfo::default());
        assert_eq!(without_command(&config, &image).as_deref(), Some("no command specified"));
        let named = [
            (ContainerConfig { command: some(), ..config.clone() }, image.clone()),
            (ContainerConfig { args: some(), ..config.clone() }, image.clone()),
            (config.clone(), ImageInfo { entrypoint: some(), ..image.clone() }),
            (config, ImageInfo { command: some(), ..image }),
        ];
        for (config, image) in named {
            assert_eq!(without_command(&config, &image), None);
        }
    }
}
