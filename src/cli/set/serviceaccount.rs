//! `wl set serviceaccount`. Source: k8s.io/kubectl/pkg/cmd/set/set_serviceaccount.go.

use super::containers::pod_spec;
use super::{Which, Words};
use crate::cli::change::DryRun;
use crate::cli::{CliError, CliResult, Context};

const WORDS: Words = Words { done: "serviceaccount updated", failed: "failed to patch ServiceAccountName", quiet: false };

/// Set the ServiceAccount of pods: the last argument
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl set serviceaccount deploy/web builder")]
pub struct ServiceAccount {
    #[command(flatten)]
    which: Which,
}

impl ServiceAccount {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dry_run = self.which.dry_run(ctx)?;
        if self.which.local && dry_run == DryRun::Server {
            return Err(CliError::message("cannot specify --local and --dry-run=server - did you mean --dry-run=client?"));
        }
        self.which.teller(ctx, dry_run)?;
        let Some((account, names)) = self.which.args.split_last() else {
            return Err(CliError::message("serviceaccount is required"));
        };
        let infos = self.which.find(ctx, names, "", dry_run).await?;
        self.which
            .change(ctx, &infos, dry_run, &WORDS, |info, tree, _| {
                pod_spec(info, tree)?["serviceAccountName"] = account.as_str().into();
                Ok(())
            })
            .await
    }
}
