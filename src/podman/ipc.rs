//! What of a container's `/dev` belongs to its IPC namespace, where Podman's own is not as Kubernetes' runtimes have it.
//! Source: containerd, pkg/cri/server: containerMounts; libpod/container_internal_common.go: generateSpec;
//! pkg/specgen/generate/oci_linux.go: SpecGenToOCI.

use std::path::Path;

use serde::Deserialize;

use super::connect::Version;
use super::http::encode;
use super::spec::BindMount;
use super::Inner;
use crate::runtime::{ContainerConfig, RuntimeError};

const SHARED_MEMORY: &str = "/dev/shm";
const QUEUES: &str = "/dev/mqueue";
/// The first Podman that makes `/dev/shm` read-only where the root is.
const READ_ONLY_SINCE: Version = Version { major: 4, minor: 4, patch: 0 };

/// Of `/containers/ID/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Folder {
    static_dir: String,
}

impl Inner {
    /// The mounts that a container needs for that.
    pub async fn ipc_mounts(&self, config: &ContainerConfig, host_ipc: bool) -> Result<Vec<BindMount>, RuntimeError> {
        let own = |path: &str| !config.mounts.iter().any(|m| m.target.trim_end_matches('/') == path);
        let mut mounts = Vec::new();
        if config.security.read_only_root_filesystem && self.version >= READ_ONLY_SINCE && own(SHARED_MEMORY) {
            mounts.extend(self.shared_memory(&config.sandbox_id, host_ipc).await?);
        }
        // Podman would give an ordinary user's container the machine's, and fail where there are none.
        if host_ipc && self.rootless && own(QUEUES) && !Path::new(QUEUES).exists() {
            mounts.push(mount(QUEUES, "tmpfs", "tmpfs".to_owned(), &["mode=1777"]));
        }
        Ok(mounts)
    }

    /// The pod's, writable.
    async fn shared_memory(&self, sandbox_id: &str, host_ipc: bool) -> Result<Option<BindMount>, RuntimeError> {
        if host_ipc {
            return Ok(Some(mount(SHARED_MEMORY, "bind", SHARED_MEMORY.to_owned(), &["bind"])));
        }
        let infra = self.index().records.values().find(|r| r.is_infra && r.sandbox_id == sandbox_id).map(|r| r.id.clone());
        let Some(infra) = infra else { return Ok(None) };
        let folder: Folder = self.http.get(format!("/containers/{}/json", encode(&infra, false))).read().await?;
        Ok(Some(mount(SHARED_MEMORY, "bind", format!("{}/shm", folder.static_dir), &["bind"])))
    }
}

fn mount(path: &str, kind: &'static str, source: String, more: &[&str]) -> BindMount {
    let options = ["rw", "nosuid", "nodev", "noexec", "rprivate"].iter().chain(more).map(|option| (*option).to_owned());
    BindMount { destination: path.to_owned(), kind, source, options: options.collect() }
}
