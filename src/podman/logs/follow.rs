//! Reading a log from some point on, and on while its container runs.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};

use super::super::readable::readable;
use super::line::{LogLine, Stream, parse};
use super::tail::offset_of_last;

const BLOCK: usize = 64 << 10;
/// A line without an end that is longer is given up: conmon writes at most 8 KiB of text in one.
const LONGEST_LINE: usize = 1 << 20;
/// Where the kernel tells of no changes (or drops one), the file is looked at all the same.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What to read, as the API's log subresource has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogOptions {
    pub follow: bool,
    pub timestamps: bool,
    pub tail_lines: Option<usize>,
    pub since: Option<Timestamp>,
    pub limit_bytes: Option<u64>,
    /// One of the two outputs only.
    pub stream: Option<Stream>,
}

/// Sends the log at `path` in pieces until its end; with `follow`, until `ended` says that its container has ended and
/// everything was read. Stops when nobody receives.
pub async fn read(path: PathBuf, options: LogOptions, mut ended: watch::Receiver<bool>, out: mpsc::Sender<Bytes>) -> std::io::Result<()> {
    let changes = if options.follow { Changes::of(&path).ok() } else { None };
    let mut reader = Reader::open(&path, &options)?;
    loop {
        // Asked before reading: what was written before the end is read after it was seen.
        let over = !options.follow || *ended.borrow();
        while let Some(piece) = reader.next_piece()? {
            if !piece.is_empty() && out.send(piece).await.is_err() || reader.is_full() {
                return Ok(());
            }
        }
        if over {
            return Ok(());
        }
        tokio::select! {
            () = out.closed() => return Ok(()),
            changed = ended.changed() => if changed.is_err() { return Ok(()) },
            () = Changes::next(changes.as_ref()) => {}
        }
    }
}

/// Tells when the file was written to.
struct Changes(AsyncFd<std::os::fd::OwnedFd>);

impl Changes {
    fn of(path: &Path) -> std::io::Result<Self> {
        let notify = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        inotify::add_watch(&notify, path, inotify::WatchFlags::MODIFY)?;
        Ok(Self(readable(notify)?))
    }

    async fn next(changes: Option<&Self>) {
        let told = async {
            match changes {
                None => std::future::pending().await,
                Some(Self(notify)) => {
                    if let Ok(mut ready) = notify.readable().await {
                        let mut buffer = [0; 4096];
                        while rustix::io::read(notify, &mut buffer).is_ok_and(|n| n > 0) {}
                        ready.clear_ready();
                    }
                }
            }
        };
        // Silence for so long means looking.
        let _ = tokio::time::timeout(LOOK_AGAIN, told).await;
    }
}

struct Reader {
    path: PathBuf,
    file: std::fs::File,
    offset: u64,
    buffer: Vec<u8>,
    options: LogOptions,
    left: u64,
    /// Whether the last line sent of a stream goes on.
    open: [bool; 2],
}

impl Reader {
    fn open(path: &Path, options: &LogOptions) -> std::io::Result<Self> {
        let mut file = std::fs::File::open(path)?;
        let offset = match options.tail_lines {
            Some(lines) => offset_of_last(&mut file, lines)?,
            None => 0,
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            offset,
            buffer: Vec::new(),
            options: options.clone(),
            left: options.limit_bytes.unwrap_or(u64::MAX),
            open: [false; 2],
        })
    }

    fn is_full(&self) -> bool {
        self.left == 0
    }

    /// What the next block of the file says, maybe nothing; `None` at its end.
    fn next_piece(&mut self) -> std::io::Result<Option<Bytes>> {
        self.begin_again_if_cut()?;
        let mut block = vec![0; BLOCK];
        self.file.seek(SeekFrom::Start(self.offset))?;
        let read = self.file.read(&mut block)?;
        if read == 0 {
            return Ok(None);
        }
        self.offset += read as u64;
        self.buffer.extend_from_slice(&block[..read]);
        let Some(end) = self.buffer.iter().rposition(|b| *b == b'\n') else {
            if self.buffer.len() > LONGEST_LINE {
                self.buffer.clear();
            }
            return Ok(Some(Bytes::new()));
        };
        let rest = self.buffer.split_off(end + 1);
        let whole = std::mem::replace(&mut self.buffer, rest);
        let mut out = Vec::with_capacity(whole.len());
        for line in whole.split_inclusive(|b| *b == b'\n').filter_map(|line| parse(&line[..line.len() - 1])) {
            self.add(&line, &mut out);
        }
        let fits = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        out.truncate(fits);
        self.left -= fits as u64;
        Ok(Some(out.into()))
    }

    fn add(&mut self, line: &LogLine<'_>, out: &mut Vec<u8>) {
        let old = self.options.since.is_some_and(|since| line.at < since);
        if old || self.options.stream.is_some_and(|wanted| wanted != line.stream) {
            return;
        }
        let goes_on = &mut self.open[usize::from(line.stream == Stream::Stderr)];
        if self.options.timestamps && !*goes_on {
            out.extend_from_slice(line.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(line.text);
        *goes_on = line.partial;
        if !line.partial {
            out.push(b'\n');
        }
    }

    /// conmon cuts a log that grows too long: everything older is gone then, in a new file or the same one.
    fn begin_again_if_cut(&mut self) -> std::io::Result<()> {
        let length = self.file.metadata()?.len();
        let replaced = match std::fs::metadata(&self.path) {
            Ok(at_path) => !is_same_file(&at_path, &self.file.metadata()?),
            Err(_) => false,
        };
        if length < self.offset {
            self.offset = 0;
            self.buffer.clear();
        } else if replaced && length == self.offset {
            self.file = std::fs::File::open(&self.path)?;
            self.offset = 0;
            self.buffer.clear();
        }
        Ok(())
    }
}

fn is_same_file(a: &std::fs::Metadata, b: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const LOG: &str = "2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:01Z stderr P tw\n2026-01-01T00:00:02Z stderr F o\n2026-01-01T00:00:03Z stdout F three\n";

    async fn text(options: LogOptions) -> String {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), LOG).expect("written");
        let (out, mut pieces) = mpsc::channel(100);
        let (_sender, ended) = watch::channel(true);
        read(file.path().to_owned(), options, ended, out).await.expect("read");
        let mut all = Vec::new();
        while let Some(piece) = pieces.recv().await {
            all.extend_from_slice(&piece);
        }
        String::from_utf8(all).expect("text")
    }

    #[tokio::test]
    async fn a_log_is_read_as_it_is_asked_for() {
        let options = LogOptions::default;
        assert_eq!(text(options()).await, "one\ntwo\nthree\n");
        assert_eq!(text(LogOptions { tail_lines: Some(2), ..options() }).await, "two\nthree\n");
        assert_eq!(text(LogOptions { tail_lines: Some(0), ..options() }).await, "");
        assert_eq!(text(LogOptions { since: "2026-01-01T00:00:03Z".parse().ok(), ..options() }).await, "three\n");
        assert_eq!(text(LogOptions { limit_bytes: Some(5), ..options() }).await, "one\nt");
        assert_eq!(text(LogOptions { stream: Some(Stream::Stderr), ..options() }).await, "two\n");
        let stamped = text(LogOptions { timestamps: true, tail_lines: Some(2), ..options() }).await;
        assert_eq!(stamped, "2026-01-01T00:00:01Z two\n2026-01-01T00:00:03Z three\n");
    }

    #[tokio::test]
    async fn following_ends_with_the_container_and_loses_nothing() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"2026-01-01T00:00:00Z stdout F a\n").expect("written");
        let (out, mut pieces) = mpsc::channel(1);
        let (sender, ended) = watch::channel(false);
        let path = file.path().to_owned();
        let reading = tokio::spawn(read(path, LogOptions { follow: true, ..LogOptions::default() }, ended, out));
        assert_eq!(pieces.recv().await.expect("a piece"), "a\n");
        file.write_all(b"2026-01-01T00:00:00Z stdout F b\n").expect("written");
        assert_eq!(pieces.recv().await.expect("a piece"), "b\n");
        file.write_all(b"2026-01-01T00:00:00Z stdout F c\n").expect("written");
        sender.send(true).expect("somebody reads");
        assert_eq!(pieces.recv().await.expect("a piece"), "c\n");
        assert_eq!(pieces.recv().await, None);
        reading.await.expect("no panic").expect("read");
    }
}
