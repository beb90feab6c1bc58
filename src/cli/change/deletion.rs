//! Taking objects away: what `delete`, `replace --force`, `apply --prune` and `down` share.
//! Source: k8s.io/kubectl/pkg/cmd/delete/delete.go.

use std::time::Duration;

use serde_json::json;

use super::DryRun;
use crate::api::{Json, Object};
use crate::api::status::quote;
use crate::api::volumes::is_made_here;
use crate::cli::resources::Info;
use crate::cli::{CliError, Context};
use crate::client::{Ask, Client};
use crate::engine::clock;

/// Between two looks whether an object is gone.
const LOOK: Duration = Duration::from_millis(100);

/// How objects are deleted.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// `Background`, `Foreground` or `Orphan`.
    pub policy: &'static str,
    /// Below 0: the pod's own.
    pub grace: i64,
    pub dry_run: DryRun,
    /// Only the names are told.
    pub names: bool,
}

/// What `--cascade` says.
pub fn policy(cascade: &str) -> Result<&'static str, CliError> {
    match cascade {
        "background" | "true" => Ok("Background"),
        "foreground" => Ok("Foreground"),
        "orphan" | "false" => Ok("Orphan"),
        _ => Err(CliError::message(format!(
            "invalid cascade value ({cascade}). Must be \"background\", \"foreground\", or \"orphan\""
        ))),
    }
}

impl Deletion {
    pub async fn send(&self, client: &Client, info: &Info) -> Result<(), CliError> {
        if self.dry_run == DryRun::Client {
            return Ok(());
        }
        let mut body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": self.policy});
        if self.grace >= 0 {
            body["gracePeriodSeconds"] = json!(self.grace);
        }
        if self.dry_run == DryRun::Server {
            body["dryRun"] = json!(["All"]);
        }
        client.send(self.dry_run.ask(Ask::new(http::Method::DELETE, info.path())).json(&body)).await?;
        Ok(())
    }

    /// `pod "web" deleted from default namespace`.
    pub fn tell(&self, ctx: &mut Context, info: &Info) {
        if self.names {
            ctx.out.line(&info.shown());
            return;
        }
        let done = if self.grace == 0 { "force deleted" } else { "deleted" };
        let place = if info.found.namespaced { format!(" from {} namespace", info.namespace) } else { String::new() };
        let suffix = self.dry_run.suffix();
        ctx.out.line(&format!("{} {} {done}{place}{suffix}", info.found.singular_qualified(), quote(&info.name)));
    }
}

/// Has the data of claims that are to be deleted go with them. Answers with their volumes, which go by themselves afterwards.
pub async fn let_data_go(client: &Client, infos: &[Info], dry_run: DryRun) -> Result<Vec<Info>, CliError> {
    let mut volumes = Vec::new();
    let claims: Vec<&Info> =
        infos.iter().filter(|i| i.found.group.is_empty() && i.found.kind == "PersistentVolumeClaim").collect();
    if claims.is_empty() || dry_run != DryRun::None {
        return Ok(volumes);
    }
    let discovery = client.discovery().await?;
    let Some(found) = discovery.preferred_kind("", "PersistentVolume") else { return Ok(volumes) };
    for claim in claims {
        let Some(name) = claim.object.pointer("/spec/volumeName").and_then(Json::as_str).filter(|name| !name.is_empty()) else { continue };
        let path = found.path("", name);
        let object = match client.get(&path).await {
            Err(error) if error.is_not_found() => continue,
            other => other?,
        };
        // Volumes that somebody else made are not ours to empty.
        if is_made_here(&Object::new(object.clone())) {
            let goes = json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}});
            client.send(Ask::new(http::Method::PATCH, path).bytes(super::MERGE, goes.to_string())).await?;
            volumes.push(Info { found: found.clone(), namespace: String::new(), name: name.to_owned(), object, source: None });
        }
    }
    Ok(volumes)
}

/// Waits until none of the objects is there, or each is another one of the same name. `timeout`: 0 for none.
pub async fn wait_until_gone(ctx: &mut Context, client: &Client, infos: &[Info], timeout: Duration) -> Result<(), CliError> {
    ctx.out.flush();
    let begun = tokio::time::Instant::now();
    for info in infos {
        let uid = info.object.pointer("/metadata/uid").and_then(Json::as_str).unwrap_or("").to_owned();
        loop {
            match client.get(&info.path()).await {
                Err(error) if error.is_not_found() => break,
                Err(error) => return Err(error.into()),
                Ok(object) if object.pointer("/metadata/uid").and_then(Json::as_str) != Some(uid.as_str()) => break,
                Ok(_) => {}
            }
            if !timeout.is_zero() && begun.elapsed() >= timeout {
                let name = format!("{}/{}", info.found.resource, info.name);
                return Err(CliError::message(format!("timed out waiting for the condition on {name}")));
            }
            clock::sleep(LOOK).await;
        }
    }
    Ok(())
}
