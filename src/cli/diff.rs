//! `wl diff`: the objects of files beside what the server holds, as unified YAML.
//! Source: k8s.io/kubectl/pkg/cmd/diff/diff.go.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;

use super::input::{self, Files, Item};
use super::print::yaml::to_yaml;
use super::{CliError, CliResult, Context, Exit};
use crate::api::schema::Schema;
use crate::api::{Gvk, Json};
use crate::apply::managed::LAST_APPLIED;
use crate::apply::{three_way_merge_patch, three_way_strategic_patch};
use crate::client::{Ask, Client, Found};


/// Show how the objects of files differ from what the server holds
#[derive(clap::Args)]
pub struct Diff {
    #[command(flatten)]
    files: Files,
    /// As a server-side apply would merge them
    #[arg(long)]
    server_side: bool,
    /// Take fields over that others manage
    #[arg(long)]
    force_conflicts: bool,
    /// Who manages the fields
    #[arg(long, default_value = "wl", hide_default_value = true)]
    field_manager: String,
    /// Only objects with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Keep `managedFields`
    #[arg(long)]
    show_managed_fields: bool,
}

impl Diff {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        match self.compare(ctx).await {
            Ok(exit) => Ok(exit),
            Err(error) => {
                error.report(ctx);
                Err(CliError::Silent(Exit::CannotCompare))
            }
        }
    }

    async fn compare(&self, ctx: &mut Context) -> CliResult {
        if self.files.is_empty() {
            return Err(CliError::message("must specify one of -f and -k"));
        }
        let items = self.files.objects(ctx).await?;
        let client = ctx.client().await?;
        let discovery = client.discovery().await?;
        let selector = match &self.selector {
            Some(text) => Some(crate::api::selector::LabelSelector::parse(text).map_err(CliError::message)?),
            None => None,
        };
        let mut pairs = Vec::new();
        for item in items {
            if selector.as_ref().is_some_and(|s| !s.matches(&item.object)) {
                continue;
            }
            let (found, namespace) = input::place(ctx, &discovery, &item)?;
            let (live, merged) = self.states(&client, &found, &namespace, &item).await?;
            let name = file_name(&found, &namespace, item.object.name());
            pairs.push((name, self.text(&found, live.as_ref(), &merged), self.text(&found, Some(&merged), live.as_ref().unwrap_or(&Json::Null))));
        }
        let pairs: Vec<(String, String, String)> = pairs;
        if let Some(program) = ctx.env.get("KUBECTL_EXTERNAL_DIFF").filter(|p| !p.trim().is_empty()).cloned() {
            return external(ctx, &program, &pairs);
        }
        let mut differs = false;
        for (name, live, merged) in &pairs {
            if live == merged {
                continue;
            }
            differs = true;
            let diff = similar::TextDiff::from_lines(live, merged);
            let unified = diff.unified_diff().context_radius(3).header(&format!("LIVE/{name}"), &format!("MERGED/{name}")).to_string();
            ctx.out.text(&format!("diff -u -N LIVE/{name} MERGED/{name}\n{unified}"));
        }
        Ok(if differs { Exit::Different } else { Exit::Success })
    }

    /// The object as it is, and as it would be.
    async fn states(&self, client: &Client, found: &Found, namespace: &str, item: &Item) -> Result<(Option<Json>, Json), CliError> {
        let mut tree = item.object.json().clone();
        if found.namespaced {
            tree["metadata"]["namespace"] = namespace.into();
        }
        let path = found.path(namespace, item.object.name());
        let live = match client.get(&path).await {
            Ok(object) => Some(object),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error.into()),
        };
        let ask = match &live {
            _ if self.server_side => {
                let ask = Ask::new(http::Method::PATCH, path).query("fieldManager", self.field_manager.clone());
                let ask = if self.force_conflicts { ask.query("force", "true") } else { ask };
                ask.bytes("application/apply-patch+yaml", Bytes::from(tree.to_string()))
            }
            None => Ask::new(http::Method::POST, found.path(namespace, "")).json(&tree),
            Some(live) => {
                // As kubectl writes it down: annotations are there, even if there are none.
                if tree["metadata"]["annotations"].is_null() {
                    tree["metadata"]["annotations"] = serde_json::json!({});
                }
                let (media, patch) = client_side(&found.gvk(), live, &tree)?;
                Ask::new(http::Method::PATCH, path).bytes(media, Bytes::from(patch.to_string()))
            }
        };
        let merged = client.send(ask.query("dryRun", "All")).await?.json()?;
        Ok((live, merged))
    }

    /// An object as text, beside `other`: of Secrets only what differs can be told apart.
    fn text(&self, found: &Found, object: Option<&Json>, other: &Json) -> String {
        let Some(object) = object else { return String::new() };
        let mut shown = object.clone();
        if let Some(metadata) = shown.get_mut("metadata").and_then(Json::as_object_mut).filter(|_| !self.show_managed_fields) {
            metadata.remove("managedFields");
        }
        if found.group.is_empty() && found.kind == "Secret" {
            mask(&mut shown, other);
        }
        to_yaml(&shown)
    }
}

/// `***` for values of a Secret, with a mark where the two sides differ. Source: diff.go, `Masker`.
fn mask(shown: &mut Json, other: &Json) {
    let Some(data) = shown.get_mut("data").and_then(Json::as_object_mut) else { return };
    for (key, value) in data.iter_mut() {
        let beside = other.get("data").and_then(|d| d.get(key));
        let same = beside.is_none_or(|b| b == value);
        let older = beside.is_some() && !same && other.pointer("/metadata/resourceVersion").is_none();
        *value = Json::from(match (same, older) {
            (true, _) => "***",
            (false, true) => "*** (before)",
            (false, false) => "*** (after)",
        });
    }
}

fn client_side(gvk: &Gvk, live: &Json, tree: &Json) -> Result<(&'static str, Json), CliError> {
    let annotation = live.pointer("/metadata/annotations").and_then(|a| a.get(LAST_APPLIED)).and_then(Json::as_str);
    let original: Json = annotation.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| serde_json::json!({}));
    if Schema::get().type_of(gvk).is_some() {
        let patch = three_way_strategic_patch(gvk, &original, tree, live).map_err(|e| CliError::message(e.to_string()))?;
        Ok(("application/strategic-merge-patch+json", patch))
    } else {
        Ok(("application/merge-patch+json", three_way_merge_patch(&original, tree, live)))
    }
}

/// `apps.v1.Deployment.default.web`.
fn file_name(found: &Found, namespace: &str, name: &str) -> String {
    let group = if found.group.is_empty() { String::new() } else { format!("{}.", found.group) };
    let safe: String = name.chars().map(|c| if c == '/' { '-' } else { c }).collect();
    format!("{group}{}.{}.{namespace}.{safe}", found.version, found.kind)
}

/// Hands two folders to the program the user has chosen. Its words are split at blanks, as kubectl does.
fn external(ctx: &mut Context, program: &str, pairs: &[(String, String, String)]) -> CliResult {
    let failed = |e: std::io::Error| CliError::message(format!("failed to run {program:?}: {e}"));
    let root = std::env::temp_dir().join(format!("wl-diff-{}", std::process::id()));
    let write = |side: &str, name: &str, text: &str| -> std::io::Result<()> {
        let folder = root.join(side);
        std::fs::DirBuilder::new().recursive(true).create(&folder)?;
        if text.is_empty() { Ok(()) } else { std::fs::File::create(folder.join(name))?.write_all(text.as_bytes()) }
    };
    make_private(&root).map_err(failed)?;
    let result = (|| {
        for (name, live, merged) in pairs {
            write("LIVE", name, live)?;
            write("MERGED", name, merged)?;
        }
        let mut words = program.split_whitespace();
        let output = Command::new(words.next().unwrap_or("diff"))
            .args(words)
            .args([root.join("LIVE"), root.join("MERGED")])
            .output()?;
        Ok(output)
    })();
    // Whatever is left of it is in the system's folder for such things.
    let _ = std::fs::remove_dir_all(&root);
    let output: std::process::Output = result.map_err(failed)?;
    ctx.out.raw(&output.stdout);
    ctx.err.raw(&output.stderr);
    match output.status.code() {
        Some(0) => Ok(Exit::Success),
        Some(1) => Ok(Exit::Different),
        _ => Err(CliError::message(format!("{program:?} failed: {}", output.status))),
    }
}

fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(path)
}
