//! The container's side of a copy: `tar` there, and what it reads and writes.

use std::io::{self, Read};
use std::path::Path;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use super::super::session::{self, Heard, STDERR, STDIN, STDOUT, Streams};
use super::super::{CliError, CliResult, Context};
use super::unpack::Unpack;
use super::{ends, pack, spec};
use crate::api::Object;
use crate::api::status::quote;
use crate::client::{Client, Speaker};

/// Pieces on their way.
const QUEUE: usize = 8;

/// Whose files are meant.
pub struct Container {
    pub pod: Object,
    pub container: String,
}

impl Container {
    async fn start(&self, client: &Client, command: &[&str], stdin: bool) -> Result<(Speaker, Heard), CliError> {
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let ask = session::exec(&self.pod, &self.container, &command, Streams { stdin, tty: false });
        Ok(session::piped(client, ask).await?)
    }

    async fn is_folder(&self, client: &Client, path: &str) -> Result<bool, CliError> {
        let (_speaker, mut heard) = self.start(client, &["test", "-d", path], false).await?;
        while heard.next().await?.is_some() {}
        Ok(heard.code()? == 0)
    }
}

/// Copies a local file or folder into the container.
pub async fn copy_in(
    ctx: &mut Context, client: &Client, container: &Container, from: &str, to: &str, no_preserve: bool,
) -> CliResult {
    let local = ctx.path(from);
    let (_, name) = spec::split(&local.to_string_lossy());
    let to = if container.is_folder(client, to).await? { format!("{to}/{name}") } else { to.to_owned() };
    let (folder, name) = spec::split(&to);
    let mut command = vec!["tar"];
    if no_preserve {
        command.extend(["--no-same-permissions", "--no-same-owner"]);
    }
    command.extend(["-xmf", "-", "-C", folder.as_str()]);
    let (mut speaker, mut heard) = container.start(client, &command, true).await?;
    let (send, mut pieces) = mpsc::channel::<Vec<u8>>(QUEUE);
    let packing = tokio::task::spawn_blocking(move || {
        pack::pack(&local, &name, &mut |piece| send.blocking_send(piece).is_ok())
    });
    let sending = async move {
        while let Some(piece) = pieces.recv().await {
            // tar has ended; why, it says itself.
            if speaker.say(STDIN, &piece).await.is_err() {
                return;
            }
        }
        let _ = speaker.close(STDIN).await;
    };
    let code = {
        let hearing = async {
            while let Some((stream, bytes)) = heard.next().await? {
                let sink = if stream == STDERR { &mut ctx.err } else { &mut ctx.out };
                sink.text(&String::from_utf8_lossy(&bytes));
            }
            heard.code()
        };
        let mut sending = Box::pin(sending);
        tokio::pin!(hearing);
        tokio::select! {
            // With `sending` go the pieces that tar did not want.
            code = &mut hearing => code?,
            () = &mut sending => hearing.await?,
        }
    };
    let packed = packing.await.map_err(|e| CliError::message(e.to_string()))?;
    packed.map_err(|e| CliError::message(e.to_string()))?;
    ends(ctx, code)
}

/// Copies a file or folder out of the container.
pub async fn copy_out(
    ctx: &mut Context, client: &Client, container: &Container, from: &str, to: &str, retries: i64,
) -> CliResult {
    let (send, archive) = mpsc::channel::<Bytes>(QUEUE);
    let (warn, mut warnings) = mpsc::unbounded_channel::<String>();
    let (prefix, local) = (spec::prefix(from), ctx.path(to));
    let advice = format!(
        "wl exec -n {} {} -- tar cf - {} | tar xf -",
        quote(container.pod.namespace()),
        quote(container.pod.name()),
        quote(from)
    );
    let unpacking = tokio::task::spawn_blocking(move || {
        let to: &Path = &local;
        let mut warn = |text: String| drop(warn.send(text));
        Unpack { prefix: &prefix, to, warn: &mut warn, advice: &advice }.run(Archive { from: archive, piece: Bytes::new() })
    });
    let code = fetch(ctx, client, container, from, retries, send).await;
    let unpacked = unpacking.await.map_err(|e| CliError::message(e.to_string()))?;
    while let Ok(text) = warnings.try_recv() {
        ctx.err.line(&text);
    }
    match (code?, unpacked) {
        // Where tar itself failed, what it said is the reason.
        (0, Err(error)) => Err(CliError::message(error.to_string())),
        (code, _) => ends(ctx, code),
    }
}

/// Has tar write the archive; where the connection breaks, goes on from there.
async fn fetch(
    ctx: &mut Context, client: &Client, container: &Container, from: &str, retries: i64, send: mpsc::Sender<Bytes>,
) -> Result<i32, CliError> {
    let (mut read, mut tried) = (0u64, 0);
    loop {
        // The path is an argument of the shell's, never a part of its program.
        let start = (read + 1).to_string();
        let resumed = ["sh", "-c", "tar cf - \"$1\" | tail -c+$2", "sh", from, &start];
        let command: &[&str] = if retries == 0 { &["tar", "cf", "-", from] } else { &resumed };
        let result = match container.start(client, command, false).await {
            Ok((_, heard)) => receive(ctx, heard, &mut read, &send).await,
            Err(error) => Err(error),
        };
        match result {
            Err(CliError::Lost(_)) if retries < 0 || tried < retries => {
                tried += 1;
                ctx.out.line(&format!("Resuming copy at {read} bytes, retry {tried}/{retries}"));
            }
            other => return other,
        }
    }
}

async fn receive(ctx: &mut Context, mut heard: Heard, read: &mut u64, send: &mpsc::Sender<Bytes>) -> Result<i32, CliError> {
    while let Some((stream, bytes)) = heard.next().await? {
        if stream == STDOUT {
            *read += bytes.len() as u64;
            if send.send(bytes).await.is_err() {
                // Unpacking has failed, and will say why.
                return Ok(0);
            }
        } else {
            ctx.err.text(&String::from_utf8_lossy(&bytes));
        }
    }
    heard.code()
}

/// The archive, as a reader sees it.
struct Archive {
    from: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Archive {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.from.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let most = out.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut out[..most]);
        Ok(most)
    }
}
