//! A copy of a pod with a container added or changed.

use serde_json::json;

use super::super::resources::Info;
use super::super::{CliError, Context};
use super::profile::{Keep, Style};
use super::{Made, Plan, said};
use crate::api::{Json, Object};
use crate::client::{Ask, Client};

impl Plan<'_> {
    pub(super) async fn in_copy(&self, ctx: &mut Context, client: &Client, info: &Info) -> Result<Made, CliError> {
        let (copy, name) = self.copy(ctx, info)?;
        if let Some(at) = index_of(&copy, &name) {
            self.warn_of_user(ctx, &copy, &copy["spec"]["containers"][at]);
        }
        let response = client.send(Ask::new(http::Method::POST, info.found.path(&info.namespace, "")).json(&copy)).await?;
        ctx.warn_all(&response.warnings);
        if self.flags.replace {
            client.send(Ask::new(http::Method::DELETE, info.path()).json(&json!({"gracePeriodSeconds": 0}))).await?;
        }
        Ok(Made { pod: Object::new(response.json()?), container: name })
    }

    /// The copy, and the container in it to attach to.
    fn copy(&self, ctx: &mut Context, info: &Info) -> Result<(Json, String), CliError> {
        let flags = self.flags;
        let mut spec = info.object["spec"].clone();
        if let Some(map) = spec.as_object_mut() {
            map.remove("ephemeralContainers");
            if !flags.same_node {
                map.remove("nodeName");
            }
        }
        if let Some(share) = flags.share_processes {
            spec["shareProcessNamespace"] = share.into();
        }
        let mut metadata = json!({"name": flags.copy_to, "namespace": info.namespace});
        for field in ["annotations", "labels"] {
            if let Some(value) = info.object["metadata"].get(field) {
                metadata[field] = value.clone();
            }
        }
        let mut copy = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
        for container in copy["spec"]["containers"].as_array_mut().into_iter().flatten() {
            let image = |wanted: &str| self.set_images.iter().find(|(name, _)| name == wanted).map(|(_, image)| image.clone());
            if let Some(image) = container["name"].as_str().and_then(image).or_else(|| image("*")) {
                container["image"] = image.into();
            }
        }
        let mut name = flags.container.clone();
        let pointer = match pointer_of(&copy, &name) {
            Some(pointer) => pointer,
            None if self.image.is_empty() && !self.set_images.is_empty() => return Ok((copy, String::new())),
            None if self.image.is_empty() => return Err(said("you must specify image when creating new container")),
            None => {
                name = self.name(ctx, &Object::new(copy.clone()));
                let list = copy["spec"]["containers"].as_array_mut().ok_or_else(|| said("the pod has no containers"))?;
                list.push(json!({"name": name, "terminationMessagePolicy": "File"}));
                format!("/spec/containers/{}", list.len() - 1)
            }
        };
        if let Some(container) = copy.pointer_mut(&pointer) {
            if !flags.command.is_empty() && !flags.arguments_only && let Some(map) = container.as_object_mut() {
                map.remove("args");
            }
            self.with_command(container);
            if !self.env.is_empty() {
                container["env"] = self.env.clone().into();
            }
            if !self.image.is_empty() {
                container["image"] = self.image.clone().into();
            }
            self.with_streams(container);
        }
        let keep = Keep {
            labels: flags.keep_labels,
            annotations: flags.keep_annotations,
            liveness: flags.keep_liveness,
            readiness: flags.keep_readiness,
            startup: flags.keep_startup,
            init_containers: flags.keep_init_containers,
        };
        self.profile.apply(&mut copy, &pointer, Style::Copy, keep);
        if let Some(container) = copy.pointer_mut(&pointer) {
            self.customise(container)?;
        }
        Ok((copy, name))
    }
}

fn index_of(pod: &Json, name: &str) -> Option<usize> {
    pod["spec"]["containers"].as_array()?.iter().position(|c| c["name"] == name)
}

fn pointer_of(pod: &Json, name: &str) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    ["containers", "initContainers"].into_iter().find_map(|list| {
        let at = pod["spec"][list].as_array()?.iter().position(|c| c["name"] == name)?;
        Some(format!("/spec/{list}/{at}"))
    })
}
