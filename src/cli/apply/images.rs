//! Workloads roll when an image that was built on this machine has become another one under the same name.

use std::collections::BTreeMap;

use serde_json::json;

use crate::api::Json;
use crate::cli::declare::Target;

/// The annotation of pod templates that names the images.
const IMAGE_IDS: &str = "wl/image-ids";
/// So much of an id tells images apart.
const SHORT: usize = 12;

/// Writes the ids of the images that a template runs into its annotations. A Job keeps the image it began with.
pub fn mark(targets: &mut [Target], images: &BTreeMap<String, String>) {
    for target in targets.iter_mut().filter(|_| !images.is_empty()) {
        let path = match target.found.kind.as_str() {
            "Deployment" | "StatefulSet" | "DaemonSet" => "/spec/template",
            "CronJob" => "/spec/jobTemplate/spec/template",
            _ => continue,
        };
        let Some(template) = target.tree.pointer_mut(path) else { continue };
        let ids = ids(template, images);
        if ids.is_empty() {
            continue;
        }
        if !template["metadata"]["annotations"].is_object() {
            template["metadata"]["annotations"] = json!({});
        }
        template["metadata"]["annotations"][IMAGE_IDS] = ids.join(",").into();
    }
}

fn ids(template: &Json, images: &BTreeMap<String, String>) -> Vec<String> {
    let lists = ["/spec/initContainers", "/spec/containers"].into_iter().filter_map(|path| template.pointer(path)?.as_array());
    let ids = lists.flatten().filter_map(|container| images.get(container.get("image")?.as_str()?));
    let mut ids: Vec<String> =
        ids.map(|id| id.trim_start_matches("sha256:").chars().take(SHORT).collect()).collect();
    ids.sort();
    ids.dedup();
    ids
}
