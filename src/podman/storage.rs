//! What a pod stores on this machine: writable layers, logs, emptyDirs.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::dirs::file_error;
use super::fault::refused;
use super::http::encode;
use super::{Inner, volume};
use crate::runtime::{DiskUse, Outcome, RuntimeError, StorageUse};

/// `st_blocks` counts in these, whatever the file system's own are (stat(2)).
const BLOCK: u64 = 512;

#[derive(Deserialize)]
struct Sized {
    #[serde(rename = "SizeRw", default)]
    writable: i64,
}

impl Inner {
    /// Bytes that the containers (name and id) and the emptyDirs of a pod take on the disk.
    pub async fn measure_storage(
        self: &Arc<Self>,
        uid: &str,
        containers: &[(String, String)],
        volumes: &[String],
    ) -> Result<Outcome, RuntimeError> {
        let dir = self.dirs.pod(uid)?;
        let mut used = StorageUse::default();
        for (name, id) in containers {
            let call = self.http.get(format!("/containers/{}/json", encode(id, false))).query("size", "true");
            let writable = match call.read::<Sized>().await {
                Ok(sized) => u64::try_from(sized.writable).unwrap_or(0),
                Err(fault) if fault.is_not_found() => continue,
                Err(fault) => return Err(fault.into_error()),
            };
            let logs = dir.log(name, 0)?.parent().map(Path::to_owned).unwrap_or_default();
            used.containers.insert(name.clone(), writable + self.size_of(logs).await?);
        }
        for name in volumes {
            used.volumes.insert(name.clone(), self.size_of(dir.volume(name)?).await?);
        }
        Ok(Outcome::Storage(used))
    }

    async fn size_of(&self, folder: PathBuf) -> Result<u64, RuntimeError> {
        Ok(self.disk_use(folder).await?.bytes)
    }

    /// What a tree takes.
    pub async fn disk_use(&self, folder: PathBuf) -> Result<DiskUse, RuntimeError> {
        let shown = folder.clone();
        let walked = tokio::task::spawn_blocking(move || size(&folder)).await.map_err(|e| refused(e.to_string()))?;
        match walked {
            Ok(used) => Ok(used),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && self.rootless => {
                // Folders of users of the container.
                volume::disk_use(&shown).await.map_err(|why| refused(format!("cannot measure {}: {why}", shown.display())))
            }
            Err(e) => Err(file_error("cannot measure", &shown, &e)),
        }
    }

    /// Gives back what a pod that has ended has on the disk.
    pub async fn free_storage(self: &Arc<Self>, id: &str, uid: &str, volumes: &[String]) -> Result<Outcome, RuntimeError> {
        self.remove_sandbox(id, uid, false).await?;
        let dir = self.dirs.pod(uid)?;
        for name in volumes {
            volume::remove_tree(self, &dir.volume(name)?).await?;
        }
        Ok(Outcome::Done)
    }
}

/// What a tree takes on its disk. Links are not followed; what goes meanwhile takes nothing.
fn size(folder: &Path) -> io::Result<DiskUse> {
    let mut total = DiskUse::default();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            let Ok(metadata) = entry.metadata() else { continue };
            total += DiskUse { bytes: metadata.blocks() * BLOCK, inodes: 1 };
            if metadata.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_takes_its_blocks_and_links_lead_nowhere() {
        let root = std::env::temp_dir().join(format!("wl-storage-{}", std::process::id()));
        std::fs::create_dir_all(root.join("a/b")).expect("folders");
        std::fs::write(root.join("a/b/file"), vec![1u8; 1 << 20]).expect("written");
        std::os::unix::fs::symlink("/", root.join("everything")).expect("a link");
        let used = size(&root).expect("measured");
        assert!((1 << 20..2 << 20).contains(&used.bytes), "{used:?}");
        assert_eq!(used.inodes, 4, "two folders, a file and a link");
        assert_eq!(size(&root.join("none")).expect("nothing"), DiskUse::default());
        std::fs::remove_dir_all(&root).expect("removed");
    }
}
