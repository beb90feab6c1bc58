//! Pruning: what was applied before and is no longer in the files. Which objects that are an apply set says
//! (KEP-3659), or, without one, the annotation of kubectl's client-side apply.
//! Source: k8s.io/kubectl/pkg/cmd/apply/{applyset,applyset_pruner,prune}.go, k8s.io/kubectl/pkg/util/prune/prune.go.

mod applied;
mod set;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::change::DryRun;
use super::change::deletion::{Deletion, let_data_go};
use super::declare::Target;
use super::resources::Info;
use super::{CliError, Context};
use crate::api::{Json, Key};
use crate::client::{Ask, Client, Found};
use crate::manifest::Problem;

pub use set::ApplySet;

/// What is pruned.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct PruneFlags {
    /// Delete what was applied before and is no longer in the files
    #[arg(long)]
    pub prune: bool,
    /// The apply set that knows what was applied before: NAME, secrets/NAME or configmaps/NAME
    #[arg(long, default_value = "", hide_default_value = true, value_name = "[TYPE/]NAME")]
    pub applyset: String,
    /// Without an apply set: all that client-side apply has made in the files' namespaces
    #[arg(long)]
    pub all: bool,
    /// Without an apply set: only these kinds
    #[arg(long, value_name = "GROUP/VERSION/KIND")]
    pub prune_allowlist: Vec<String>,
    /// Prune claims and volumes too, with the data in them
    #[arg(long)]
    pub prune_volumes: bool,
    /// The folder that the apply set is to be of.
    #[arg(skip)]
    pub folder: Option<String>,
}

/// Where to look for what is pruned.
pub enum Scope {
    Set(ApplySet),
    Applied(applied::Applied),
}

/// What is no longer in the files.
#[derive(Default)]
pub struct Leftovers {
    /// To be deleted.
    pub gone: Vec<Info>,
    /// Would be deleted, but holds data.
    pub kept: Vec<Info>,
}

impl PruneFlags {
    /// The flags against each other and against `-l`.
    pub fn check(&self, selector: Option<&str>, server_side: bool) -> Result<(), CliError> {
        let fail = |text: &str| Err(CliError::message(text));
        if !self.applyset.is_empty() {
            return match selector {
                _ if !self.prune => fail("--applyset requires --prune"),
                _ if self.all => fail("--all is incompatible with --applyset"),
                Some(selector) if !selector.is_empty() => fail("--selector is incompatible with --applyset"),
                _ if !self.prune_allowlist.is_empty() => fail("--prune-allowlist is incompatible with --applyset"),
                _ => Ok(()),
            };
        }
        if !self.prune {
            return if self.prune_volumes { fail("--prune-volumes requires --prune") } else { Ok(()) };
        }
        if !self.all && selector.is_none_or(str::is_empty) {
            return fail(
                "all resources selected for prune without explicitly passing --all. To prune all resources, pass the --all flag. \
                 If you did not mean to prune all resources, specify a label selector",
            );
        }
        if server_side {
            return fail("--prune is in alpha and doesn't currently work on objects created by server-side apply");
        }
        Ok(())
    }

    /// Where to look; nothing where nothing is pruned.
    pub async fn scope(&self, ctx: &Context, client: &Client, selector: Option<&str>) -> Result<Option<Scope>, CliError> {
        if !self.prune {
            return Ok(None);
        }
        let discovery = client.discovery().await?;
        if !self.applyset.is_empty() {
            let mut set = ApplySet::open(client, &discovery, &self.applyset, ctx.namespace()).await?;
            if let Some(folder) = &self.folder {
                set.claim(folder)?;
            }
            return Ok(Some(Scope::Set(set)));
        }
        let narrow = ctx.flags.namespace.is_some();
        let applied = applied::Applied::of(&discovery, &self.prune_allowlist, selector.unwrap_or(""), narrow)?;
        Ok(Some(Scope::Applied(applied)))
    }

    /// The same flags as they are typed, for a command that is to be repeated.
    pub fn typed(&self) -> String {
        let mut words = Vec::new();
        if self.prune {
            words.push(" --prune".to_owned());
        }
        if !self.applyset.is_empty() {
            words.push(format!(" --applyset={}", self.applyset));
        }
        if self.all {
            words.push(" --all".into());
        }
        words.extend(self.prune_allowlist.iter().map(|kind| format!(" --prune-allowlist={kind}")));
        if self.prune_volumes {
            words.push(" --prune-volumes".into());
        }
        words.concat()
    }
}

impl Scope {
    /// Marks the objects of the files as members, where a set is told members by a mark.
    pub fn adopt(&self, targets: &mut [Target], problems: &mut Vec<Problem>) {
        if let Scope::Set(set) = self {
            targets.iter_mut().for_each(|target| problems.extend(set.adopt(target)));
        }
    }

    /// What was applied before and is in none of `targets`. `volumes`: what holds data goes too.
    pub async fn leftovers(&self, client: &Client, targets: &[Target], volumes: bool) -> Result<Leftovers, CliError> {
        let candidates = match self {
            Scope::Set(set) => set.members(client).await?,
            Scope::Applied(applied) => applied.objects(client, targets).await?,
        };
        let wanted: BTreeSet<(String, &str, &str)> =
            targets.iter().map(|t| (t.found.qualified(), t.namespace.as_str(), t.name.as_str())).collect();
        let is_left = |i: &Info| !wanted.contains(&(i.found.qualified(), i.namespace.as_str(), i.name.as_str()));
        let left: Vec<Info> = candidates.into_iter().filter(is_left).collect();
        if volumes {
            return Ok(Leftovers { gone: left, kept: Vec::new() });
        }
        let (gone, kept) = without_data(client, left).await?;
        Ok(Leftovers { gone, kept })
    }

    /// Deletes what is left over, and tells so; answers with what was deleted.
    pub async fn prune(
        &self,
        ctx: &mut Context,
        client: &Client,
        targets: &[Target],
        volumes: bool,
        dry_run: DryRun,
        quiet: bool,
    ) -> Result<Leftovers, CliError> {
        let left = self.leftovers(client, targets, volumes).await?;
        let deletion = Deletion { policy: "Background", grace: -1, dry_run, names: false };
        if volumes {
            let_data_go(client, &left.gone, dry_run).await?;
        }
        for info in &left.gone {
            match deletion.send(client, info).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ if quiet => {}
                _ => ctx.out.line(&format!("{} pruned{}", info.shown(), dry_run.suffix())),
            }
        }
        for info in &left.kept {
            ctx.err.line(&format!("{} stays, as it may hold data; --prune-volumes takes it away", info.shown()));
        }
        Ok(left)
    }
}

/// Objects that can go, and those whose end would lose what no manifest brings back: claims, volumes, and namespaces
/// with claims in them.
pub async fn without_data(client: &Client, infos: Vec<Info>) -> Result<(Vec<Info>, Vec<Info>), CliError> {
    let (mut gone, mut kept) = (Vec::new(), Vec::new());
    for info in infos {
        let holds = match (info.found.group.as_str(), info.found.kind.as_str()) {
            ("", "PersistentVolumeClaim" | "PersistentVolume") => true,
            ("", "Namespace") => !claims(client, &info.name).await?.is_empty(),
            _ => false,
        };
        if holds { kept.push(info) } else { gone.push(info) }
    }
    Ok((gone, kept))
}

/// The claims of a namespace.
pub async fn claims(client: &Client, namespace: &str) -> Result<Vec<Info>, CliError> {
    let discovery = client.discovery().await?;
    match discovery.preferred_kind("", "PersistentVolumeClaim") {
        Some(found) => list(client, found, namespace, "").await,
        None => Ok(Vec::new()),
    }
}

impl Leftovers {
    /// The objects to be deleted as a plan names them.
    pub fn keys(&self) -> Vec<Key> {
        self.gone.iter().map(|i| Key::new(i.found.group_resource(), &i.namespace, &i.name)).collect()
    }
}

/// The objects of a resource, with a label selector; `namespace` empty: cluster-wide kinds.
async fn list(client: &Client, found: &Arc<Found>, namespace: &str, selector: &str) -> Result<Vec<Info>, CliError> {
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let mut ask = Ask::get(found.path(namespace, "")).query("limit", "500");
        for (key, value) in [("labelSelector", selector), ("continue", next.as_str())] {
            if !value.is_empty() {
                ask = ask.query(key, value);
            }
        }
        let object = match client.send(ask).await {
            Ok(answer) => answer.json()?,
            Err(error) => {
                let gvk = found.gvk();
                let text = format!("listing {}, Kind={} objects for pruning: {error}", gvk.api_version(), gvk.kind);
                return Err(CliError::message(text));
            }
        };
        next = object.pointer("/metadata/continue").and_then(Json::as_str).unwrap_or("").to_owned();
        all.push(Info { found: found.clone(), namespace: namespace.into(), name: String::new(), object, source: None });
        if next.is_empty() {
            return Ok(super::resources::items(all));
        }
    }
}
