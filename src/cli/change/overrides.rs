//! `--overrides`: a patch on what a generator made. Source: k8s.io/kubectl/pkg/cmd/util/override_options.go.

use crate::api::{Gvk, Json, status::quote};
use crate::apply::{json_patch, merge_patch, strategic_merge_patch};
use crate::cli::CliError;

use super::{MERGE, STRATEGIC};

/// A patch of the generated object.
#[derive(clap::Args, Clone, Debug)]
pub struct Overrides {
    /// JSON that changes the generated object
    #[arg(long, default_value = "", hide_default_value = true, value_name = "JSON")]
    overrides: String,
    /// How: json, merge or strategic
    #[arg(long, default_value = "merge", hide_default_value = true, value_name = "TYPE")]
    override_type: String,
}

impl Overrides {
    pub fn apply(&self, tree: Json) -> Result<Json, CliError> {
        if self.overrides.is_empty() {
            return Ok(tree);
        }
        let media = if self.override_type == "strategic" { STRATEGIC } else { MERGE };
        let patch = crate::cli::patch::here(self.overrides.as_bytes(), media)?;
        let text = |key: &str| tree.get(key).and_then(Json::as_str).unwrap_or("");
        let patched = match self.override_type.as_str() {
            "merge" => merge_patch(&tree, &patch),
            "json" => json_patch(&tree, &patch).map_err(|e| CliError::message(e.to_string()))?,
            "strategic" => {
                let gvk = Gvk::of(text("apiVersion"), text("kind"));
                strategic_merge_patch(&gvk, &tree, &patch).map_err(|e| CliError::message(e.to_string()))?
            }
            other => {
                let text = format!("invalid override type {}: must be json, merge or strategic", quote(other));
                return Err(CliError::message(text));
            }
        };
        crate::cli::create::typed(patched)
    }
}
