//! One node of its own: a `wl watch` with a state directory, and what can be seen and done beside it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::process::{Child, Command};
use wl::client::{Ask, Client, ClientError};
use wl::podman::{ConnectError, ConnectOptions, InstanceId, Podman, StartService, Surroundings};

use crate::live::Live;

/// As the recorded node had it.
const RESOLV_CONF: &str =
    "nameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch example.test corp.example.test\noptions timeout:1\n";

/// What is seen, by namespace.
pub type Seen = Arc<Mutex<HashMap<String, Live>>>;

pub struct World {
    dir: tempfile::TempDir,
    pub client: Client,
    watch: tokio::sync::Mutex<Option<Child>>,
    pub hand: Podman,
    /// Address of the Service `kubernetes`.
    pub api_ip: String,
    pub seen: Seen,
    eyes: Vec<tokio::task::JoinHandle<()>>,
}

pub fn lock(seen: &Seen) -> MutexGuard<'_, HashMap<String, Live>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Below the home: `/tmp` may be another one for Podman.
pub fn folder(prefix: &str) -> tempfile::TempDir {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    tempfile::Builder::new().prefix(prefix).tempdir_in(home).expect("a folder")
}

/// Podman at hand; `None`: there is none.
pub async fn connect(state_dir: PathBuf, instance: &str) -> Option<Podman> {
    let options = ConnectOptions {
        instance: InstanceId::parse(instance).expect("an id"),
        state_dir,
        surroundings: Surroundings::of_this_process(),
        start_service: StartService::WhereNobodyAnswers,
    };
    match Podman::connect(options).await {
        Ok(podman) => Some(podman),
        Err(ConnectError::NotInstalled) => None,
        Err(error) => panic!("{error}"),
    }
}

impl World {
    pub async fn new() -> Self {
        let dir = folder("wl-kubelet-");
        std::fs::write(dir.path().join("resolv.conf"), RESOLV_CONF).expect("written");
        for name in ["srv", "manifests"] {
            std::fs::create_dir(dir.path().join(name)).expect("a folder");
        }
        let client = Client::unix(dir.path().join("state/api.sock"));
        client.set_timeout(Some(Duration::from_secs(60)));
        let watch = tokio::sync::Mutex::default();
        // The hand needs the instance's id, which the watch makes.
        let child = start(dir.path(), true);
        *watch.lock().await = Some(child);
        up(&client).await;
        let instance = std::fs::read_to_string(dir.path().join("state/instance")).expect("an id");
        let hand = connect(dir.path().join("hand"), instance.trim()).await.expect("Podman is there");
        let seen = Seen::default();
        let eyes = vec![
            tokio::spawn(look(client.clone(), "/api/v1/pods", seen.clone(), Live::pod)),
            tokio::spawn(look(client.clone(), "/api/v1/events", seen.clone(), Live::event)),
            tokio::spawn(read_logs(dir.path().join("state/pods"), seen.clone())),
        ];
        let mut world = World { dir, client, watch, hand, api_ip: String::new(), seen, eyes };
        world.until_ok("/api/v1/nodes/n1").await;
        let service = "/api/v1/namespaces/default/services/kubernetes";
        world.until_ok(service).await;
        let service = world.client.get(service).await.expect("it is there");
        service["spec"]["clusterIP"].as_str().unwrap_or_default().clone_into(&mut world.api_ip);
        world
    }

    /// A folder of the machine that stands for the recorded one's `/srv`.
    pub fn srv(&self) -> PathBuf {
        self.dir.path().join("srv")
    }

    pub fn manifests(&self) -> PathBuf {
        self.dir.path().join("manifests")
    }

    pub async fn until_ok(&self, path: &str) {
        for _ in 0..600 {
            if self.client.get(path).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} does not come\n{}", self.told());
    }

    pub fn told(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("watch.log")).unwrap_or_default()
    }

    /// SIGKILL for the watch; the API goes on without a node agent, as a cluster's does.
    pub async fn stop_agent(&self) {
        self.replace(false).await;
    }

    pub async fn start_agent(&self) {
        self.replace(true).await;
    }

    async fn replace(&self, agent: bool) {
        let mut watch = self.watch.lock().await;
        if let Some(mut old) = watch.take() {
            let _ = old.kill().await;
        }
        *watch = Some(start(self.dir.path(), agent));
        up(&self.client).await;
    }

    /// Takes all pods away, and the network.
    pub async fn end(self) {
        self.eyes.iter().for_each(tokio::task::JoinHandle::abort);
        if let Some(mut watch) = self.watch.lock().await.take() {
            let _ = watch.kill().await;
        }
        self.hand.close().await;
        let mut reset = Command::new(env!("CARGO_BIN_EXE_wl"));
        reset.args(["reset", "--yes", "--now", "--volumes"]).env("WL_STATE_DIR", self.dir.path().join("state"));
        let output = reset.output().await.expect("started");
        if !output.status.success() {
            println!("reset: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

fn start(dir: &std::path::Path, agent: bool) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(dir.join("watch.log")).expect("a log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_wl"));
    command.arg("watch").env("WL_STATE_DIR", dir.join("state")).env("NO_COLOR", "1").env_remove("WL_FAILPOINT");
    command.args(["--node-name=n1", "--cluster-dns=10.96.0.10"]);
    command.arg("--node-allocatable=cpu=2,memory=24683068Ki,pods=110");
    command.arg(format!("--resolv-conf={}", dir.join("resolv.conf").display()));
    command.arg(format!("--manifests={}", dir.join("manifests").display()));
    if !agent {
        command.arg("--no-node");
    }
    let errors = log.try_clone().expect("a second handle");
    command.stdin(Stdio::null()).stdout(log).stderr(errors).kill_on_drop(true);
    command.spawn().expect("started")
}

async fn up(client: &Client) {
    for _ in 0..1200 {
        if client.get("/version").await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the watch does not come up");
}

/// Follows a list for ever, over restarts of the server too.
async fn look(client: Client, path: &'static str, seen: Seen, take: fn(&mut Live, &Json, bool, f64)) {
    let mut revision = String::new();
    let mut known: HashMap<String, Json> = HashMap::new();
    loop {
        // Nothing is lost where the server still has the past; else the list tells what is there.
        if revision.is_empty()
            && let Ok(list) = client.get(path).await
        {
            revision = list["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
            let mut gone = known.clone();
            for item in list["items"].as_array().into_iter().flatten() {
                let uid = item["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
                gone.remove(&uid);
                if known
                    .get(&uid)
                    .is_none_or(|k| k["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"])
                {
                    note(&seen, item, false, take);
                }
                known.insert(uid, item.clone());
            }
            for (uid, object) in gone {
                note(&seen, &object, true, take);
                known.remove(&uid);
            }
        }
        let ask = Ask::get(path).query("watch", "true").query("resourceVersion", revision.clone());
        if let Ok(mut lines) = client.lines(ask).await {
            while let Ok(Some(line)) = lines.next().await {
                let Ok(event) = serde_json::from_slice::<Json>(&line) else { continue };
                let object = &event["object"];
                let deleted = event["type"] == "DELETED";
                if event["type"] == "ERROR" {
                    revision.clear();
                    break;
                }
                if let Some(new) = object["metadata"]["resourceVersion"].as_str() {
                    revision = new.to_owned();
                }
                let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
                if deleted {
                    known.remove(&uid);
                } else {
                    known.insert(uid, object.clone());
                }
                note(&seen, object, deleted, take);
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn note(seen: &Seen, object: &Json, deleted: bool, take: fn(&mut Live, &Json, bool, f64)) {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    if let Some(live) = lock(seen).get_mut(namespace) {
        let at = live.since(Timestamp::now());
        take(live, object, deleted, at);
    }
}

/// Reads all containers' logs as they grow, so that those of removed pods are whole too.
async fn read_logs(pods: PathBuf, seen: Seen) {
    let mut open: HashMap<PathBuf, crate::live::Tail> = HashMap::new();
    loop {
        for pod in std::fs::read_dir(&pods).into_iter().flatten().flatten() {
            for container in std::fs::read_dir(pod.path().join("logs")).into_iter().flatten().flatten() {
                for log in std::fs::read_dir(container.path()).into_iter().flatten().flatten() {
                    let path = log.path();
                    if !open.contains_key(&path)
                        && let Some(tail) = crate::live::Tail::open(&path)
                    {
                        open.insert(path, tail);
                    }
                }
            }
        }
        for tail in open.values_mut() {
            let before = tail.read_bytes;
            let lines = tail.read();
            if tail.read_bytes > before {
                for live in lock(&seen).values_mut().filter(|l| l.has(&tail.uid)) {
                    live.lines(tail, &lines);
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

/// A request's code and answer, also where it is a refusal.
pub async fn ask(client: &Client, ask: Ask) -> (u16, Json) {
    match client.send(ask).await {
        Ok(response) => {
            let body =
                response.json().unwrap_or_else(|_| Json::String(String::from_utf8_lossy(&response.body).into_owned()));
            (response.status.as_u16(), body)
        }
        Err(error) => refusal(&error),
    }
}

fn refusal(error: &ClientError) -> (u16, Json) {
    match error.status() {
        Some(status) => (status.code, json!(status.message)),
        None => (0, json!(error.to_string())),
    }
}
