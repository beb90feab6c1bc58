//! Images that are built beside the manifests, by the rule of `podman kube play --build`: an image `NAME` (whatever its
//! registry and tag) from `NAME/Containerfile` or `NAME/Dockerfile` in the folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::api::Json;
use crate::cli::declare::{self, Validate};
use crate::cli::input::Files;
use crate::cli::{CliError, Context};

/// Where the pods' specs are in objects that run some.
const SPECS: &[&str] = &["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];

/// Builds, if asked to, what can be built in the folder; answers with the ids of those images, by the name in the manifests.
pub async fn images(ctx: &mut Context, folder: &Path, files: &Files, build: bool) -> Result<BTreeMap<String, String>, CliError> {
    let (documents, _) = declare::documents(ctx, files, Validate::Ignore).await?;
    let mut wanted = BTreeSet::new();
    for document in &documents {
        containers(&document.json(), &mut wanted);
    }
    let mut ids = BTreeMap::new();
    for (image, policy) in wanted {
        let Some((file, context)) = containerfile(folder, &image) else { continue };
        if build {
            run(ctx, &image, &file, &context).await?;
        }
        let untagged = !image.rsplit('/').next().is_some_and(|last| last.contains(':')) || image.ends_with(":latest");
        if policy == "Always" || (policy.is_empty() && untagged) {
            ctx.warn(&format!(
                "image {image} is built here, but its pull policy is Always: set imagePullPolicy: IfNotPresent"
            ));
        }
        if let Some(id) = id(&image).await {
            ids.insert(image, id);
        }
    }
    Ok(ids)
}

/// The images of an object's containers, with their pull policies.
fn containers(tree: &Json, found: &mut BTreeSet<(String, String)>) {
    for spec in SPECS.iter().filter_map(|path| tree.pointer(path)) {
        let lists = ["containers", "initContainers"].into_iter().filter_map(|key| spec.get(key)?.as_array());
        for container in lists.flatten() {
            let text = |key: &str| container.get(key).and_then(Json::as_str).unwrap_or("").to_owned();
            if !text("image").is_empty() {
                found.insert((text("image"), text("imagePullPolicy")));
            }
        }
    }
}

/// The file an image is built from, and the folder it is built in.
fn containerfile(folder: &Path, image: &str) -> Option<(PathBuf, PathBuf)> {
    let name = image.split('@').next()?.rsplit('/').next()?.split(':').next()?;
    let context = folder.join(name);
    let file = ["Containerfile", "Dockerfile"].into_iter().map(|file| context.join(file)).find(|file| file.is_file())?;
    (!name.is_empty() && name != "." && name != "..").then_some((file, context))
}

async fn run(ctx: &mut Context, image: &str, file: &Path, context: &Path) -> Result<(), CliError> {
    ctx.err.line(&format!("Building {image} from {}", file.display()));
    ctx.out.flush();
    let mut command = Command::new("podman");
    command.args(["build", "--tag", image, "--file"]).arg(file).arg(context).stdin(std::process::Stdio::null());
    // What the build says is progress, not the answer.
    command.stdout(std::io::stderr());
    let status = command.status().await.map_err(|e| CliError::message(format!("podman build cannot be run: {e}")))?;
    if status.success() { Ok(()) } else { Err(CliError::message(format!("building {image} failed: podman build: {status}"))) }
}

/// The id of an image that this machine has.
async fn id(image: &str) -> Option<String> {
    let output = Command::new("podman").args(["image", "inspect", "--format", "{{.Id}}", image]).output().await.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
