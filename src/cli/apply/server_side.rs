//! Server-side apply of one object.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::{Applied, Apply};
use crate::api::tree::Tree;
use crate::api::{Json, Status};
use crate::apply::fields::{Element, FieldSet, parse, print};
use crate::apply::managed::LAST_APPLIED;
use crate::cli::CliError;
use crate::cli::declare::{Target, Validate};
use crate::client::{Ask, Client, ClientError};

const APPLY: &str = "application/apply-patch+yaml";
/// The manager of kubectl's client-side apply, whose fields an apply takes over.
const CLIENT_SIDE: &str = "kubectl-client-side-apply";
/// Who has kubectl's note after that.
const NOTE_KEEPER: &str = "kubectl-last-applied";

fn ask(target: &Target, args: &Apply, validate: Validate, dry: bool, force: bool) -> Ask {
    let mut ask = Ask::new(http::Method::PATCH, target.path())
        .query("fieldManager", args.field_manager.clone())
        .query("fieldValidation", validate.parameter());
    if force {
        ask = ask.query("force", "true");
    }
    if dry {
        ask = ask.query("dryRun", "All");
    }
    ask.bytes(APPLY, Bytes::from(target.tree.to_string()))
}

fn is_conflict(error: &ClientError) -> bool {
    error.status().is_some_and(|s| s.code == 409 && s.message.starts_with("Apply failed with"))
}

/// What the server would make of the object; conflicts count only where they would be one in earnest.
pub async fn dry_run(client: &Client, target: &Target, args: &Apply, validate: Validate) -> Result<Json, CliError> {
    let force = args.force_conflicts || args.server_side != Some(true);
    let answer = client.send(ask(target, args, validate, true, force)).await;
    match answer {
        Ok(answer) => Ok(answer.json()?),
        // In earnest the same conflict may be gone: fields of client-side apply are taken over first.
        Err(error) if is_conflict(&error) => Ok(Json::Null),
        Err(error) => Err(error.into()),
    }
}

/// Applies. Unless kubectl's way was asked for, fields that others manage are taken over, and said so.
pub async fn apply(client: &Client, target: &Target, args: &Apply, validate: Validate) -> Result<Applied, CliError> {
    let before = match client.get(&target.path()).await {
        Ok(object) => Some(object),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error.into()),
    };
    let dry = args.is_dry();
    let mut warnings = Vec::new();
    let kubectl = args.server_side == Some(true);
    if let Some(before) = before.as_ref().filter(|_| !dry && !kubectl) {
        take_over(client, target, before, &args.field_manager).await?;
    }
    let first = client.send(ask(target, args, validate, dry, args.force_conflicts)).await;
    let answer = match first {
        Err(error) if is_conflict(&error) && !kubectl => {
            if let Some(status) = error.status() {
                warnings.push(taken(target, status));
            }
            client.send(ask(target, args, validate, dry, true)).await?
        }
        other => other?,
    };
    warnings.extend(answer.warnings.clone());
    let mut object = answer.json()?;
    // kubectl applies first, so that conflicts are told, and takes over then.
    if kubectl {
        match keep_note(client, target, &object, args).await {
            Err(error) => {
                let Some(status) = error.status() else { return Err(error.into()) };
                warnings.push(format!(
                    "failed to migrate {LAST_APPLIED} for Server-Side Apply. This is non-fatal and will be retried next time \
                     you apply. Error: {}",
                    status.message
                ));
            }
            Ok(kept) if !dry => {
                let now = kept.as_ref().unwrap_or(&object);
                if take_over(client, target, now, &args.field_manager).await? {
                    object = client.send(ask(target, args, validate, dry, args.force_conflicts)).await?.json()?;
                }
            }
            Ok(_) => {}
        }
    }
    let word = match &before {
        _ if kubectl => "serverside-applied",
        None => "created",
        Some(before) if same(before, &object) => "unchanged",
        Some(_) => "configured",
    };
    Ok(Applied { word, object, warnings })
}

/// `deployment.apps/web: spec.replicas was managed by wl (scale) and is now as in the file`.
fn taken(target: &Target, status: &Status) -> String {
    let causes = status.details.as_ref().and_then(|d| d.get("causes")).and_then(Json::as_array);
    let text = |cause: &Json, key: &str| cause.get(key).and_then(Json::as_str).unwrap_or("").to_owned();
    let parts: Vec<String> = causes
        .into_iter()
        .flatten()
        .map(|c| format!("{} ({})", text(c, "field").trim_start_matches('.'), text(c, "message")))
        .collect();
    format!("{}: taken over from others: {}", target.label(), parts.join(", "))
}

/// Whether two answers say the same, what the server keeps for itself left out.
fn same(before: &Json, after: &Json) -> bool {
    let bare = |object: &Json| {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Json::as_object_mut) {
            for key in ["managedFields", "resourceVersion", "generation"] {
                metadata.remove(key);
            }
            // kubectl's note to itself is the server's to keep; nothing of the user's changes by that.
            let annotations = metadata.get_mut("annotations").and_then(Json::as_object_mut);
            if annotations.is_some_and(|a| a.remove(LAST_APPLIED).is_some() && a.is_empty()) {
                metadata.remove("annotations");
            }
        }
        if let Some(map) = object.as_object_mut() {
            map.remove("status");
        }
        object
    };
    bare(before) == bare(after)
}

/// Makes the fields of kubectl's client-side apply this manager's, so that what leaves the file leaves the object; its
/// own note stays. Answers whether there was something to do.
/// Source: k8s.io/client-go/util/csaupgrade/upgrade.go, k8s.io/kubectl/pkg/cmd/apply/apply.go.
async fn take_over(client: &Client, target: &Target, before: &Json, manager: &str) -> Result<bool, CliError> {
    let mut entries = before.field("metadata").list("managedFields").to_vec();
    let is = |entry: &Json, manager: &str, operation: &str| {
        entry.text("manager") == manager && entry.text("operation") == operation && entry.text("subresource").is_empty()
    };
    let Some(first) = entries.iter().position(|e| is(e, CLIENT_SIDE, "Update")) else { return Ok(false) };
    let own = entries.iter().position(|e| is(e, manager, "Apply")).unwrap_or(first);
    let mut fields = FieldSet::new();
    for entry in entries.iter().filter(|e| is(e, CLIENT_SIDE, "Update") || is(e, manager, "Apply")) {
        let more = parse(entry.field("fieldsV1"));
        fields = fields.union(&more.map_err(|e| CliError::message(e.to_string()))?);
    }
    let mut note = FieldSet::new();
    note.insert(&["metadata", "annotations", LAST_APPLIED].map(Element::field));
    // Who has the map itself and applies none would take the note away with it.
    note.insert(&["metadata", "annotations"].map(Element::field));
    entries[own]["fieldsV1"] = print(&fields.difference(&note));
    entries[own]["manager"] = json!(manager);
    entries[own]["operation"] = json!("Apply");
    entries.retain(|e| !is(e, CLIENT_SIDE, "Update"));
    let version = before.field("metadata").field("resourceVersion");
    let patch = json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
    ]);
    let ask = Ask::new(http::Method::PATCH, target.path())
        .query("fieldManager", manager)
        .bytes("application/json-patch+json", Bytes::from(patch.to_string()));
    client.send(ask).await?;
    Ok(true)
}

/// Gives kubectl's note about what it applied a manager of its own, so that it stays when the fields of client-side apply
/// are taken over; answers with the object then. Source: k8s.io/kubectl/pkg/cmd/apply/apply.go, `saveLastApplyAnnotationIfNecessary`.
async fn keep_note(client: &Client, target: &Target, object: &Json, args: &Apply) -> Result<Option<Json>, ClientError> {
    let metadata = object.field("metadata");
    let note = metadata.field("annotations").field(LAST_APPLIED);
    let kept = metadata.list("managedFields").iter().any(|entry| entry.text("manager") == NOTE_KEEPER);
    if args.field_manager != "wl" || note.is_null() || kept {
        return Ok(None);
    }
    let mut tree = json!({
        "apiVersion": target.found.api_version(), "kind": target.found.kind,
        "metadata": {"name": target.name, "annotations": {LAST_APPLIED: note}},
    });
    if !target.namespace.is_empty() {
        tree["metadata"]["namespace"] = json!(target.namespace);
    }
    let mut ask = Ask::new(http::Method::PATCH, target.path()).query("fieldManager", NOTE_KEEPER);
    if args.is_dry() {
        ask = ask.query("dryRun", "All");
    }
    client.send(ask.bytes(APPLY, Bytes::from(tree.to_string()))).await?.json().map(Some)
}

/// kubectl's text about conflicts. Source: k8s.io/kubectl/pkg/cmd/apply/apply.go.
pub fn conflict_text(status: &Status) -> String {
    format!(
        "error: {}\nPlease review the fields above--they currently have other managers. Here\nare the ways you can resolve this \
         warning:\n* If you intend to manage all of these fields, please re-run the apply\n  command with the `--force-conflicts` \
         flag.\n* If you do not intend to manage all of the fields, please edit your\n  manifest to remove references to the \
         fields that should keep their\n  current managers.\n* You may co-own fields by updating your manifest to match the \
         existing\n  value; in this case, you'll become the manager if the other manager(s)\n  stop managing the field \
         (remove it from their configuration).\nSee https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts",
        status.message
    )
}

/// Deletes an object that cannot be changed in place, with what it owns, and waits until it is gone.
pub async fn delete_and_wait(client: &Client, target: &Target) -> Result<(), CliError> {
    let body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"});
    match client.send(Ask::new(http::Method::DELETE, target.path()).json(&body)).await {
        Err(error) if error.is_not_found() => return Ok(()),
        other => other?,
    };
    loop {
        match client.get(&target.path()).await {
            Err(error) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        crate::engine::clock::sleep(Duration::from_millis(100)).await;
    }
}
