//! Taking away all that an instance made on Podman (`wl reset`).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::http::encode;
use super::{Podman, naming};
use crate::runtime::RuntimeError;

/// An entry of `/volumes/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    name: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl Podman {
    /// The names of the volumes that this instance made, those of running pods in memory left out.
    pub async fn volumes(&self) -> Result<Vec<String>, RuntimeError> {
        let inner = &self.inner;
        let listed: Vec<Volume> = inner.http.get("/volumes/json").read().await?;
        let ours = |volume: &Volume| {
            let label = volume.labels.as_ref().and_then(|labels| labels.get(naming::INSTANCE));
            label.map(String::as_str) == Some(inner.instance.as_str()) && !naming::is_memory_volume(&inner.instance, &volume.name)
        };
        let mut names: Vec<String> = listed.into_iter().filter(ours).map(|volume| volume.name).collect();
        names.sort();
        Ok(names)
    }

    /// Removes a volume and what is in it.
    pub async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError> {
        match self.inner.http.delete(format!("/volumes/{}", encode(name, false))).ok().await {
            Ok(_) => Ok(()),
            Err(fault) if fault.is_not_found() => Ok(()),
            Err(fault) => Err(fault.into_error()),
        }
    }

    /// Forgets everything of pods that lies in files, also what belongs to users of their containers.
    pub async fn remove_files(&self) -> Result<(), RuntimeError> {
        for folder in self.inner.dirs.roots() {
            super::volume::remove_tree(&self.inner, folder).await?;
        }
        Ok(())
    }
}
