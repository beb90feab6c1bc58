//! `wl watch install`: the watch as a systemd unit.

use std::path::Path;

use super::{CliError, CliResult, Context, Exit};
use crate::engine::watch::{Unit, UnitOptions, WatchFlags, unit};

/// What `wl watch install` is told.
#[derive(clap::Args)]
pub struct Install {
    #[command(flatten)]
    flags: WatchFlags,
    /// Print the unit and write nothing
    #[arg(long)]
    print: bool,
    /// Do not ask whether your services may run while you are not logged in
    #[arg(short = 'y', long)]
    yes: bool,
}

fn io(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> CliError {
    let text = format!("{what} {}", path.display());
    move |error| CliError::message(format!("{text}: {error}"))
}

impl Install {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let unit = self.unit(ctx)?;
        if self.print {
            ctx.out.text(&unit.text);
            return Ok(Exit::Success);
        }
        if !Path::new("/run/systemd/system").is_dir() {
            let why = "this machine is not run by systemd; `wl watch install --print` shows the unit, for what starts services here";
            return Err(CliError::message(why));
        }
        let lingers = unit.of_user && self.may_linger(ctx)?;
        if let Some(folder) = unit.path.parent() {
            std::fs::create_dir_all(folder).map_err(io("cannot make", folder))?;
        }
        std::fs::write(&unit.path, &unit.text).map_err(io("cannot write", &unit.path))?;
        let scope: &[&str] = if unit.of_user { &["--user"] } else { &[] };
        systemctl(&[scope, &["daemon-reload"]].concat())?;
        systemctl(&[scope, &["enable", "--now", &unit.name]].concat())?;
        if lingers {
            command("loginctl", &["enable-linger"])?;
        }
        self.told(ctx, &unit, lingers);
        Ok(Exit::Success)
    }

    fn unit(&self, ctx: &Context) -> Result<Unit, CliError> {
        let program = std::env::current_exe().map_err(|e| CliError::message(format!("where is wl? {e}")))?;
        let is_root = rustix::process::getuid().is_root();
        Ok(unit(&UnitOptions {
            program: &program,
            state_dir: &ctx.state_dir(),
            is_usual: ctx.state_dir() == ctx.usual_state_dir(),
            arguments: &self.flags.arguments(),
            is_root,
            config_home: &ctx.config_home(),
            podman: ctx.env.get("CONTAINER_HOST").map(String::as_str),
        }))
    }

    /// A user's services end with his last session, unless he lingers.
    fn may_linger(&self, ctx: &mut Context) -> Result<bool, CliError> {
        if self.yes {
            return Ok(true);
        }
        if !ctx.stdin_is_terminal {
            return Err(CliError::message("nobody can be asked here: say --yes"));
        }
        ctx.err.raw(b"Pods are to run while you are not logged in, from boot on (loginctl enable-linger)? [y/N] ");
        ctx.err.flush();
        Ok(matches!(ctx.read_line()?.trim(), "y" | "Y" | "yes"))
    }

    fn told(&self, ctx: &mut Context, unit: &Unit, lingers: bool) {
        let scope = if unit.of_user { "--user " } else { "" };
        ctx.out.line(&format!("{} is enabled and runs.", unit.path.display()));
        if unit.of_user && !lingers {
            ctx.out.line("It ends with your last session; `loginctl enable-linger` changes that.");
        }
        let linger = if lingers { " && loginctl disable-linger" } else { "" };
        ctx.out.line(&format!(
            "To undo it: systemctl {scope}disable --now {} && rm {}{linger}",
            unit.name,
            unit.path.display()
        ));
    }
}

fn systemctl(arguments: &[&str]) -> Result<(), CliError> {
    command("systemctl", arguments)
}

fn command(program: &str, arguments: &[&str]) -> Result<(), CliError> {
    let line = format!("{program} {}", arguments.join(" "));
    let output = std::process::Command::new(program).args(arguments).output();
    let output = output.map_err(|e| CliError::message(format!("{line}: {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(CliError::message(format!("{line}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
