//! How long a command takes that has next to nothing to do.

use std::process::{Command, Stdio};

use crate::Plan;
use crate::figures::Pairs;
use crate::world::{program_measured, run};

fn quiet(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `wl version` and one completion, beside `/bin/true` started the same way.
pub fn commands(plan: &Plan) {
    let folder = tempfile::tempdir().expect("a folder");
    let version = || {
        let mut command = quiet(program_measured(), &["version"]);
        command.env("WL_STATE_DIR", folder.path());
        command
    };
    let completion = || {
        let mut command = quiet(program_measured(), &["--", "wl", "get", "pods", "--out"]);
        command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "3").env("_CLAP_IFS", "\n");
        command.env("WL_STATE_DIR", folder.path());
        command
    };
    let rows: [(&str, &dyn Fn() -> Command); 2] = [("`wl version`", &version), ("one completion", &completion)];
    for (name, command) in rows {
        let mut pairs = Pairs::default();
        for _ in 0..plan.rounds * 20 {
            let (ours, shown) = run(command(), &[0]);
            assert!(!shown.is_empty(), "{name} says something");
            pairs.add(ours, run(quiet("/bin/true", &[]), &[0]).0);
        }
        pairs.row(name, "`/bin/true`", 5.0).print();
    }
}
