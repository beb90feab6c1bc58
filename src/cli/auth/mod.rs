//! `wl auth`: who one is, and what one may do. Source: k8s.io/kubectl/pkg/cmd/auth.

mod can_i;
mod whoami;

use super::{CliResult, Context};

/// Ask who you are and what you may do
#[derive(clap::Args)]
pub struct Auth {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Ask whether an action is allowed
    #[command(name = "can-i")]
    CanI(can_i::CanI),
    /// Ask who you are
    Whoami(whoami::Whoami),
}

impl Auth {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        match &self.command {
            Command::CanI(args) => args.run(ctx).await,
            Command::Whoami(args) => args.run(ctx).await,
        }
    }
}
