//! `/dev/shm` of a container whose root is read-only. Podman from 4.4 on makes that read-only too, which Kubernetes' runtimes do
//! not: the pod's own is mounted in its place.
//! Source: containerd, pkg/cri/server: containerMounts; libpod/container_internal_common.go: generateSpec.

use serde::Deserialize;

use super::connect::Version;
use super::http::encode;
use super::spec::BindMount;
use super::Inner;
use crate::runtime::{ContainerConfig, RuntimeError};

const PATH: &str = "/dev/shm";
/// The first that makes it read-only.
const READ_ONLY_SINCE: Version = Version { major: 4, minor: 4, patch: 0 };

/// Of `/containers/ID/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Folder {
    static_dir: String,
}

impl Inner {
    /// The mount that a container needs for that; `None`: Podman's own is as it should be.
    pub async fn shared_memory(&self, config: &ContainerConfig, host_ipc: bool) -> Result<Option<BindMount>, RuntimeError> {
        let taken = config.mounts.iter().any(|m| m.target.trim_end_matches('/') == PATH);
        if !config.security.read_only_root_filesystem || taken || self.version < READ_ONLY_SINCE {
            return Ok(None);
        }
        if host_ipc {
            return Ok(Some(mount(PATH.to_owned())));
        }
        let infra = self.index().records.values().find(|r| r.is_infra && r.sandbox_id == config.sandbox_id).map(|r| r.id.clone());
        let Some(infra) = infra else { return Ok(None) };
        let folder: Folder = self.http.get(format!("/containers/{}/json", encode(&infra, false))).read().await?;
        Ok(Some(mount(format!("{}/shm", folder.static_dir))))
    }
}

fn mount(source: String) -> BindMount {
    let options = ["bind", "rw", "nosuid", "nodev", "noexec", "rprivate"].map(str::to_owned);
    BindMount { destination: PATH.to_owned(), kind: "bind", source, options: options.into() }
}
