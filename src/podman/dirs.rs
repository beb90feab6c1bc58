//! Where files of pods lie: below the state directory, secrets below a folder in memory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::fault::refused;
use super::naming::segment;
use crate::runtime::RuntimeError;

/// The folders of one instance.
#[derive(Clone, Debug)]
pub struct Dirs {
    pods: PathBuf,
    /// A folder of this instance in a tmpfs, if there is one.
    memory: Option<PathBuf>,
}

/// The folder of one pod: `hosts`, `resolv.conf`, `sandbox.json`, `logs/`, `termination/`, `volumes/`.
#[derive(Clone, Debug)]
pub struct PodDir {
    path: PathBuf,
    memory: Option<PathBuf>,
}

/// What is kept of a sandbox beside its labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SandboxFile {
    pub annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub host_pid: bool,
    #[serde(default)]
    pub host_ipc: bool,
}

impl Dirs {
    /// `memory` must be a folder on a tmpfs that only this user can read.
    pub fn new(state: &Path, memory: Option<PathBuf>) -> Self {
        Self { pods: state.join("pods"), memory }
    }

    /// The folders that hold those of all pods.
    pub fn roots(&self) -> impl Iterator<Item = &Path> {
        [Some(self.pods.as_path()), self.memory.as_deref()].into_iter().flatten()
    }

    /// Where the files of pods lie, which need not be there yet.
    pub fn pods(&self) -> &Path {
        &self.pods
    }

    /// The folder of the pod `uid`, which need not exist; refused if `uid` is no single segment of a path.
    pub fn pod(&self, uid: &str) -> Result<PodDir, RuntimeError> {
        let uid = segment(uid).ok_or_else(|| refused(format!("{uid:?} cannot be a pod's uid")))?;
        Ok(PodDir { path: self.pods.join(uid), memory: self.memory.as_ref().map(|m| m.join(uid)) })
    }
}

impl PodDir {
    pub fn hosts(&self) -> PathBuf {
        self.path.join("hosts")
    }

    pub fn resolv_conf(&self) -> PathBuf {
        self.path.join("resolv.conf")
    }

    pub fn log(&self, container: &str, attempt: u32) -> Result<PathBuf, RuntimeError> {
        Ok(self.path.join("logs").join(named(container)?).join(format!("{attempt}.log")))
    }

    /// The logs of all attempts that are there, the newest first.
    pub fn kept_logs(&self, container: &str) -> Result<Vec<PathBuf>, RuntimeError> {
        let folder = self.path.join("logs").join(named(container)?);
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let numbered = |path: PathBuf| Some((path.file_stem()?.to_str()?.parse::<u32>().ok()?, path));
        let mut all: Vec<(u32, PathBuf)> = entries.filter_map(|entry| numbered(entry.path())).collect();
        all.sort_by(|one, other| other.cmp(one));
        Ok(all.into_iter().map(|(_, path)| path).collect())
    }

    pub fn termination(&self, container: &str, attempt: u32) -> Result<PathBuf, RuntimeError> {
        Ok(self.path.join("termination").join(named(container)?).join(attempt.to_string()))
    }

    pub fn volumes(&self) -> PathBuf {
        self.path.join("volumes")
    }

    pub fn volume(&self, name: &str) -> Result<PathBuf, RuntimeError> {
        Ok(self.volumes().join(named(name)?))
    }

    /// Where a volume in memory lies, if there is such a place.
    pub fn memory_volume(&self, name: &str) -> Result<Option<PathBuf>, RuntimeError> {
        let name = named(name)?;
        Ok(self.memory.as_ref().map(|m| m.join(name)))
    }

    pub fn sandbox_file(&self) -> PathBuf {
        self.path.join("sandbox.json")
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn memory(&self) -> Option<&Path> {
        self.memory.as_deref()
    }

    /// What was kept of the sandbox; nothing if it was not, or cannot be read.
    pub fn read_sandbox(&self) -> Option<SandboxFile> {
        serde_json::from_slice(&std::fs::read(self.sandbox_file()).ok()?).ok()
    }
}

fn named(name: &str) -> Result<&str, RuntimeError> {
    segment(name).ok_or_else(|| refused(format!("{name:?} cannot be the name of a folder")))
}

/// Makes the folder of `path` and writes it there, whole or not at all.
pub fn write_file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    std::fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.new"));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
    io::Write::write_all(&mut file, content)?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    std::fs::rename(&new, path)
}

/// Writes `content` into the file at `path` itself: who has it mounted sees the change.
pub fn write_in_place(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if std::fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, content)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// A failure with a file, as the runtime's error.
pub fn file_error(what: &str, path: &Path, error: &io::Error) -> RuntimeError {
    refused(format!("{what} {}: {error}", path.display()))
}
