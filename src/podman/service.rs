//! `podman system service`, started by `wl` where no other answers, and ended with it.
//!
//! A shell stands between: it holds one end of a pipe, and when the other end closes (however `wl` ended), it ends the
//! service. Containers live on, and the next service finds them.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};

use super::cgroups;
use super::connect::{ConnectError, greet, make_private};

/// Nobody shall find a service that ends. Podman has two processes where it made its user namespace just now: both must be told.
const KEEPER: &str = r#"
exec 3<&0 </dev/null
"$1" system service --time 0 "unix://$2" 3<&- &
service=$!
trap '' TERM INT HUP
read -r _ <&3
rm -f "$2"
for pid in $service $(cat "/proc/$service/task/"*/children 2>/dev/null); do
  case "$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)" in
    *" system service --time 0 unix://$2 ") kill -TERM "$pid" ;;
  esac
done
wait "$service"
"#;
/// How the sockets of services are called, in the instance's folder: so, then the process that started it and a number.
const SOCKET_PREFIX: &str = "service-";
const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Ending takes it two to three seconds.
const END_PATIENCE: Duration = Duration::from_secs(10);
const LARGEST_LOG: u64 = 1 << 20;
/// `ulimit` of containers where limits cannot be raised (Podman asks for as many processes).
const PROCESSES: u64 = 32768;

/// What a service is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    pub program: PathBuf,
    pub path: String,
    pub uid: u32,
    /// The folder of the sockets.
    pub run_dir: PathBuf,
    pub state_dir: PathBuf,
}

/// A running service of our own.
pub struct Service {
    settings: Settings,
    socket: PathBuf,
    keeper: Child,
    /// Closing it ends the service.
    lifeline: Option<ChildStdin>,
}

impl Service {
    /// Starts it and waits until it answers.
    pub async fn start(settings: Settings) -> Result<Self, ConnectError> {
        let socket = settings.new_socket();
        Self::start_at(settings, socket).await
    }

    /// Where it answers.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    async fn start_at(settings: Settings, socket: PathBuf) -> Result<Self, ConnectError> {
        // A reset takes the folder away.
        make_private(&settings.run_dir)?;
        let failed = |why: String| ConnectError::ServiceFailed { why, log: settings.log() };
        if settings.uid != 0 && cgroups::are_hybrid() {
            return Err(ConnectError::HybridCgroups);
        }
        let lock = match settings.uid {
            0 if cgroups::are_hybrid() => Some(cgroups::lock().await.map_err(|e| failed(e.to_string()))?),
            _ => None,
        };
        let mut command = settings.command(&socket).map_err(|e| failed(e.to_string()))?;
        if lock.is_some() {
            cgroups::hide_v2(&mut command).map_err(|e| failed(format!("cannot hide cgroup v2: {e}")))?;
        }
        let mut keeper = command.spawn().map_err(|e| failed(e.to_string()))?;
        let lifeline = keeper.stdin.take();
        let mut service = Self { settings, socket, keeper, lifeline };
        service.wait_until_it_answers().await?;
        Ok(service)
    }

    async fn wait_until_it_answers(&mut self) -> Result<(), ConnectError> {
        let mut pause = FIRST_PAUSE;
        let answers = async {
            loop {
                if greet(&self.socket).await.is_ok_and(|_| true) {
                    return;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        let ended = self.keeper.wait();
        let too_old = || async { matches!(greet(&self.socket).await, Err(ConnectError::TooOld { .. })) };
        let why = tokio::select! {
            () = answers => return Ok(()),
            _ = ended => "it ended at once".to_owned(),
            () = tokio::time::sleep(PATIENCE) => format!("it did not answer within {} s", PATIENCE.as_secs()),
        };
        if too_old().await {
            // The greeting that follows says so.
            return Ok(());
        }
        let said = self.settings.last_words();
        Err(ConnectError::ServiceFailed { why: if said.is_empty() { why } else { said }, log: self.settings.log() })
    }

    /// Starts it again after it fell silent, at the same socket.
    pub async fn again(&mut self) -> Result<(), ConnectError> {
        // One that ends takes its socket with it.
        self.let_go().await;
        *self = Self::start_at(self.settings.clone(), self.socket.clone()).await?;
        Ok(())
    }

    async fn let_go(&mut self) {
        // Nobody shall find it any more.
        let _ = std::fs::remove_file(&self.socket);
        drop(self.lifeline.take());
        // It is ending; if it takes longer, it does so alone.
        let _ = tokio::time::timeout(END_PATIENCE, self.keeper.wait()).await;
    }

    /// Ends it and waits for that.
    pub async fn end(mut self) {
        self.let_go().await;
    }
}

impl Settings {
    fn log(&self) -> PathBuf {
        self.state_dir.join("podman-service.log")
    }

    /// A socket that no other service had: one that ends removes its socket, which may be after the next one has begun.
    fn new_socket(&self) -> PathBuf {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        self.run_dir.join(format!("{SOCKET_PREFIX}{}-{number}.sock", std::process::id()))
    }

    /// The sockets of this instance's services, the newest first.
    pub fn sockets(&self) -> Vec<PathBuf> {
        let is_one = |name: &str| name.starts_with(SOCKET_PREFIX) && name.ends_with(".sock");
        let entries = std::fs::read_dir(&self.run_dir).into_iter().flatten().flatten();
        let named = entries.filter(|e| e.file_name().to_str().is_some_and(is_one));
        let mut all: Vec<_> = named.map(|e| (e.metadata().and_then(|m| m.modified()).ok(), e.path())).collect();
        all.sort();
        all.into_iter().rev().map(|(_, path)| path).collect()
    }

    fn command(&self, socket: &Path) -> std::io::Result<Command> {
        // Of an earlier process with this number.
        let _ = std::fs::remove_file(socket);
        let log = self.log();
        let is_large = std::fs::metadata(&log).is_ok_and(|m| m.len() > LARGEST_LOG);
        let log = std::fs::File::options().create(true).append(!is_large).truncate(is_large).write(true).mode(0o600).open(log)?;
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(KEEPER).arg("wl-podman-service").arg(&self.program).arg(socket);
        command.env("PATH", &self.path).env_remove("CONTAINER_HOST").env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1");
        if let Some((name, file)) = self.own_configuration()? {
            command.env(name, file);
        }
        command.current_dir("/").stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        command.process_group(0);
        Ok(command)
    }

    /// Where limits cannot be raised, those of containers are lowered to what is allowed. A configuration that the user
    /// names is left alone.
    fn own_configuration(&self) -> std::io::Result<Option<(&'static str, PathBuf)>> {
        let named = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let Some(limits) = lowered_limits() else { return Ok(None) };
        if named("CONTAINERS_CONF") || named("CONTAINERS_CONF_OVERRIDE") {
            return Ok(None);
        }
        let file = self.state_dir.join("containers.conf");
        let mut text = format!("[containers]\ndefault_ulimits = [{limits}]\n[engine]\nexit_command_delay = 2\n");
        // 4.3 knows no overriding: there it stands for the others, and must name the networks that there are.
        let overrides = self.version_knows_override();
        if let Some(backend) = network_backend().filter(|_| !overrides) {
            text.push_str(&format!("[network]\nnetwork_backend = {backend}\n"));
        }
        super::dirs::write_file(&file, text.as_bytes(), 0o600)?;
        Ok(Some((if overrides { "CONTAINERS_CONF_OVERRIDE" } else { "CONTAINERS_CONF" }, file)))
    }

    fn version_knows_override(&self) -> bool {
        let output = std::process::Command::new(&self.program).arg("--version").output();
        let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
        let version = text.split_whitespace().last().and_then(super::Version::parse);
        version.is_some_and(|v| (v.major, v.minor) >= (4, 6))
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let errors = text.lines().rev().find(|line| line.starts_with("Error:"));
        errors.unwrap_or_default().chars().filter(|c| !c.is_control()).take(500).collect()
    }
}

/// What the machine's configuration names as the network backend, the most important file first (containers.conf(5)).
fn network_backend() -> Option<String> {
    let files = ["/etc/containers/containers.conf", "/usr/share/containers/containers.conf"];
    let value = |text: String| {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.filter(|(key, _)| key.trim() == "network_backend").map(|(_, value)| value.trim().to_owned()).next_back()
    };
    files.iter().find_map(|file| value(std::fs::read_to_string(file).ok()?))
}

/// Whether this process has CAP_SYS_RESOURCE, which raises limits and lowers scores (capabilities(7)); `None`: nobody knows.
pub fn has_sys_resource() -> Option<bool> {
    const CAP_SYS_RESOURCE: u32 = 24;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    Some(u64::from_str_radix(effective.trim(), 16).ok()? & (1 << CAP_SYS_RESOURCE) != 0)
}

/// As `default_ulimits` has them; `None` where Podman may raise what it likes.
pub fn lowered_limits() -> Option<String> {
    use rustix::process::{Resource, getrlimit};
    let is_root = rustix::process::geteuid().is_root();
    // An ordinary user's Podman stays within what it has by itself.
    if !is_root || has_sys_resource()? {
        return None;
    }
    let files = getrlimit(Resource::Nofile).maximum?;
    let processes = getrlimit(Resource::Nproc).maximum.unwrap_or(PROCESSES).min(PROCESSES);
    Some(format!("\"nofile={files}:{files}\", \"nproc={processes}:{processes}\""))
}

