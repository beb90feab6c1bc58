//! What a command may know and touch: its flags, streams, folder, environment, clock and server.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderName;
use jiff::{Timestamp, tz::TimeZone};

use super::{CliError, GlobalFlags, Output};
use crate::api::Json;
use crate::client::{Ask, Client};
use crate::engine::clock;
use crate::engine::watch::{self, Connection, Purpose, WatchFlags};

/// So often a server that went away is looked for again, with this between two tries.
const RECONNECTS: u32 = 50;
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Reads the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The server that commands talk to.
pub enum Server {
    /// The one of the state directory: a running watch, or one made for this command.
    Found,
    /// This one.
    Given(Client),
}

/// Everything around one run of the command line.
pub struct World {
    /// With the program's name first.
    pub args: Vec<OsString>,
    pub cwd: PathBuf,
    pub env: BTreeMap<String, String>,
    pub stdin: Box<dyn Read + Send>,
    pub stdin_is_terminal: bool,
    pub stdout: Output,
    pub stderr: Output,
    pub clock: Clock,
    pub server: Server,
}

/// What a command works with.
pub struct Context {
    pub flags: GlobalFlags,
    /// `wl get`, `wl rollout status`: for messages.
    pub command_path: String,
    pub cwd: PathBuf,
    pub env: BTreeMap<String, String>,
    pub stdin: Box<dyn Read + Send>,
    pub stdin_is_terminal: bool,
    /// Answers.
    pub out: Output,
    /// Notes, warnings, errors.
    pub err: Output,
    /// For a watch that this command starts, or the engine that it runs itself.
    pub watch_flags: WatchFlags,
    clock: Clock,
    server: Server,
    connection: Option<Connection>,
    told: Vec<String>,
}

impl World {
    /// The world as this process sees it.
    pub fn of_this_process() -> Self {
        World {
            args: std::env::args_os().collect(),
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            env: std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect(),
            stdin: Box::new(io::stdin()),
            stdin_is_terminal: io::stdin().is_terminal(),
            stdout: Output::new(Box::new(io::BufWriter::new(io::stdout())), io::stdout().is_terminal()),
            stderr: Output::new(Box::new(io::stderr()), io::stderr().is_terminal()),
            clock: clock::system(),
            server: Server::Found,
        }
    }

    /// Whether the command may have to run an engine inside this process.
    pub(super) fn wants_threads(&self) -> bool {
        !self.args.iter().any(|a| a == "version" || a == "completion")
    }

    pub(super) fn split(self) -> (Vec<OsString>, Context) {
        let ctx = Context {
            flags: GlobalFlags::default(),
            command_path: "wl".into(),
            cwd: self.cwd,
            env: self.env,
            stdin: self.stdin,
            stdin_is_terminal: self.stdin_is_terminal,
            out: self.stdout,
            err: self.stderr,
            watch_flags: WatchFlags::default(),
            clock: self.clock,
            server: self.server,
            connection: None,
            told: Vec::new(),
        };
        (self.args, ctx)
    }
}

impl Context {
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The zone in which people read times: `TZ`, or the machine's.
    pub fn time_zone(&self) -> TimeZone {
        match self.env.get("TZ") {
            Some(name) => TimeZone::get(name.trim_start_matches(':')).unwrap_or(TimeZone::UTC),
            None => {
                let data = std::fs::read("/etc/localtime").ok();
                data.and_then(|data| TimeZone::tzif("", &data).ok()).unwrap_or(TimeZone::UTC)
            }
        }
    }

    /// The namespace that is meant where none is named in a manifest.
    pub fn namespace(&self) -> &str {
        match self.flags.namespace.as_deref() {
            None | Some("") => "default",
            Some(namespace) => namespace,
        }
    }

    /// A path as the user means it: relative ones start at the command's folder.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.cwd.join(path)
    }

    /// The folder that holds everything `wl` keeps.
    pub fn state_dir(&self) -> PathBuf {
        state_dir(self.flags.state_dir.as_deref(), &self.env, &self.cwd)
    }

    /// Where the state is when nothing else is said.
    pub fn usual_state_dir(&self) -> PathBuf {
        let mut env = self.env.clone();
        env.remove("WL_STATE_DIR");
        state_dir(None, &env, &self.cwd)
    }

    /// Where the user's settings are (the XDG base directory specification).
    pub fn config_home(&self) -> PathBuf {
        let set = |name: &str| self.env.get(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let home = || set("HOME").unwrap_or_else(|| PathBuf::from("/root")).join(".config");
        set("XDG_CONFIG_HOME").filter(|dir| dir.is_absolute()).unwrap_or_else(home)
    }

    /// One line of what is typed in.
    pub fn read_line(&mut self) -> Result<String, CliError> {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while line.last() != Some(&b'\n') && line.len() < 4096 {
            match self.stdin.read(&mut byte) {
                Ok(0) => break,
                Ok(_) => line.push(byte[0]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CliError::message(format!("stdin cannot be read: {error}"))),
            }
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// Warns on stderr, each text once.
    pub fn warn(&mut self, text: &str) {
        if !self.told.iter().any(|t| t == text) {
            self.told.push(text.to_owned());
            self.err.line(&format!("Warning: {text}"));
        }
    }

    /// Warns of what the server warned of.
    pub fn warn_all(&mut self, texts: &[String]) {
        for text in texts {
            self.warn(text);
        }
    }

    /// The client of the API server that this command is meant for, to look only.
    pub async fn client(&mut self) -> Result<Client, CliError> {
        self.client_for(Purpose::Look).await
    }

    /// The same, to change something: a watch is started, or the engine runs inside (`--no-watch`).
    pub async fn client_to_change(&mut self) -> Result<Client, CliError> {
        let purpose = if self.flags.no_watch { Purpose::ChangeInside } else { Purpose::Change };
        self.client_for(purpose).await
    }

    /// The Node that the first watch will register, where there has been none.
    pub fn node_to_come(&self) -> Option<&Json> {
        self.connection.as_ref().and_then(|connection| connection.node_to_come())
    }

    /// The client in use already, if there is one.
    pub(super) fn running_client(&self) -> Option<Client> {
        match &self.server {
            Server::Given(client) => Some(client.clone()),
            Server::Found => None,
        }
    }

    /// A client after the server has gone away: a watch is started again where there was one. `why`: what was seen of it.
    pub async fn reconnect(&mut self, why: &str) -> Result<Client, CliError> {
        let Some(connection) = self.connection.take() else { return Err(CliError::Lost(why.to_owned())) };
        self.err.line(&format!("{why}; once more, with a new watch"));
        // What it still says of its end is what is known already.
        let _ = connection.close().await;
        for _ in 0..RECONNECTS {
            self.server = Server::Found;
            let client = self.client_to_change().await?;
            // A process that is about to end may still take connections.
            if client.send(Ask::get("/livez")).await.is_ok() {
                return Ok(client);
            }
            self.connection = None;
            clock::sleep(RECONNECT_PAUSE).await;
        }
        Err(CliError::Lost(why.to_owned()))
    }

    async fn client_for(&mut self, purpose: Purpose) -> Result<Client, CliError> {
        if let Some(context) = &self.flags.context {
            let text = format!("Error in configuration: context was not found for specified context: {context}");
            return Err(CliError::Verbatim(text));
        }
        let client = match &self.server {
            Server::Given(client) => client.clone(),
            Server::Found => {
                let client = self.find(purpose).await?;
                self.server = Server::Given(client.clone());
                client
            }
        };
        client.set_timeout(self.flags.request_timeout.filter(|t| !t.is_zero()));
        client.set_headers(self.impersonation()?);
        Ok(client)
    }

    /// As whom the server is to see this command. Source: k8s.io/client-go/transport (`ImpersonationConfig`).
    fn impersonation(&self) -> Result<Vec<(HeaderName, String)>, CliError> {
        let flags = &self.flags;
        let Some(user) = flags.as_user.as_ref().filter(|user| !user.is_empty()) else {
            if flags.as_group.is_empty() && flags.as_uid.is_none() {
                return Ok(Vec::new());
            }
            return Err(CliError::message("requesting uid, groups or user-extra for without impersonating a user"));
        };
        let mut headers = vec![(HeaderName::from_static("impersonate-user"), user.clone())];
        let groups = flags.as_group.iter().flat_map(|groups| groups.split(','));
        headers.extend(groups.map(|group| (HeaderName::from_static("impersonate-group"), group.to_owned())));
        headers.extend(flags.as_uid.iter().map(|uid| (HeaderName::from_static("impersonate-uid"), uid.clone())));
        Ok(headers)
    }

    async fn find(&mut self, purpose: Purpose) -> Result<Client, CliError> {
        let connection = watch::connect(&self.state_dir(), &self.watch_flags, purpose).await;
        let connection = connection.map_err(|error| CliError::message(with_causes(&error)))?;
        if let Some(note) = connection.note() {
            self.err.line(note);
        }
        let client = connection.client.clone();
        self.connection = Some(connection);
        Ok(client)
    }

    /// Ends what this command runs inside itself; pods go on running.
    pub(super) async fn close(&mut self) {
        if let Some(Err(error)) = match self.connection.take() {
            Some(connection) => Some(connection.close().await),
            None => None,
        } {
            self.err.line(&format!("error: {}", with_causes(&error)));
        }
    }

    pub(super) fn prepare(&mut self) {
        if self.flags.namespace.is_none() {
            self.flags.namespace = self.env.get("WL_NAMESPACE").filter(|n| !n.is_empty()).cloned();
        }
    }

    /// Flushes; `false` if nobody read the answer.
    pub(super) fn finish(&mut self) -> bool {
        self.out.flush();
        self.err.flush();
        !self.out.is_broken()
    }
}

/// `--state-dir`, `WL_STATE_DIR`, or the user's state folder (XDG Base Directory Specification).
pub(super) fn state_dir(flag: Option<&Path>, env: &BTreeMap<String, String>, cwd: &Path) -> PathBuf {
    let set = |name: &str| env.get(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(dir) = flag.map(Path::to_owned).or_else(|| set("WL_STATE_DIR")) {
        return cwd.join(dir);
    }
    if let Some(dir) = set("XDG_STATE_HOME").filter(|d| d.is_absolute()) {
        return dir.join("wl");
    }
    match set("HOME") {
        Some(home) => cwd.join(home).join(".local/state/wl"),
        None => PathBuf::from("/var/lib/wl"),
    }
}

/// An error's text with those of its causes, and what to do where it knows.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let part = inner.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        source = inner.source();
    }
    text
}
