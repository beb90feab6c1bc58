//! `wl completion SHELL`: the script that makes a shell complete `wl`, live names included.

use clap_complete::env::Shells;

use super::{CliError, CliResult, Context, Exit};

/// Print the script that makes a shell complete `wl`
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  source <(wl completion bash)\n  wl completion zsh > \"${fpath[1]}/_wl\"\n  wl completion fish > ~/.config/fish/completions/wl.fish")]
pub struct Completion {
    /// bash, elvish, fish, powershell or zsh
    shell: Option<String>,
}

impl Completion {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let shells = Shells::builtins();
        let Some(name) = &self.shell else {
            return Err(CliError::Usage("Shell not specified.".into()));
        };
        let Some(shell) = shells.completer(name) else {
            return Err(CliError::Usage(format!("Unsupported shell type \"{name}\".")));
        };
        let mut script = Vec::new();
        let written = shell.write_registration("COMPLETE", "wl", "wl", "wl", &mut script);
        written.map_err(|e| CliError::message(e.to_string()))?;
        ctx.out.raw(&script);
        Ok(Exit::Success)
    }
}
