//! kubectl's client-side apply: a three-way patch with the last applied object in an annotation.
//! Source: k8s.io/kubectl/pkg/cmd/apply/{apply,patcher}.go.

use bytes::Bytes;
use serde_json::json;

use super::{Applied, Apply};
use crate::api::Json;
use crate::api::schema::Schema;
use crate::apply::managed::LAST_APPLIED;
use crate::apply::{three_way_merge_patch, three_way_strategic_patch};
use crate::cli::CliError;
use crate::cli::change::DryRun;
use crate::cli::declare::{Target, Validate};
use crate::client::{Ask, Client};

const MANAGER: &str = "kubectl-client-side-apply";

/// Creates or patches one object.
pub async fn apply(client: &Client, target: &Target, args: &Apply, validate: Validate) -> Result<Applied, CliError> {
    let modified = with_annotation(&target.tree);
    let before = match client.get(&target.path()).await {
        Ok(object) => object,
        Err(error) if error.is_not_found() => return create(client, target, args, validate, modified).await,
        Err(error) => return Err(error.into()),
    };
    let mut warnings = Vec::new();
    let original = before.pointer("/metadata/annotations").and_then(|a| a.get(LAST_APPLIED)).and_then(Json::as_str);
    if original.is_none() {
        warnings.push(format!(
            "resource {}/{} is missing the {LAST_APPLIED} annotation which is required by wl apply. wl apply should only be \
             used on resources created declaratively by either wl create --save-config or wl apply. The missing annotation will \
             be patched automatically.",
            target.found.qualified(),
            target.name
        ));
    }
    let original: Json = original.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| json!({}));
    let gvk = target.found.gvk();
    let known = Schema::get().type_of(&gvk).is_some();
    let (media, patch) = if known {
        let patch = three_way_strategic_patch(&gvk, &original, &modified, &before);
        ("application/strategic-merge-patch+json", patch.map_err(|e| CliError::message(e.to_string()))?)
    } else {
        ("application/merge-patch+json", three_way_merge_patch(&original, &modified, &before))
    };
    if patch.as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok(Applied { word: "unchanged", object: before, warnings });
    }
    if args.dry_run.known() == DryRun::Client {
        return Ok(Applied { word: "configured", object: modified, warnings });
    }
    let mut ask = Ask::new(http::Method::PATCH, target.path())
        .query("fieldManager", MANAGER)
        .query("fieldValidation", validate.parameter())
        .bytes(media, Bytes::from(patch.to_string()));
    if args.is_dry() {
        ask = ask.query("dryRun", "All");
    }
    let answer = client.send(ask).await?;
    warnings.extend(answer.warnings.clone());
    let object = answer.json()?;
    let version = |tree: &Json| tree.pointer("/metadata/resourceVersion").cloned();
    let word = if version(&object) == version(&before) { "unchanged" } else { "configured" };
    Ok(Applied { word, object, warnings })
}

async fn create(client: &Client, target: &Target, args: &Apply, validate: Validate, tree: Json) -> Result<Applied, CliError> {
    if args.dry_run.known() == DryRun::Client {
        return Ok(Applied { word: "created", object: tree, warnings: Vec::new() });
    }
    let mut ask = Ask::new(http::Method::POST, target.found.path(&target.namespace, ""))
        .query("fieldManager", MANAGER)
        .query("fieldValidation", validate.parameter())
        .json(&tree);
    if args.is_dry() {
        ask = ask.query("dryRun", "All");
    }
    let answer = client.send(ask).await?;
    Ok(Applied { word: "created", object: answer.json()?, warnings: answer.warnings })
}

/// The object with itself, as it is without the annotation, in the annotation.
fn with_annotation(tree: &Json) -> Json {
    let mut bare = tree.clone();
    let mut annotations = bare.pointer("/metadata/annotations").and_then(Json::as_object).cloned().unwrap_or_default();
    annotations.remove(LAST_APPLIED);
    bare["metadata"]["annotations"] = Json::Object(annotations.clone());
    let mut whole = bare.clone();
    annotations.insert(LAST_APPLIED.into(), Json::from(format!("{bare}\n")));
    whole["metadata"]["annotations"] = Json::Object(annotations);
    whole
}
