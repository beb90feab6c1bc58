//! The porter: this binary as a small process on the machine itself, beside the watch and longer-lived. It opens the
//! ports that Services have on the machine and hands them to the gateway, which takes their connections; and it asks the
//! machine's resolvers where the gateway cannot reach them.
//!
//! Only the listening socket goes through it, never a byte of a connection. Where the gateway dies, connections wait in
//! the socket's queue until the next one has it.

mod handing;
mod holder;
mod server;
#[cfg(test)]
mod tests;

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

pub use handing::{receive, Handed};
pub use holder::holder;
pub use server::taken;

use super::config::Protocol;
use super::gateway::connect_in;

/// The hidden first argument by which this binary is the porter.
pub const COMMAND: &str = "__porter";
/// Its socket, beside the gateway's.
pub const SOCKET: &str = "porter.sock";
const LOAD: &str = "load";
const END: &str = "end";
const RESOLVE: &str = "resolve";
/// How long it may take to come up, and to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the porter answers when it has read its configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub version: String,
    pub refused: Vec<Refused>,
}

/// A port that could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub protocol: Protocol,
    pub at: std::net::SocketAddr,
    pub why: String,
    /// Who has it, where that can be known: `nginx (process 4711)`.
    pub holder: Option<String>,
}

/// When this process was started as the porter (`wl __porter CONFIG RUN`), is it until it is told to end.
pub fn serve_if_called() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != COMMAND {
        return None;
    }
    let (Some(config), Some(run)) = (args.next(), args.next()) else {
        eprintln!("{COMMAND} CONFIG-FOLDER RUN-FOLDER");
        return Some(ExitCode::FAILURE);
    };
    // What `ps` shows.
    let _ = rustix::thread::set_name(c"wl-porter");
    // It outlives whoever started it. This fails only where the process leads a session already.
    let _ = rustix::process::setsid();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.and_then(|runtime| runtime.block_on(server::serve(Path::new(&config), Path::new(&run))));
    Some(match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

/// Has the configuration read by the porter, which is started where there is none; one of another version is replaced.
pub async fn load(program: &Path, config: &Path, run: &Path, log: &Path) -> io::Result<Report> {
    if let Ok(report) = ask(run).await {
        if report.version == version() {
            return Ok(report);
        }
        end(run).await;
    }
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    let mut child = Command::new(program)
        .arg0("wl")
        .args([COMMAND.as_ref(), config.as_os_str(), run.as_os_str()])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()?;
    let answered = timeout(PATIENCE, async {
        loop {
            if let Ok(report) = ask(run).await {
                return Ok(report);
            }
            if let Some(status) = child.try_wait()? {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                let said = said.lines().last().unwrap_or("it said nothing");
                return Err(io::Error::other(format!("the porter ended at once ({status}): {said}")));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let answered = answered.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    // Whoever outlives it reaps it: it is waited for beside everything else.
    std::thread::spawn(move || child.wait());
    answered
}

fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

async fn ask(run: &Path) -> io::Result<Report> {
    let mut stream = BufReader::new(connect_in(run, SOCKET).await?);
    let line = timeout(PATIENCE, async {
        stream.write_all(format!("{LOAD}\n").as_bytes()).await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        io::Result::Ok(line)
    });
    Ok(serde_json::from_str(&line.await??)?)
}

/// Ends the porter, if there is one: the ports of Services on the machine are closed.
pub async fn end(run: &Path) {
    let Ok(mut stream) = connect_in(run, SOCKET).await else { return };
    let told = timeout(PATIENCE, async {
        stream.write_all(format!("{END}\n").as_bytes()).await?;
        // It closes the connection with its end.
        stream.read(&mut [0; 16]).await
    });
    // One that does not end has not answered either.
    let _ = told.await;
}

/// Asks the machine's resolvers through the porter: the bytes of a question, and of its answer.
pub async fn resolve(run: &Path, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = connect_in(run, SOCKET).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?.to_be_bytes();
    stream.write_all(&[format!("{RESOLVE}\n").as_bytes(), &length, question].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}
