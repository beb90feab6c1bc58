//! `wl set resources`. Source: k8s.io/kubectl/pkg/cmd/set/set_resources.go.

use super::containers::{pod_spec, select};
use super::{Which, Words};
use crate::api::{Json, quantity::Quantity};
use crate::cli::change::DryRun;
use crate::cli::create::quantities;
use crate::cli::{CliError, CliResult, Context};

const WORDS: Words = Words {
    done: "resource requirements updated",
    failed: "failed to patch resources update to pod template",
    quiet: true,
};

/// Set the requests and limits of containers
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl set resources deploy/web -c nginx --limits=cpu=200m,memory=256Mi")]
pub struct Resources {
    #[command(flatten)]
    which: Which,
    /// Only objects with these labels
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    selector: String,
    /// Names of the containers, with `*` for any text
    #[arg(short, long, default_value = "*")]
    containers: String,
    /// `cpu=200m,memory=256Mi`
    #[arg(long, default_value = "", hide_default_value = true)]
    limits: String,
    /// `cpu=100m,memory=128Mi`
    #[arg(long, default_value = "", hide_default_value = true)]
    requests: String,
}

impl Resources {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dry_run = self.which.dry_run(ctx)?;
        self.which.teller(ctx, dry_run)?;
        let infos = self.which.find(ctx, &self.which.args, &self.selector, dry_run).await?;
        if self.which.local && dry_run == DryRun::Server {
            return Err(CliError::message("cannot specify --local and --dry-run=server - did you mean --dry-run=client?"));
        }
        if self.which.all && !self.selector.is_empty() {
            return Err(CliError::message("cannot set --all and --selector at the same time"));
        }
        if self.limits.is_empty() && self.requests.is_empty() {
            return Err(CliError::message(
                "you must specify an update to requests or limits (in the form of --requests/--limits)",
            ));
        }
        let (limits, requests) = (quantities(&self.limits, "invalid")?, quantities(&self.requests, "invalid")?);
        self.which
            .change(ctx, &infos, dry_run, &WORDS, |info, tree, errors| {
                let mut containers = select(pod_spec(info, tree)?, &self.containers);
                if containers.is_empty() {
                    let text = format!("error: unable to find container named {}", self.containers);
                    errors.push(CliError::message(text));
                }
                for container in &mut containers {
                    for (key, amounts) in [("limits", &limits), ("requests", &requests)] {
                        for (name, amount) in amounts {
                            set(&mut container["resources"][key][name], amount);
                        }
                    }
                }
                Ok(())
            })
            .await
    }
}

/// An amount that is the same in other words stays as it is.
fn set(place: &mut Json, amount: &Json) {
    let value = |json: &Json| json.as_str().and_then(|text| Quantity::parse(text).ok()).map(|q| q.to_string());
    if value(place) != value(amount) {
        *place = amount.clone();
    }
}
