//! `wl reset`: takes away everything that this state directory made, after asking.

use super::context::with_causes;
use super::{CliError, CliResult, Context, Exit};
use crate::engine::watch::{self, Made, ResetOptions, WatchError};

/// Remove everything that this state directory made: pods, network and state
#[derive(clap::Args)]
pub struct Reset {
    /// Do not ask
    #[arg(short = 'y', long)]
    yes: bool,
    /// Remove the volumes of claims too, with all that is in them
    #[arg(long)]
    volumes: bool,
    /// Kill the pods instead of giving them their time to end
    #[arg(long)]
    now: bool,
}

fn failed(error: &WatchError) -> CliError {
    CliError::message(with_causes(error))
}

fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

impl Reset {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let dir = ctx.state_dir();
        if !dir.is_dir() {
            ctx.out.line(&format!("There is nothing to reset: {} does not exist.", dir.display()));
            return Ok(Exit::Success);
        }
        let made = watch::made(&dir).await.map_err(|e| failed(&e))?;
        if !self.yes && !self.agreed(ctx, &made)? {
            ctx.err.line("Nothing was removed.");
            return Ok(Exit::Failure);
        }
        let options = ResetOptions { volumes: self.volumes, now: self.now };
        let gone = watch::reset(&dir, options).await.map_err(|e| failed(&e))?;
        ctx.out.line(&format!("Removed {} and the state in {}.", count(gone.pods.len(), "pod"), dir.display()));
        if self.volumes && !gone.volumes.is_empty() {
            ctx.out.line(&format!("Removed the volumes {}.", gone.volumes.join(", ")));
        }
        if !self.volumes && !made.volumes.is_empty() {
            let names = made.volumes.join(" ");
            ctx.out.line(&format!("Kept the volumes of claims; `podman volume rm {names}` removes them."));
        }
        Ok(Exit::Success)
    }

    /// Asks whoever sits at the terminal.
    fn agreed(&self, ctx: &mut Context, made: &Made) -> Result<bool, CliError> {
        let dir = ctx.state_dir();
        ctx.err.line(&format!("This ends {} and removes the state in {}:", count(made.pods.len(), "pod"), dir.display()));
        for pod in &made.pods {
            ctx.err.line(&format!("  pod {pod}"));
        }
        for volume in made.volumes.iter().filter(|_| self.volumes) {
            ctx.err.line(&format!("  volume {volume}, with all that is in it"));
        }
        if !ctx.stdin_is_terminal {
            return Err(CliError::message("nobody can be asked here: say --yes"));
        }
        ctx.err.raw(b"Go on? [y/N] ");
        ctx.err.flush();
        Ok(matches!(ctx.read_line()?.trim(), "y" | "Y" | "yes" | "Yes"))
    }
}
