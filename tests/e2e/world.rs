//! A state directory of a test, the `wl` command in it, and a hand that reaches into Podman beside it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::sync::{Mutex, OnceCell};
use wl::podman::{ConnectError, ConnectOptions, InstanceId, Podman, StartService, Surroundings};
use wl::runtime::{Action, ContainerState, Runtime, RuntimeErrorKind, Sandbox, SandboxState};

use crate::image::{image_tar, program};

/// Two images with the same program.
pub const IMAGES: [&str; 2] = ["localhost/wl-e2e:1", "localhost/wl-e2e:2"];
/// Nothing that is waited for takes longer, on a loaded machine either.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a run of `wl` ended.
#[derive(Debug)]
pub struct Run {
    /// `None`: killed by a signal.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Run {
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Run { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.out.contains(text) || self.err.contains(text), "{text:?} in\n{}\n{}", self.out, self.err);
        }
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.out, self.err))
    }
}

pub struct World {
    dir: tempfile::TempDir,
    /// Reaches the same pods as the watch; found when it is first needed.
    hand: Mutex<Option<Podman>>,
}

impl World {
    /// `None` where there is no Podman to test with.
    pub async fn new(name: &str) -> Option<Self> {
        // Below the home: `/tmp` may be another one for Podman.
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let dir = tempfile::Builder::new().prefix(&format!("wl-e2e-{name}-")).tempdir_in(home).expect("a folder");
        let world = World { dir, hand: Mutex::default() };
        static IMPORTED: OnceCell<bool> = OnceCell::const_new();
        let there = IMPORTED.get_or_init(|| async { world.import().await }).await;
        there.then_some(world)
    }

    async fn import(&self) -> bool {
        let podman = match connect(&self.dir.path().join("import"), "import").await {
            Ok(podman) => podman,
            Err(ConnectError::NotInstalled) => {
                eprintln!("skipped: there is no Podman here");
                return false;
            }
            Err(error) => panic!("{error}"),
        };
        for image in IMAGES {
            podman.import_image(image, image_tar(&program()), &["CMD [\"/program\"]"]).await.expect("imported");
        }
        podman.close().await;
        true
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a manifest; its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_wl")), args)
    }

    pub fn command_of(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).env("WL_STATE_DIR", self.state()).env("NO_COLOR", "1").env_remove("WL_FAILPOINT");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    pub async fn run(&self, mut command: Command) -> Run {
        let shown = format!("{command:?}");
        let output = tokio::time::timeout(PATIENCE, command.output()).await;
        Run::of(&output.unwrap_or_else(|_| panic!("does not end: {shown}\n{}", self.told())).expect("started"))
    }

    /// Runs `wl` to its end.
    pub fn wl<'w>(&'w self, args: &[&str]) -> impl Future<Output = Run> + use<'w> {
        self.run(self.command(args))
    }

    pub async fn json(&self, args: &[&str]) -> Value {
        self.wl(&[args, &["-o", "json"]].concat()).await.ends(0).json()
    }

    /// What the watch in the background wrote.
    pub fn told(&self) -> String {
        std::fs::read_to_string(self.state().join("watch.log")).unwrap_or_default()
    }

    /// Podman as somebody beside the watch sees it.
    pub async fn hand(&self) -> Podman {
        let mut hand = self.hand.lock().await;
        if let Some(found) = hand.as_ref() {
            return found.clone();
        }
        let instance = std::fs::read_to_string(self.state().join("instance")).expect("the state directory has an id");
        let found = connect(&self.dir.path().join("hand"), instance.trim()).await.expect("connected");
        hand.insert(found).clone()
    }

    /// What Podman has of this state directory.
    pub async fn sandboxes(&self) -> Vec<Sandbox> {
        loop {
            match self.hand().await.observe().await {
                Err(error) if error.kind == RuntimeErrorKind::Unavailable => {
                    tokio::time::sleep(Duration::from_millis(100)).await
                }
                other => return other.expect("a list"),
            }
        }
    }

    /// Names of the pods whose containers all run.
    pub async fn running(&self) -> Vec<String> {
        let runs = |s: &Sandbox| {
            let alive = s.containers.iter().filter(|c| matches!(c.state, ContainerState::Running { .. })).count();
            s.state == SandboxState::Ready && alive == 1
        };
        self.sandboxes().await.iter().filter(|s| runs(s)).map(|s| s.name.clone()).collect()
    }

    pub async fn act(&self, action: Action) {
        self.hand().await.execute(&action).await.expect("done");
    }

    /// Looks until it is so.
    pub async fn eventually<F: Future<Output = bool>>(&self, what: &str, is_so: impl FnMut() -> F) {
        let waited = tokio::time::timeout(PATIENCE, self.until(is_so)).await;
        waited.unwrap_or_else(|_| panic!("never: {what}\n{}", self.told()));
    }

    async fn until<F: Future<Output = bool>>(&self, mut is_so: impl FnMut() -> F) {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Takes everything away, by `wl` itself, and sees that nothing is left.
    pub async fn end(self) {
        self.wl(&["reset", "--yes", "--now", "--volumes"]).await.ends(0);
        if self.hand.lock().await.is_some() {
            let seen = Mutex::new(String::new());
            let nothing = || async {
                let hand = self.hand().await;
                let left = (hand.observe().await, hand.own_network().await, hand.volumes().await);
                let is_nothing = left == (Ok(vec![]), Ok(None), Ok(vec![]));
                if !is_nothing {
                    *seen.lock().await = format!("{left:?}");
                }
                is_nothing
            };
            let waited = tokio::time::timeout(PATIENCE, self.until(nothing)).await;
            waited.unwrap_or_else(|_| panic!("left in Podman: {seen:?}"));
        }
        assert!(!self.state().exists(), "{:?}", std::fs::read_dir(self.state()).map(Iterator::collect::<Vec<_>>));
        if let Some(hand) = self.hand.lock().await.take() {
            hand.close().await;
        }
    }
}

impl Drop for World {
    /// A test that failed leaves nothing either.
    fn drop(&mut self) {
        if self.state().exists() {
            eprintln!("--- {}\n{}", self.state().display(), self.told());
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wl"));
            command.args(["reset", "--yes", "--now", "--volumes"]).env("WL_STATE_DIR", self.state());
            let _ = command.output();
        }
    }
}

async fn connect(state_dir: &Path, instance: &str) -> Result<Podman, ConnectError> {
    Podman::connect(ConnectOptions {
        instance: InstanceId::parse(instance).expect("an id"),
        state_dir: state_dir.to_owned(),
        surroundings: Surroundings::of_this_process(),
        start_service: StartService::WhereNobodyAnswers,
    })
    .await
}

/// The same with a readiness probe.
pub fn probed(name: &str, replicas: u32, image: &str) -> String {
    deployment(name, replicas, image)
        + "        readinessProbe: {exec: {command: [\"/program\", \"exit:0\"]}, periodSeconds: 1}\n"
}

/// A Deployment of pods with one container that runs until it is told to end.
pub fn deployment(name: &str, replicas: u32, image: &str) -> String {
    let text = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: NAME}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: app
        image: IMAGE
        args: ["/program", "on-term:0", "say:up", "forever"]
"#;
    text.replace("NAME", name).replace("REPLICAS", &replicas.to_string()).replace("IMAGE", image)
}
