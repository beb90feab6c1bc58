//! A container with tools, added to a pod that runs.

use serde_json::json;

use super::super::resources::Info;
use super::super::session::pod;
use super::super::{CliError, Context};
use super::profile::{Keep, Style};
use super::{Made, Plan};
use crate::api::{Gvk, Json, Object};
use crate::apply::strategic::strategic_merge_patch;
use crate::client::{Ask, Client};
use crate::runtime::TOOLBOX_IMAGE;

/// Mounts of a container that another one can have too.
const MOUNT_FIELDS: [&str; 5] = ["name", "mountPath", "readOnly", "mountPropagation", "recursiveReadOnly"];

impl Plan<'_> {
    pub(super) async fn in_pod(&self, ctx: &mut Context, client: &Client, info: &Info) -> Result<Made, CliError> {
        let pod = info.object();
        let name = self.name(ctx, &pod);
        let mut container = self.container(&name);
        if let Some(target) = self.target(ctx, &pod)? {
            container["targetContainerName"] = target["name"].clone();
            if !self.flags.no_volumes {
                share(target, &mut container);
            }
        }
        let mut changed = json!({"metadata": {}, "spec": {"ephemeralContainers": [container]}});
        self.profile.apply(&mut changed, "/spec/ephemeralContainers/0", Style::Ephemeral, Keep::default());
        let mut container = changed["spec"]["ephemeralContainers"][0].take();
        self.customise(&mut container)?;
        self.warn_of_user(ctx, &info.object, &container);
        let patch = json!({"spec": {"ephemeralContainers": [container]}});
        let ask = Ask::new(http::Method::PATCH, format!("{}/ephemeralcontainers", info.path()));
        let ask = ask.bytes("application/strategic-merge-patch+json", patch.to_string());
        let response = client.send(ask).await?;
        ctx.warn_all(&response.warnings);
        Ok(Made { pod: Object::new(response.json()?), container: name })
    }

    /// The container whose processes are seen: the one named, or with the toolbox that which exec would take.
    fn target<'p>(&self, ctx: &mut Context, pod: &'p Object) -> Result<Option<&'p Json>, CliError> {
        let flags = self.flags;
        if !flags.target.is_empty() {
            // A name that is wrong is refused by the server, in its own words.
            return Ok(pod::container_named(pod, &flags.target));
        }
        if self.image != TOOLBOX_IMAGE || !flags.image.is_empty() {
            return Ok(None);
        }
        pod::container(ctx, pod, "", true).map(Some)
    }

    /// Lays the custom profile over a container, by the rules of a strategic merge.
    pub(super) fn customise(&self, container: &mut Json) -> Result<(), CliError> {
        let Some(custom) = &self.custom else { return Ok(()) };
        let wrap = |container: &Json, name: &Json| {
            let mut container = container.clone();
            container["name"] = name.clone();
            json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container]}})
        };
        let name = container["name"].clone();
        let (pod, patch) = (wrap(container, &name), wrap(custom, &name));
        let kind = Gvk { group: "".into(), version: "v1".into(), kind: "Pod".into() };
        let merged = strategic_merge_patch(&kind, &pod, &patch);
        let mut merged = merged.map_err(|why| CliError::message(format!("error creating three way patch to add debug container: {why}")))?;
        *container = merged["spec"]["containers"][0].take();
        Ok(())
    }
}

/// Gives a container another one's volumes and environment; its own settings win.
fn share(from: &Json, to: &mut Json) {
    let list = |tree: &Json, field: &str| tree.get(field).and_then(Json::as_array).cloned().unwrap_or_default();
    let mounts: Vec<Json> = list(from, "volumeMounts")
        .into_iter()
        // A part of a volume cannot be mounted into an ephemeral container.
        .filter(|mount| mount.get("subPath").is_none() && mount.get("subPathExpr").is_none())
        .map(|mut mount| {
            if let Some(map) = mount.as_object_mut() {
                map.retain(|field, _| MOUNT_FIELDS.contains(&field.as_str()));
            }
            mount
        })
        .collect();
    let own = list(to, "env");
    let mut env: Vec<Json> = list(from, "env").into_iter().filter(|e| own.iter().all(|o| o["name"] != e["name"])).collect();
    env.extend(own);
    for (field, value) in [("volumeMounts", mounts), ("env", env), ("envFrom", list(from, "envFrom"))] {
        if !value.is_empty() {
            to[field] = value.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_container_sees_its_targets_volumes_and_environment() {
        let target = json!({
            "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": true}, {"name": "c", "mountPath": "/c", "subPath": "x"}],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "envFrom": [{"secretRef": {"name": "s"}}],
        });
        let mut container = json!({"name": "debugger", "env": [{"name": "B", "value": "mine"}]});
        share(&target, &mut container);
        assert_eq!(container["volumeMounts"], json!([{"name": "data", "mountPath": "/data", "readOnly": true}]));
        assert_eq!(container["env"], json!([{"name": "A", "value": "1"}, {"name": "B", "value": "mine"}]));
        assert_eq!(container["envFrom"], json!([{"secretRef": {"name": "s"}}]));
    }
}
