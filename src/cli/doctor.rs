//! `wl doctor`: whether this machine can run pods, one line a check, with the way out.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::context::with_causes;
use super::{CliError, CliResult, Context, Exit};
use crate::engine::watch::{self, WatchError};
use crate::network::{self, Cidr};
use crate::podman::doctor::{Check, Verdict, examine};
use crate::podman::{ConnectOptions, InstanceId, StartService, Surroundings};

/// Check what Podman needs of this machine
#[derive(clap::Args)]
pub struct Doctor {
    /// text or json
    #[arg(short, long, default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

impl Doctor {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        // A folder of its own: nothing of a state directory is touched.
        let folder = std::env::temp_dir().join(format!("wl-doctor-{}", std::process::id()));
        let failed = |e: std::io::Error| CliError::message(format!("{}: {e}", folder.display()));
        std::fs::DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
        let instance = InstanceId::parse("d0c70000").ok_or_else(|| CliError::message("no instance id"))?;
        let checks = examine(ConnectOptions {
            instance,
            state_dir: folder.clone(),
            surroundings: Surroundings::of_this_process(),
            start_service: StartService::default(),
        })
        .await;
        let mut checks = checks;
        checks.push(families());
        checks.extend(kept(&ctx.state_dir()).await);
        // Whatever is left of it is in the system's folder for such things.
        let _ = std::fs::remove_dir_all(&folder);
        if self.output == "json" {
            ctx.out.line(&format!("{:#}", serde_json::json!({"checks": checks})));
        } else {
            checks.iter().for_each(|check| tell(ctx, check));
        }
        let blocked = checks.iter().any(|c| c.verdict == Verdict::Blocks);
        Ok(if blocked { Exit::Failure } else { Exit::Success })
    }
}

/// Which addresses the pods of a new state directory have.
fn families() -> Check {
    let check = |message: &str, help: &str| Check { name: "ipv6", verdict: Verdict::Ok, message: message.into(), help: help.into() };
    if network::has_ipv6(&[Cidr::OWN_V6]) {
        check("a new network of pods has IPv4 and IPv6", "")
    } else {
        let why = "a new network of pods has IPv4 alone: this machine has no IPv6 address that others can reach";
        check(why, "`--ip-families=IPv4,IPv6` gives it both")
    }
}

/// What is wrong between the store of a state directory and Podman.
async fn kept(state_dir: &Path) -> Option<Check> {
    let check = |verdict, message: String, help: &str| Check { name: "state", verdict, message, help: help.to_owned() };
    match watch::unknown_pods(state_dir).await {
        Ok(unknown) if unknown.is_empty() => {
            let message = format!("{} and Podman know the same pods", state_dir.display());
            state_dir.is_dir().then(|| check(Verdict::Ok, message, ""))
        }
        Ok(unknown) => Some(check(Verdict::Warning, unknown.join("; "), "or `wl restore` a backup that knows them")),
        // Podman has a line of its own.
        Err(WatchError::Podman(_)) => None,
        Err(error) => Some(check(Verdict::Blocks, with_causes(&error), "`wl restore` reads a backup; `wl reset` begins anew")),
    }
}

fn tell(ctx: &mut Context, check: &Check) {
    let word = match check.verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Blocks => "BLOCKS",
    };
    ctx.out.line(&format!("{word:<8} {:<22} {}", check.name, check.message));
    if !check.help.is_empty() {
        ctx.out.line(&format!("{:<31} → {}", "", check.help));
    }
}
