//! How the gateway is told of a new configuration: one line over a unix socket, answered when it serves it.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{Gateway, ports};
use crate::network::config::GatewayConfig;

/// "Read your file again."
const LOAD: &str = "load";
/// "This connection hands ports over."
pub const PORTS: &str = "ports";
/// No command is longer.
const LONGEST: u64 = 256;
/// How long the gateway may take to serve a configuration.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why nobody knows whether the gateway serves the newest configuration.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("the gateway does not answer")]
    Silent,
    #[error("the gateway cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    #[error("the gateway said {0:?}")]
    Strange(String),
}

/// Serves commands until it is dropped.
pub(super) async fn serve(run: &Path, config: &Path, gateway: Arc<Mutex<Gateway>>) -> io::Result<()> {
    let listener = listen_in(run, super::SOCKET)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (gateway, config) = (gateway.clone(), config.to_owned());
        tokio::spawn(async move {
            // Whoever told has gone: it asks again.
            let _ = answer(stream, &config, &gateway).await;
        });
    }
}

async fn answer(stream: UnixStream, config: &Path, gateway: &Mutex<Gateway>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if (&mut stream).take(LONGEST).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let reply = match line.trim_end() {
            // Nothing has been sent after it: its answer is waited for.
            PORTS => return ports::take(stream.into_inner(), gateway).await,
            LOAD => match GatewayConfig::read(config) {
                Ok(new) => {
                    let mut gateway = gateway.lock().await;
                    // Another may have told of a newer one meanwhile, which was in the file already.
                    gateway.apply(new).await;
                    gateway.config.generation.to_string()
                }
                Err(error) => format!("unreadable: {error}"),
            },
            other => format!("unknown command {other:?}"),
        };
        stream.write_all(format!("{reply}\n").as_bytes()).await?;
    }
}

/// Connects to a socket in a folder, however long the folder's path is.
pub async fn connect_in(folder: &Path, name: &str) -> io::Result<UnixStream> {
    let dir = open_folder(folder)?;
    UnixStream::connect(short(&dir, name)).await
}

/// Listens on a socket in a folder, however long the folder's path is, in the place of what was there. Everybody who
/// can reach the folder may connect: it is its instance's alone, and the gateway has a user of its own in it.
pub fn listen_in(folder: &Path, name: &str) -> io::Result<UnixListener> {
    let dir = open_folder(folder)?;
    let path = short(&dir, name);
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777))?;
    Ok(listener)
}

fn open_folder(folder: &Path) -> io::Result<std::fs::File> {
    std::fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(folder)
}

/// A name for a file in a folder that fits where paths are bounded (sun_path, unix(7)).
fn short(dir: &std::fs::File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name)
}

/// A connection to the gateway; it ends when the gateway does.
pub struct Control {
    stream: BufReader<UnixStream>,
}

impl Control {
    /// Connects to the gateway's socket in its folder.
    pub async fn connect(folder: &Path) -> io::Result<Self> {
        Ok(Control { stream: BufReader::new(connect_in(folder, super::SOCKET).await?) })
    }

    /// Has the configuration read again; gives the generation that is served now.
    pub async fn load(&mut self) -> Result<u64, ControlError> {
        let reply = timeout(PATIENCE, async {
            self.stream.write_all(format!("{LOAD}\n").as_bytes()).await?;
            let mut line = String::new();
            match self.stream.read_line(&mut line).await? {
                0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                _ => Ok(line),
            }
        });
        let line = reply.await.map_err(|_| ControlError::Silent)??;
        line.trim_end().parse().map_err(|_| ControlError::Strange(line.trim_end().to_owned()))
    }

    /// Done when the gateway has gone.
    pub async fn ended(&mut self) {
        let mut rest = [0; 64];
        // It says nothing unasked.
        while self.stream.read(&mut rest).await.is_ok_and(|count| count > 0) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_with_a_long_path_has_sockets_too() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("long".repeat(40));
        std::fs::create_dir(&folder).expect("a folder in it");
        assert!(connect_in(&folder, "a.sock").await.is_err());
        let first = listen_in(&folder, "a.sock").expect("a socket");
        connect_in(&folder, "a.sock").await.expect("connected");
        drop(first);
        // What the last one left is in nobody's way.
        let _second = listen_in(&folder, "a.sock").expect("a socket in its place");
        connect_in(&folder, "a.sock").await.expect("connected");
    }
}
