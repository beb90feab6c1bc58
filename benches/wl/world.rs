//! A state directory of the bench, and the `wl` command in it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use wl::podman::{ConnectOptions, InstanceId, Podman, StartService, Surroundings};

use crate::figures::{Sample, Watch};
use crate::image::{image_tar, program};

pub const IMAGE: &str = "localhost/wl-bench:1";

/// The program that is measured: the one built beside the bench, or `WL_BENCH_PROGRAM` (another build of it).
pub fn program_measured() -> OsString {
    std::env::var_os("WL_BENCH_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_wl").into())
}

pub struct World {
    dir: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        // Below the home: `/tmp` may be another one for Podman.
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        World { dir: tempfile::Builder::new().prefix("wl-bench-").tempdir_in(home).expect("a folder") }
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Writes a file; its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    }

    /// A folder that pods may write in; its path.
    pub fn folder(&self, name: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path).expect("made");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).expect("opened");
        path.to_string_lossy().into_owned()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program_measured());
        command.args(args).env("WL_STATE_DIR", self.state()).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `wl` to its end: its stdout. `codes`: the exit codes that are right.
    pub fn wl(&self, args: &[&str], codes: &[i32]) -> (Sample, String) {
        run(self.command(args), codes)
    }

    pub fn json(&self, args: &[&str]) -> Value {
        let out = self.wl(&[args, &["-o", "json"]].concat(), &[0]).1;
        serde_json::from_str(&out).expect("JSON")
    }

    /// The watch, started where there is none: its pid and Podman's socket.
    pub fn watch(&self) -> (u32, PathBuf) {
        self.wl(&["watch", "--background"], &[0]);
        let status = self.json(&["watch", "status"]);
        let pid = status["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a pid");
        let address = status["podman"]["address"].as_str().unwrap_or_default();
        (pid, address.trim_start_matches("unix://").into())
    }

    /// Takes everything away.
    pub fn end(&self) {
        if self.state().exists() {
            self.wl(&["reset", "--yes", "--now", "--volumes"], &[0]);
        }
    }
}

impl Drop for World {
    /// A bench that failed leaves nothing either.
    fn drop(&mut self) {
        if self.state().exists() {
            let _ = self.command(&["reset", "--yes", "--now", "--volumes"]).output();
        }
    }
}

/// Runs a command to its end.
pub fn run(mut command: Command, codes: &[i32]) -> (Sample, String) {
    let watch = Watch::start();
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let sample = watch.stop();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some_and(|code| codes.contains(&code)), "{command:?}: {}\n{error}", output.status);
    (sample, String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Podman's service, and the image of the bench's pods in it. `None` where there is no Podman.
pub async fn podman(world: &World) -> Option<Podman> {
    let options = ConnectOptions {
        instance: InstanceId::parse("bench").expect("an id"),
        state_dir: world.dir.path().join("podman"),
        surroundings: Surroundings::of_this_process(),
        start_service: StartService::WhereNobodyAnswers,
    };
    let podman = match Podman::connect(options).await {
        Ok(podman) => podman,
        Err(error) => {
            eprintln!("what needs Podman is left out: {error}");
            return None;
        }
    };
    podman.import_image(IMAGE, image_tar(&program()), &["CMD [\"/program\"]"]).await.expect("imported");
    Some(podman)
}

/// Pods with one container that runs until it is told to end.
pub fn pods(names: &[String]) -> String {
    let one = |name: &String| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: bench}}}}\nspec:\n  terminationGracePeriodSeconds: 5\n  \
             containers:\n  - name: app\n    image: {IMAGE}\n    command: [/program, \"on-term:0\", forever]\n"
        )
    };
    names.iter().map(one).collect::<Vec<_>>().join("---\n")
}

/// `prefix-000`, `prefix-001`, …
pub fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}-{n:03}")).collect()
}
