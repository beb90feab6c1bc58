//! `wl top`: what pods and nodes use. The server offers no Metrics API, and kubectl's answer to that is the honest one.
//! Source: k8s.io/kubectl/pkg/cmd/top.

use super::{CliError, CliResult, Context};

const METRICS: &str = "metrics.k8s.io";

/// Show what pods and nodes use
#[derive(clap::Args)]
pub struct Top {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// What pods use
    #[command(name = "pod", visible_aliases = ["pods", "po"])]
    Pod(Usage),
    /// What nodes use
    #[command(name = "node", visible_aliases = ["nodes", "no"])]
    Node(Usage),
}

#[derive(clap::Args)]
struct Usage {
    /// NAME
    args: Vec<String>,
    /// Only objects with these labels
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    selector: String,
    /// cpu or memory
    #[arg(long, default_value = "", hide_default_value = true)]
    sort_by: String,
}

impl Top {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let (usage, word) = match &self.command {
            Command::Pod(usage) => (usage, "pod"),
            Command::Node(usage) => (usage, "node"),
        };
        if usage.args.len() > 1 {
            return Err(CliError::Usage(format!("{word} [NAME | -l label]")));
        }
        if !matches!(usage.sort_by.as_str(), "" | "cpu" | "memory") {
            return Err(CliError::message("--sort-by accepts only cpu or memory"));
        }
        if !usage.args.is_empty() && !usage.selector.is_empty() {
            return Err(CliError::message("only one of NAME or selector can be provided"));
        }
        let client = ctx.client().await?;
        let discovery = client.discovery().await?;
        if discovery.groups.iter().any(|(group, _)| group == METRICS) {
            return Err(CliError::message(format!("this server has {METRICS}, which wl does not read: use kubectl top")));
        }
        Err(CliError::message("Metrics API not available"))
    }
}
