//! What a pod's volumes contain.
//! Source: pkg/volume/{configmap,secret,downwardapi,projected,emptydir,hostpath}.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, DownwardAPIVolumeFile, KeyToPath, Pod, PodSpec, ProjectedVolumeSource, SecretProjection, Volume,
};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use super::fields::{self, Addresses};
use super::{Context, env, tokens};
use crate::api::volumes::{not_own, own_claim, volume_name};
use crate::api::{GroupResource, Key, Object, requests};
use crate::runtime::{VolumeContent, VolumeFile, VolumeKind};

/// Mode of files where none is asked for (core/v1: ConfigMapVolumeSourceDefaultMode and others).
const DEFAULT_MODE: i32 = 0o644;
/// How long a file's path in a volume and the names in it may be (pkg/volume/util/atomic_writer.go).
const MAX_PATH: usize = 4096;
const MAX_NAME: usize = 255;

/// A volume of the pod that some container mounts.
pub struct Wanted {
    pub name: String,
    /// `Err`: why it cannot be made (yet).
    pub content: Result<VolumeContent, Obstacle>,
}

/// Why a volume cannot be made (yet).
#[derive(Clone, Debug, PartialEq)]
pub enum Obstacle {
    /// As after `MountVolume.SetUp failed for volume "v" : `.
    SetUp(String),
    /// Its claim does not lead to a volume; as after `failed to process volumes=[v]: `.
    Claim(String),
}

impl From<String> for Obstacle {
    fn from(why: String) -> Self {
        Obstacle::SetUp(why)
    }
}

/// The volumes that containers mount, with what has to be in them. Volumes that are images, and those
/// nobody mounts, are left out.
pub fn wanted(pod: &Pod, addresses: &Addresses, context: &Context<'_>) -> Vec<Wanted> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let mounted = mounted(spec);
    let volumes = spec.volumes.as_deref().unwrap_or_default();
    let relevant = volumes.iter().filter(|v| mounted.contains(v.name.as_str()) && v.image.is_none());
    relevant
        .map(|volume| {
            let kind = kind(pod, spec, volume, addresses, context);
            let fs_group = spec.security_context.as_ref().and_then(|s| s.fs_group);
            let content = kind.map(|kind| VolumeContent {
                pod_uid: super::identity::uid(pod).to_owned(),
                name: volume.name.clone(),
                fs_group: fs_group.filter(|_| !matches!(kind, VolumeKind::HostPath { .. })),
                kind,
            });
            Wanted { name: volume.name.clone(), content }
        })
        .collect()
}

/// Whether any container mounts any volume.
pub fn are_mounted(spec: &PodSpec) -> bool {
    !mounted(spec).is_empty()
}

fn mounted(spec: &PodSpec) -> BTreeSet<&str> {
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|c| &c.volume_mounts);
    all.map(|c| &c.volume_mounts).chain(ephemeral).flatten().flatten().map(|m| m.name.as_str()).collect()
}

/// ConfigMaps, Secrets, claims and the service account that a pod looks at: a change of one is a
/// reason to look at the pod again.
pub fn objects_used(pod: &Object) -> Vec<Key> {
    let Ok(typed) = pod.typed::<Pod>() else { return Vec::new() };
    let Some(spec) = &typed.spec else { return Vec::new() };
    let namespace = pod.namespace();
    let mut keys = BTreeSet::new();
    let mut add = |resource: &str, name: &str| {
        keys.insert(Key::new(GroupResource::new("", resource), namespace, name));
    };
    for volume in spec.volumes.iter().flatten() {
        if let Some(source) = &volume.config_map {
            add("configmaps", &source.name);
        }
        if let Some(source) = &volume.secret {
            add("secrets", source.secret_name.as_deref().unwrap_or_default());
        }
        if let Some(source) = &volume.persistent_volume_claim {
            add("persistentvolumeclaims", &source.claim_name);
        }
        if volume.ephemeral.is_some() {
            add("persistentvolumeclaims", &own_claim(pod.name(), &volume.name));
        }
        for source in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()) {
            if let Some(source) = &source.config_map {
                add("configmaps", &source.name);
            }
            if let Some(source) = &source.secret {
                add("secrets", &source.name);
            }
        }
    }
    for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        for source in container.env_from.iter().flatten() {
            if let Some(reference) = &source.config_map_ref {
                add("configmaps", &reference.name);
            }
            if let Some(reference) = &source.secret_ref {
                add("secrets", &reference.name);
            }
        }
        for source in container.env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
            if let Some(reference) = &source.config_map_key_ref {
                add("configmaps", &reference.name);
            }
            if let Some(reference) = &source.secret_key_ref {
                add("secrets", &reference.name);
            }
        }
    }
    keys.into_iter().collect()
}

fn kind(
    pod: &Pod,
    spec: &PodSpec,
    volume: &Volume,
    addresses: &Addresses,
    context: &Context<'_>,
) -> Result<VolumeKind, Obstacle> {
    let namespace = super::identity::namespace(pod);
    if let Some(source) = &volume.empty_dir {
        let limit = source.size_limit.as_ref().map(requests::whole).filter(|v| *v > 0);
        let memory = source.medium.as_deref() == Some("Memory");
        let of_pod = requests::pod_limits(spec).get("memory").copied().filter(|_| memory && every_memory_limit(spec));
        let size_limit = [limit, of_pod].into_iter().flatten().min();
        return Ok(VolumeKind::Empty { memory, size_limit: size_limit.map(i64::unsigned_abs) });
    }
    if let Some(source) = &volume.host_path {
        return Ok(VolumeKind::HostPath { path: source.path.clone(), kind: source.type_.clone().unwrap_or_default() });
    }
    if let Some(source) = &volume.config_map {
        let mut files = Files::new(source.default_mode);
        let object = env::config_map(context.state, namespace, &source.name);
        let name = source.name.as_str();
        files.config_map(object, namespace, name, source.items.as_deref(), source.optional == Some(true))?;
        return Ok(files.kind(false));
    }
    if let Some(source) = &volume.secret {
        let mut files = Files::new(source.default_mode);
        let name = source.secret_name.as_deref().unwrap_or_default();
        let object = env::secret(context.state, namespace, name);
        files.secret(object, namespace, name, source.items.as_deref(), source.optional == Some(true))?;
        return Ok(files.kind(true));
    }
    if let Some(source) = &volume.downward_api {
        let mut files = Files::new(source.default_mode);
        files.downward(pod, spec, source.items.as_deref().unwrap_or_default(), addresses, context)?;
        return Ok(files.kind(true));
    }
    if let Some(source) = &volume.projected {
        return Ok(projected(pod, spec, source, addresses, context)?);
    }
    if let Some(source) = &volume.persistent_volume_claim {
        return claim(namespace, &source.claim_name, context);
    }
    if volume.ephemeral.is_some() {
        let name = own_claim(super::identity::name(pod), &volume.name);
        let kind = claim(namespace, &name, context)?;
        let held = context.state.get(&Key::new(GroupResource::new("", "persistentvolumeclaims"), namespace, &name));
        if let Some(why) = held.and_then(|held| not_own(held, super::identity::name(pod), super::identity::uid(pod))) {
            return Err(Obstacle::Claim(why));
        }
        return Ok(kind);
    }
    Err(Obstacle::SetUp("this kind of volume is not supported on this node".into()))
}

fn every_memory_limit(spec: &PodSpec) -> bool {
    spec.containers.iter().all(|c| requests::container_limits(c).get("memory").is_some_and(|v| *v > 0))
}

fn claim(namespace: &str, name: &str, context: &Context<'_>) -> Result<VolumeKind, Obstacle> {
    let key = Key::new(GroupResource::new("", "persistentvolumeclaims"), namespace, name);
    let wrong = |why: String| Obstacle::Claim(format!("error processing PVC {namespace}/{name}: {why}"));
    let missing = || wrong(format!("failed to fetch PVC from API server: persistentvolumeclaims \"{name}\" not found"));
    let object = context.state.get(&key).ok_or_else(missing)?;
    let typed = object.typed::<PersistentVolumeClaim>().map_err(|e| wrong(e.to_string()))?;
    let volume = typed.spec.as_ref().and_then(|s| s.volume_name.as_deref()).filter(|v| !v.is_empty());
    let bound = volume.and_then(|v| context.state.get(&Key::new(GroupResource::new("", "persistentvolumes"), "", v)));
    if let Some(bound) = bound.and_then(|o| o.typed::<PersistentVolume>().ok())
        && let Some(spec) = &bound.spec
    {
        if let Some(source) = &spec.host_path {
            return Ok(VolumeKind::HostPath { path: source.path.clone(), kind: source.type_.clone().unwrap_or_default() });
        }
        if let Some(source) = &spec.local {
            return Ok(VolumeKind::HostPath { path: source.path.clone(), kind: "Directory".into() });
        }
    }
    Ok(VolumeKind::Named { name: volume_name(namespace, name) })
}

fn projected(
    pod: &Pod,
    spec: &PodSpec,
    source: &ProjectedVolumeSource,
    addresses: &Addresses,
    context: &Context<'_>,
) -> Result<VolumeKind, String> {
    let namespace = super::identity::namespace(pod);
    let mut files = Files::new(source.default_mode);
    let mut errors = Vec::new();
    for source in source.sources.iter().flatten() {
        let added = if let Some(ConfigMapProjection { name, items, optional }) = &source.config_map {
            let object = env::config_map(context.state, namespace, name);
            files.config_map(object, namespace, name, items.as_deref(), *optional == Some(true))
        } else if let Some(SecretProjection { name, items, optional }) = &source.secret {
            let object = env::secret(context.state, namespace, name);
            files.secret(object, namespace, name, items.as_deref(), *optional == Some(true))
        } else if let Some(downward) = &source.downward_api {
            files.downward(pod, spec, downward.items.as_deref().unwrap_or_default(), addresses, context)
        } else if let Some(wanted) = &source.service_account_token {
            let need = tokens::need(wanted.audience.as_deref(), wanted.expiration_seconds);
            let (mode, owner) = token_owner(spec, files.mode);
            match context.tokens.get(&need) {
                Some(token) => files.put(&wanted.path, VolumeFile { content: token.clone().into_bytes(), mode, owner }),
                None => Err("failed to fetch token: the server has not answered yet".to_owned()),
            }
        } else {
            Err("this kind of projection is not supported on this node".to_owned())
        };
        errors.extend(added.err());
    }
    together(errors)?;
    // In memory, whatever it is made of (pkg/volume/projected/projected.go: wrappedVolumeSpec).
    Ok(files.kind(true))
}

/// Several errors as one, each told once.
/// Source: apimachinery/pkg/util/errors: NewAggregate.
fn together(mut errors: Vec<String>) -> Result<(), String> {
    let mut told = BTreeSet::new();
    errors.retain(|error| told.insert(error.clone()));
    match errors.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        several => Err(format!("[{}]", several.join(", "))),
    }
}

/// 0600 and the user's own where all containers run as one user; with an fsGroup the group reads it.
/// Source: pkg/volume/projected/projected.go: collectData.
fn token_owner(spec: &PodSpec, mode: u32) -> (u32, Option<i64>) {
    let of_pod = spec.security_context.as_ref();
    let pod_user = of_pod.and_then(|s| s.run_as_user);
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let users: BTreeSet<Option<i64>> =
        all.map(|c| c.security_context.as_ref().and_then(|s| s.run_as_user).or(pod_user)).collect();
    match users.into_iter().collect::<Vec<_>>().as_slice() {
        [Some(user)] => (0o600, Some(*user)),
        _ if of_pod.is_some_and(|s| s.fs_group.is_some()) => (0o600, None),
        _ => (mode, None),
    }
}

/// Files of one volume, gathered.
struct Files {
    mode: u32,
    files: BTreeMap<String, VolumeFile>,
}

impl Files {
    fn new(default_mode: Option<i32>) -> Self {
        Files { mode: mode(default_mode.unwrap_or(DEFAULT_MODE)), files: BTreeMap::new() }
    }

    fn kind(self, secret: bool) -> VolumeKind {
        VolumeKind::Files { files: self.files, secret }
    }

    /// Keeps a file at the shortest form of its path; paths that lead out of the volume are refused (the API refuses them before).
    /// Source: pkg/volume/util/atomic_writer.go: validatePath.
    fn put(&mut self, path: &str, file: VolumeFile) -> Result<(), String> {
        if path.is_empty() {
            return Err("invalid path: must not be empty: \"\"".into());
        }
        if path.starts_with('/') {
            return Err(format!("invalid path: must be relative path: {path}"));
        }
        if path.len() > MAX_PATH {
            return Err(format!("invalid path: must be less than or equal to {MAX_PATH} characters"));
        }
        if path.split('/').any(|part| part == "..") {
            return Err(format!("invalid path: must not contain '..': {path}"));
        }
        if path.split('/').any(|part| part.len() > MAX_NAME) {
            return Err(format!("invalid path: filenames must be less than or equal to {MAX_NAME} characters"));
        }
        if path.starts_with("..") {
            return Err(format!("invalid path: must not start with '..': {path}"));
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if parts.is_empty() || path.contains('\0') {
            return Err(format!("invalid path: no name of a file: {path:?}"));
        }
        self.files.insert(parts.join("/"), file);
        Ok(())
    }

    fn keyed(
        &mut self,
        all: Vec<String>,
        items: Option<&[KeyToPath]>,
        optional: bool,
        missing: &str,
        content: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<(), String> {
        let Some(items) = items.filter(|i| !i.is_empty()) else {
            for key in all {
                let content = content(&key).unwrap_or_default();
                self.put(&key, VolumeFile { content, mode: self.mode, owner: None })?;
            }
            return Ok(());
        };
        for item in items {
            match content(&item.key) {
                Some(content) => {
                    let mode = item.mode.map_or(self.mode, mode);
                    self.put(&item.path, VolumeFile { content, mode, owner: None })?;
                }
                None if optional => {}
                None => return Err(format!("{missing}: {}", item.key)),
            }
        }
        Ok(())
    }

    fn config_map(
        &mut self,
        object: Option<&Object>,
        _namespace: &str,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: bool,
    ) -> Result<(), String> {
        let Some(object) = object else {
            return if optional { Ok(()) } else { Err(format!("configmap \"{name}\" not found")) };
        };
        let mut all = env::keys(object, "/data");
        all.extend(env::keys(object, "/binaryData"));
        let missing = "configmap references non-existent config key";
        self.keyed(all, items, optional, missing, |key| env::config_map_key(object, key))
    }

    fn secret(
        &mut self,
        object: Option<&Object>,
        _namespace: &str,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: bool,
    ) -> Result<(), String> {
        let Some(object) = object else {
            return if optional { Ok(()) } else { Err(format!("secret \"{name}\" not found")) };
        };
        let all = env::keys(object, "/data");
        self.keyed(all, items, optional, "references non-existent secret key", |key| env::secret_key(object, key))
    }

    fn downward(
        &mut self,
        pod: &Pod,
        spec: &PodSpec,
        items: &[DownwardAPIVolumeFile],
        addresses: &Addresses,
        context: &Context<'_>,
    ) -> Result<(), String> {
        let mut errors = Vec::new();
        for item in items {
            let text = match (&item.field_ref, &item.resource_field_ref) {
                (Some(reference), _) => fields::field(pod, &reference.field_path, addresses),
                (None, Some(selector)) => fields::resource(spec, None, selector, context),
                (None, None) => Ok(String::new()),
            };
            let mode = item.mode.map_or(self.mode, mode);
            let put = |text: String| self.put(&item.path, VolumeFile { content: text.into_bytes(), mode, owner: None });
            errors.extend(text.and_then(put).err());
        }
        together(errors)
    }
}

fn mode(value: i32) -> u32 {
    value.unsigned_abs() & 0o777
}

/// A hash of everything that a volume should contain, to see whether it has to be written again.
pub fn content_hash(content: &VolumeContent) -> String {
    let mut text: Vec<u8> = Vec::new();
    match &content.kind {
        VolumeKind::Empty { memory, size_limit } => text.extend(format!("empty {memory} {size_limit:?}").bytes()),
        VolumeKind::HostPath { path, kind } => text.extend(format!("host {path} {kind}").bytes()),
        VolumeKind::Named { name } => text.extend(format!("named {name}").bytes()),
        VolumeKind::Files { files, .. } => {
            for (path, file) in files {
                text.extend(format!("{path}\0{:o} {:?} {}\0", file.mode, file.owner, file.content.len()).bytes());
                text.extend(&file.content);
            }
        }
    }
    super::identity::short_hash(&text)
}
