//! Images: looking for them, fetching them, and what of their configuration matters.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

use super::http::encode;
use super::image_name::ImageName;
use super::inspect::Inspected;
use super::{Inner, fault::Fault};
use crate::runtime::{ImageInfo, Outcome, RegistryAuth, RuntimeError, RuntimeErrorKind, TOOLBOX_IMAGE};

/// More at once would only share the same line.
const PULLS_IN_FLIGHT: usize = 4;
/// A large image over a slow line; Podman's stream tells of no bytes, so that silence says nothing.
const LONGEST_PULL: Duration = Duration::from_secs(3600);
const LONGEST_LINE: usize = 1 << 20;
/// How old a look may be that finds an image: pods that begin together share one. Where the image goes meanwhile, the container
/// cannot be made, and the next look sees why.
const LOOK_HOLDS: Duration = Duration::from_secs(1);

/// What is known of images.
pub struct Images {
    /// A pod's image → the name that Podman has it by.
    resolved: Mutex<BTreeMap<String, String>>,
    /// By Podman's name: looks that have just been taken, or are under way.
    looks: Mutex<BTreeMap<String, Arc<Look>>>,
    /// Id → how it is shown.
    digests: Mutex<BTreeMap<String, String>>,
    pulls: Semaphore,
}

impl Default for Images {
    fn default() -> Self {
        Self {
            resolved: Mutex::default(),
            looks: Mutex::default(),
            digests: Mutex::default(),
            pulls: Semaphore::new(PULLS_IN_FLIGHT),
        }
    }
}

/// One look at an image, for all who ask meanwhile.
struct Look {
    begun: Instant,
    found: OnceCell<ImageInfo>,
}

/// Why a look finds nothing.
enum Missing {
    NotThere,
    Refused(RuntimeError),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedImage {
    id: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    repo_digests: Option<Vec<String>>,
    #[serde(default)]
    config: Option<ImageConfig>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ImageConfig {
    user: Option<String>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    stop_signal: Option<String>,
}

/// So often a list of images is asked for again, and after which pause.
const LIST_TRIES: u32 = 20;
const LIST_PAUSE: Duration = Duration::from_millis(100);

/// An entry of `/images/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedImage {
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PullLine {
    error: String,
    id: String,
}

impl Images {
    /// How an image is shown: by digest, or by its id where it has none.
    pub fn digest_reference(&self, id: &str) -> String {
        let id = id.trim_start_matches("sha256:");
        let known = self.digests.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        known.unwrap_or_else(|| format!("sha256:{id}"))
    }

    fn looks(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Look>>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The look to share: a young one, or a new one.
    fn look(&self, reference: &str) -> Arc<Look> {
        let mut looks = self.looks();
        looks.retain(|_, look| look.begun.elapsed() < LOOK_HOLDS);
        let new = || Arc::new(Look { begun: Instant::now(), found: OnceCell::new() });
        looks.entry(reference.to_owned()).or_insert_with(new).clone()
    }

    fn resolved(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Looks for an image by the name a pod has for it.
    pub async fn inspect_image(&self, image: &str) -> Result<Option<ImageInfo>, RuntimeError> {
        let name = parse(image)?;
        for candidate in name.candidates() {
            if let Some(info) = self.look_at_image(&candidate).await? {
                self.images.resolved().insert(image.to_owned(), candidate);
                return Ok(Some(info));
            }
        }
        self.images.resolved().remove(image);
        Ok(None)
    }

    /// As a look of just now has it, if there was one.
    pub async fn look_at_image(&self, reference: &str) -> Result<Option<ImageInfo>, RuntimeError> {
        let look = self.images.look(reference);
        let found = look.found.get_or_try_init(|| async {
            match self.inspect_reference(reference).await {
                Ok(found) => found.ok_or(Missing::NotThere),
                Err(error) => Err(Missing::Refused(error)),
            }
        });
        match found.await {
            Ok(info) => Ok(Some(info.clone())),
            Err(Missing::NotThere) => Ok(None),
            Err(Missing::Refused(error)) => Err(error),
        }
    }

    async fn inspect_reference(&self, reference: &str) -> Result<Option<ImageInfo>, RuntimeError> {
        let path = format!("/images/{}/json", encode(reference, true));
        match self.http.get(path).read::<InspectedImage>().await {
            Ok(inspected) => Ok(Some(self.remember(inspected, reference))),
            Err(fault) if fault.is_not_found() || fault.message.contains("image not known") => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    fn remember(&self, inspected: InspectedImage, reference: &str) -> ImageInfo {
        let config = inspected.config.unwrap_or_default();
        let repository = reference.split('@').next().unwrap_or_default();
        let repository = repository.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(repository, |(name, _)| name);
        let digests = inspected.repo_digests.unwrap_or_default();
        let same = digests.iter().find(|d| d.split('@').next() == Some(repository)).or(digests.first());
        let id = inspected.id.trim_start_matches("sha256:").to_owned();
        let digest_reference = same.cloned().unwrap_or_else(|| format!("sha256:{id}"));
        self.images.digests.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), digest_reference.clone());
        ImageInfo {
            id: format!("sha256:{id}"),
            digest_reference,
            size_bytes: inspected.size,
            user: config.user.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            command: config.cmd.unwrap_or_default(),
            env: config.env.unwrap_or_default(),
            working_dir: config.working_dir.unwrap_or_default(),
            stop_signal: config.stop_signal.unwrap_or_default(),
        }
    }

    /// The name that Podman has a pod's image by.
    pub async fn resolve_image(&self, image: &str) -> Result<String, RuntimeError> {
        let known = self.images.resolved().get(image).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        self.inspect_image(image).await?;
        let found = self.images.resolved().get(image).cloned();
        found.ok_or_else(|| RuntimeError::new(RuntimeErrorKind::ImageMissing, format!("image {image:?} is not on this machine")))
    }

    /// The image has gone, or another has its name.
    pub fn forget_image(&self, image: &str) {
        if let Some(reference) = self.images.resolved().remove(image) {
            self.images.looks().remove(&reference);
        }
    }

    /// Has the image of what was inspected in the table of digests.
    pub async fn learn_image(&self, inspected: &Inspected) {
        let id = inspected.image.trim_start_matches("sha256:");
        let known = self.images.digests.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id);
        if inspected.is_infra || known || id.is_empty() {
            return;
        }
        // Where it fails (the image was removed under its container), the id stands for it.
        let reference = &inspected.image_name;
        let path = format!("/images/{}/json", encode(id, true));
        match self.http.get(path).read::<InspectedImage>().await {
            Ok(image) => drop(self.remember(image, reference)),
            Err(_) => {
                let shown = format!("sha256:{id}");
                self.images.digests.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), shown);
            }
        }
    }

    /// Fetches an image. What is present under `localhost/` counts as fetched: nobody could fetch it.
    pub async fn pull_image(self: &Arc<Self>, image: &str, auth: &[RegistryAuth]) -> Result<Outcome, RuntimeError> {
        let began = Instant::now();
        let name = parse(image)?;
        let local = name.candidates().swap_remove(0);
        if local.starts_with("localhost/") {
            let mut info = self.inspect_reference(&local).await?;
            if info.is_none() && local == TOOLBOX_IMAGE {
                self.make_toolbox().await?;
                info = self.inspect_reference(&local).await?;
            }
            if let Some(info) = info {
                self.images.resolved().insert(image.to_owned(), local);
                let took = began.elapsed();
                return Ok(Outcome::Pulled { image_id: info.id, size_bytes: info.size_bytes, took, took_with_wait: took });
            }
            if name.is_local() {
                let message = format!("image {local:?} is not on this machine, and localhost/ is no registry: build or import it");
                return Err(RuntimeError::new(RuntimeErrorKind::ImageMissing, message));
            }
        }
        let permit = self.images.pulls.acquire().await;
        let started = Instant::now();
        let id = self.pull_with_any(&name, auth).await?;
        drop(permit);
        let (took, took_with_wait) = (started.elapsed(), began.elapsed());
        self.images.looks().remove(&name.remote());
        let info = self.inspect_reference(&name.remote()).await?;
        self.images.resolved().insert(image.to_owned(), name.remote());
        let size_bytes = info.as_ref().map_or(0, |i| i.size_bytes);
        let image_id = info.map_or(format!("sha256:{id}"), |i| i.id);
        Ok(Outcome::Pulled { image_id, size_bytes, took, took_with_wait })
    }

    /// Tries each secret for the registry, then what `podman login` left (which Podman reads itself).
    async fn pull_with_any(&self, name: &ImageName, auth: &[RegistryAuth]) -> Result<String, RuntimeError> {
        let fitting = auth.iter().filter(|a| registry_of(&a.registry) == name.registry());
        let mut result = None;
        for attempt in fitting.map(Some).chain([None]) {
            match self.pull_once(name, attempt).await {
                Err(refusal) if refusal.message.contains("unauthorized") || refusal.message.contains("denied") => {
                    result.get_or_insert(Err(refusal));
                }
                other => return other,
            }
        }
        result.unwrap_or_else(|| Err(RuntimeError::new(RuntimeErrorKind::ImagePull, "nothing was tried")))
    }

    async fn pull_once(&self, name: &ImageName, auth: Option<&RegistryAuth>) -> Result<String, RuntimeError> {
        let mut call = self.http.post("/images/pull").query("reference", name.remote()).query("policy", "always");
        if name.is_on_loopback() {
            call = call.query("tlsVerify", "false");
        }
        if let Some(auth) = auth {
            call = call.header("x-registry-auth", header(auth));
        }
        let work = async {
            let mut lines = call.deadline(LONGEST_PULL).lines(LONGEST_LINE).await?;
            let mut id = None;
            while let Some(line) = lines.next().await? {
                let line: PullLine = serde_json::from_slice(&line).unwrap_or_default();
                if !line.error.is_empty() {
                    return Err(Fault { status: Some(200), message: line.error, unavailable: false, uncertain: false });
                }
                if !line.id.is_empty() {
                    id = Some(line.id);
                }
            }
            id.ok_or_else(|| Fault::local("Podman ended the pull without an image".to_owned()))
        };
        match tokio::time::timeout(LONGEST_PULL, work).await {
            Ok(done) => done.map_err(|fault| refused_pull(name, fault)),
            Err(_) => Err(RuntimeError::new(RuntimeErrorKind::ImagePull, format!("pulling {} took over an hour", name.remote()))),
        }
    }

    /// Imports a root file system (a tar archive) as the image `reference`.
    pub async fn import_image(&self, reference: &str, tar: Bytes, changes: &[&str]) -> Result<(), RuntimeError> {
        let mut call = self.http.post("/images/import").query("reference", reference);
        for change in changes {
            call = call.query("changes", change);
        }
        call.bytes("application/x-tar", tar).ok().await?;
        Ok(())
    }

    /// Removes the images of a repository that no container uses.
    pub async fn remove_images_of(&self, repository: &str) -> Result<(), RuntimeError> {
        let filters = serde_json::json!({"reference": [repository]}).to_string();
        let list = || self.http.get("/images/json").query("filters", filters.clone()).read::<Vec<ListedImage>>();
        let mut tries = 0;
        let listed = loop {
            match list().await {
                // The whole list fails where somebody removes an image while it is read: `locating item named "manifest"`.
                Err(fault) if fault.status == Some(500) && tries < LIST_TRIES => tries += 1,
                listed => break listed?,
            }
            tokio::time::sleep(LIST_PAUSE).await;
        };
        let names = listed.iter().flat_map(|image| image.repo_tags.iter().flatten());
        for name in names.filter(|name| name.rsplit_once(':').is_some_and(|(before, _)| before == repository)) {
            match self.http.delete(format!("/images/{}", encode(name, true))).ok().await {
                Err(fault) if fault.unavailable => return Err(fault.into_error()),
                // One that is in use stays.
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }
}

fn parse(image: &str) -> Result<ImageName, RuntimeError> {
    ImageName::parse(image).map_err(|message| RuntimeError::new(RuntimeErrorKind::ImageName, message))
}

/// `https://index.docker.io/v1/` as in Docker's own files, or a host.
fn registry_of(text: &str) -> &str {
    let host = text.split_once("://").map_or(text, |(_, rest)| rest);
    match host.split('/').next().unwrap_or_default() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

fn header(auth: &RegistryAuth) -> String {
    let json = serde_json::json!({"username": auth.username, "password": auth.password}).to_string();
    base64::engine::general_purpose::URL_SAFE.encode(json)
}

fn refused_pull(name: &ImageName, fault: Fault) -> RuntimeError {
    if fault.unavailable {
        return fault.into_error();
    }
    let says = |words: &[&str]| words.iter().any(|w| fault.message.contains(w));
    let kind = if says(&["manifest unknown", "name unknown", "image not known"]) {
        RuntimeErrorKind::ImageMissing
    } else if says(&["invalid reference format"]) {
        RuntimeErrorKind::ImageName
    } else {
        RuntimeErrorKind::ImagePull
    };
    RuntimeError::new(kind, format!("{}: {}", name.remote(), fault.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_by_its_registry_however_that_is_written() {
        assert_eq!(registry_of("https://index.docker.io/v1/"), "docker.io");
        assert_eq!(registry_of("localhost:5055"), "localhost:5055");
        assert_eq!(registry_of("https://quay.io"), "quay.io");
    }

    #[test]
    fn refusals_of_registries_have_their_kind() {
        let name = ImageName::parse("a").expect("a name");
        let kind = |text: &str| refused_pull(&name, Fault::local(text.to_owned())).kind;
        assert_eq!(kind("reading manifest v2 in docker.io/x: manifest unknown"), RuntimeErrorKind::ImageMissing);
        assert_eq!(kind("pinging container registry x: connection refused"), RuntimeErrorKind::ImagePull);
        assert_eq!(kind("reading manifest: unauthorized"), RuntimeErrorKind::ImagePull);
    }
}
