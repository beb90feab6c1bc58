//! One instance on the Podman at hand, for one test: with an image, a network and a state directory of its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use crate::image::{image_tar, program};
use tokio::sync::OnceCell;
use wl::network::{PodIps, PodSubnet};
use wl::podman::logs::{LogOptions, read};
use wl::podman::{ConnectError, ConnectOptions, InstanceId, NewSubnet, Podman, StartService, Surroundings};
use wl::runtime::{
    Action, Container, ContainerConfig, ContainerState, Outcome, PodNetwork, Runtime, RuntimeError, Sandbox,
    SandboxConfig, VolumeContent, VolumeFile, VolumeKind,
};

pub const IMAGE: &str = "localhost/wl-test-program:latest";

pub struct Node {
    pub podman: Podman,
    pub state: tempfile::TempDir,
    pub options: ConnectOptions,
    name: &'static str,
    ips: Mutex<PodIps>,
}

impl Node {
    /// `None` where there is no Podman to test with.
    pub async fn new(name: &'static str) -> Option<Self> {
        // Below the home: `/tmp` may be another one for Podman.
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let state = tempfile::Builder::new().prefix("wl-test-").tempdir_in(home).expect("a state directory");
        let unique: String = state
            .path()
            .to_string_lossy()
            .bytes()
            .rev()
            .filter(u8::is_ascii_alphanumeric)
            .take(6)
            .map(char::from)
            .collect();
        let instance = InstanceId::parse(&format!("t{name}{}", unique.to_lowercase())).expect("an id");
        let surroundings = Surroundings::of_this_process();
        let options = ConnectOptions {
            instance,
            state_dir: state.path().to_owned(),
            surroundings,
            start_service: StartService::WhereNobodyAnswers,
        };
        let podman = match Podman::connect(options.clone()).await {
            Ok(podman) => podman,
            Err(ConnectError::NotInstalled) => {
                eprintln!("skipped: there is no Podman here");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        static IMPORTED: OnceCell<()> = OnceCell::const_new();
        IMPORTED
            .get_or_init(|| async {
                podman.import_image(IMAGE, image_tar(&program()), &["CMD [\"/program\"]"]).await.expect("imported")
            })
            .await;
        // One network for each test, of sixteen addresses, by its name: tests of one run must not meet.
        let subnet = make_network(&podman).await;
        Some(Self { podman, state, options, name, ips: Mutex::new(PodIps::new(subnet, [])) })
    }

    /// A second client of the same instance.
    pub async fn again(&self) -> Podman {
        Podman::connect(self.options.clone()).await.expect("connected again")
    }

    pub fn uid(&self, pod: &str) -> String {
        format!("{pod}-{}-{}", self.name, self.options.instance.as_str())
    }

    pub fn sandbox(&self, pod: &str) -> SandboxConfig {
        let ip = self.ips.lock().expect("not poisoned").allocate(&self.uid(pod)).expect("an address");
        SandboxConfig {
            uid: self.uid(pod),
            namespace: "default".into(),
            name: pod.into(),
            hostname: pod.into(),
            network: Some(PodNetwork { ips: vec![ip.into()] }),
            hosts: "127.0.0.1 localhost\n".into(),
            ..SandboxConfig::default()
        }
    }

    pub fn container(&self, sandbox: &SandboxConfig, id: &str, name: &str, steps: &[&str]) -> ContainerConfig {
        ContainerConfig {
            pod_uid: sandbox.uid.clone(),
            pod_namespace: sandbox.namespace.clone(),
            pod_name: sandbox.name.clone(),
            sandbox_id: id.into(),
            name: name.into(),
            image: "wl-test-program".into(),
            command: vec!["/program".into()],
            args: steps.iter().map(ToString::to_string).collect(),
            hosts: Some(sandbox.hosts.clone()),
            ..ContainerConfig::default()
        }
    }

    pub async fn act(&self, action: Action) -> Result<Outcome, RuntimeError> {
        self.podman.execute(&action).await
    }

    pub async fn run(&self, sandbox: &SandboxConfig) -> String {
        match self.act(Action::RunSandbox(Box::new(sandbox.clone()))).await {
            Ok(Outcome::Sandbox { id, .. }) => id,
            other => panic!("{other:?}"),
        }
    }

    pub async fn create(&self, config: &ContainerConfig) -> String {
        match self.act(Action::CreateContainer(Box::new(config.clone()))).await {
            Ok(Outcome::Container { id }) => id,
            other => panic!("{other:?}"),
        }
    }

    pub async fn start(&self, id: &str, pod: &str) {
        self.act(Action::StartContainer { id: id.into(), pod_uid: self.uid(pod) }).await.expect("started");
    }

    pub async fn signal(&self, id: &str, pod: &str, signal: i32) {
        self.act(Action::SignalContainer { id: id.into(), pod_uid: self.uid(pod), signal }).await.expect("signalled");
    }

    pub async fn write(&self, pod: &str, name: &str, kind: VolumeKind, fs_group: Option<i64>) {
        let content = VolumeContent { pod_uid: self.uid(pod), name: name.into(), kind, fs_group };
        self.act(Action::WriteVolume(Box::new(content))).await.expect("written");
    }

    /// Where a volume of a pod lies that is a folder.
    pub fn volume(&self, pod: &str, name: &str) -> PathBuf {
        self.state.path().join("pods").join(self.uid(pod)).join("volumes").join(name)
    }

    pub async fn see(&self, pod: &str) -> Sandbox {
        self.podman.observe_pod(&self.uid(pod)).await.expect("observed").expect("a sandbox")
    }

    /// The container, once it has ended.
    pub async fn until_ended(&self, pod: &str, name: &str) -> Container {
        let look = || async {
            let seen = self.podman.observe_pod(&self.uid(pod)).await.expect("observed")?;
            seen.containers.into_iter().find(|c| {
                c.name == name && !matches!(c.state, ContainerState::Running { .. } | ContainerState::Created)
            })
        };
        self.eventually(&format!("{name} has ended"), || async { look().await.is_some() }).await;
        look().await.expect("it has")
    }

    pub async fn log(&self, container: &Container) -> String {
        let (out, mut pieces) = tokio::sync::mpsc::channel(1000);
        let (_running, ended) = tokio::sync::watch::channel(true);
        read(PathBuf::from(&container.log_path), LogOptions::default(), ended, out).await.expect("a log");
        let mut all = Vec::new();
        while let Some(piece) = pieces.recv().await {
            all.extend_from_slice(&piece);
        }
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Looks after each hint until it is so.
    pub async fn eventually<F: Future<Output = bool>>(&self, what: &str, mut is_so: impl FnMut() -> F) {
        let wait = async {
            while !is_so().await {
                let _ = tokio::time::timeout(Duration::from_millis(500), self.podman.next_hint()).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    /// Removes all that the test made.
    pub async fn end(self) {
        for sandbox in self.podman.observe().await.expect("a list") {
            let remove = Action::RemoveSandbox { id: sandbox.id, pod_uid: sandbox.uid, forget_pod: true };
            self.act(remove).await.expect("removed");
        }
        self.podman.remove_network().await.expect("no network");
        self.podman.close().await;
    }
}

/// Runs a command; its exit code and output.
pub async fn exec(node: &Node, id: &str, command: &[&str]) -> (i32, String) {
    let command = command.iter().map(ToString::to_string).collect();
    let action =
        Action::ExecSync { id: id.into(), pod_uid: String::new(), command, timeout: Some(Duration::from_secs(20)) };
    match node.act(action).await {
        Ok(Outcome::Exec { exit_code, output, timed_out: false, .. }) => {
            (exit_code, String::from_utf8_lossy(&output).into_owned())
        }
        other => panic!("{other:?}"),
    }
}

pub fn file(path: &str, text: &str, mode: u32) -> BTreeMap<String, VolumeFile> {
    [(path.to_owned(), VolumeFile { content: text.into(), mode, owner: None })].into()
}

async fn make_network(podman: &Podman) -> PodSubnet {
    // Networks of tests that run meanwhile are taken too; who loses the race takes the next.
    for _ in 0..50 {
        let networks = podman.networks().await.expect("a list");
        let mut taken: Vec<wl::network::Cidr> =
            networks.iter().flat_map(|n| &n.subnets).filter_map(|s| s.parse().ok()).collect();
        taken.extend(wl::network::routes());
        let free =
            (0..4096u32).filter_map(|n| wl::network::Cidr::new(std::net::Ipv4Addr::from(0x0AF0_0000 + n * 16), 28));
        let free = free.into_iter().find(|c| !taken.iter().any(|t| t.overlaps(c))).expect("a free range");
        let subnet = PodSubnet::new(free).expect("a subnet");
        let (first, last) = subnet.pods();
        let range = NewSubnet {
            range: free.to_string(),
            gateway: subnet.gateway().into(),
            first: first.into(),
            last: last.into(),
        };
        let made = podman.make_network(&[range]).await;
        if made.is_ok() {
            return subnet;
        }
    }
    panic!("no network can be made");
}
