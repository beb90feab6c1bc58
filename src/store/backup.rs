//! Copies of the store: made while it is in use, and put back.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{CWD, RenameFlags};

use super::journal::{FILE, OpenError, check, judge};
use super::lock::{Holder, Lock};
use super::migrate::{migrate, version};

/// Resource versions begin anew at the second of a restore, times this: no store takes so many changes in a second, so
/// that none of an earlier time is higher.
const REVISIONS_IN_A_SECOND: u64 = 1 << 20;

/// Why there is no copy, or none was put back. What was there is as it was.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("there is nothing to back up in {}", dir.display())]
    Nothing { dir: PathBuf },
    #[error("{} is there already; `--force` overwrites it", path.display())]
    Exists { path: PathBuf },
    #[error("{} is no backup of wl ({why})", path.display())]
    NoBackup { path: PathBuf, why: String },
    #[error("process {} uses {}: stop it first, with `wl watch stop`", holder.as_ref().map_or("?".to_owned(), |h| h.pid.to_string()), dir.display())]
    InUse { dir: PathBuf, holder: Option<Holder> },
    #[error("cannot write {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot copy {}", path.display())]
    Sqlite {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl BackupError {
    /// The same, for who opens a store.
    pub(crate) fn into_open_error(self, path: &Path) -> OpenError {
        match self {
            BackupError::Open(error) => error,
            BackupError::Io { path, source } => OpenError::Io { path, source },
            BackupError::Sqlite { path, source } => judge(&path, source),
            other => OpenError::Io { path: path.to_owned(), source: io::Error::other(other.to_string()) },
        }
    }
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub objects: u64,
    /// Where the store that was there before lies now.
    pub aside: Option<PathBuf>,
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { path, source }
}

fn sqlite_error(path: &Path) -> impl FnOnce(rusqlite::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Sqlite { path, source }
}

fn open(path: &Path) -> Result<Connection, rusqlite::Error> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

/// Writes a consistent copy of the store to `to`, whether it is in use or not.
pub fn backup(dir: &Path, to: &Path, overwrite: bool) -> Result<(), BackupError> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Err(BackupError::Nothing { dir: dir.to_owned() });
    }
    if !overwrite && fs::symlink_metadata(to).is_ok() {
        return Err(BackupError::Exists { path: to.to_owned() });
    }
    let connection = open(&path).map_err(sqlite_error(&path))?;
    check(&connection, &path)?;
    version(&connection, &path)?;
    copy(&connection, to, overwrite)
}

/// Copies a database into a file of its own, whole or not at all, for this user's eyes only.
pub(crate) fn copy(from: &Connection, to: &Path, overwrite: bool) -> Result<(), BackupError> {
    let name = to.file_name().ok_or_else(|| io_error(to)(io::ErrorKind::IsADirectory.into()))?;
    let new = to.with_file_name(format!(".{}.{}.new", name.to_string_lossy(), std::process::id()));
    let made = write_copy(from, &new).and_then(|()| put(&new, to, overwrite));
    if made.is_err() {
        // It may never have been made.
        let _ = fs::remove_file(&new);
    }
    made
}

fn write_copy(from: &Connection, new: &Path) -> Result<(), BackupError> {
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(new)(error)),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(new).map_err(io_error(new))?;
    let mut target = open(new).map_err(sqlite_error(new))?;
    let sqlite = || sqlite_error(new);
    {
        // All pages in one step: what others write meanwhile is not in it.
        let backup = rusqlite::backup::Backup::new(from, &mut target).map_err(sqlite())?;
        while backup.step(-1).map_err(sqlite())? != rusqlite::backup::StepResult::Done {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
    // One file, without a journal beside it.
    target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).map_err(sqlite())?;
    target.close().map_err(|(_, error)| sqlite()(error))?;
    File::open(new).and_then(|file| file.sync_all()).map_err(io_error(new))
}

/// Gives a finished file its name.
fn put(new: &Path, to: &Path, overwrite: bool) -> Result<(), BackupError> {
    if overwrite {
        fs::rename(new, to).map_err(io_error(to))?;
    } else {
        match rustix::fs::renameat_with(CWD, new, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => return Err(BackupError::Exists { path: to.to_owned() }),
            // A file system without that: the name was free a moment ago.
            Err(rustix::io::Errno::INVAL) => fs::rename(new, to).map_err(io_error(to))?,
            Err(error) => return Err(io_error(to)(error.into())),
        }
    }
    sync_folder_of(to)
}

fn sync_folder_of(path: &Path) -> Result<(), BackupError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error(folder))
}

/// Puts a backup in the place of the store, which is kept aside. Resource versions begin anew, so that no watch of the
/// time before goes on as if nothing had been.
pub fn restore(dir: &Path, from: &Path, now: Timestamp) -> Result<Restored, BackupError> {
    let source = read_backup(from)?;
    super::journal::make_private(dir).map_err(io_error(dir))?;
    let _lock = match Lock::take(dir).map_err(io_error(dir))? {
        Ok(lock) => lock,
        Err(holder) => return Err(BackupError::InUse { dir: dir.to_owned(), holder }),
    };
    let path = dir.join(FILE);
    let new = dir.join("state.db.restored");
    copy(&source, &new, true)?;
    let connection = open(&new).map_err(sqlite_error(&new))?;
    migrate(&connection, &new)?;
    let objects = begin_anew(&connection, &path, now).map_err(sqlite_error(&new))?;
    // It must be readable to the last object before it takes another's place.
    super::journal::load(&connection, &new)?;
    connection.close().map_err(|(_, error)| sqlite_error(&new)(error))?;
    File::open(&new).and_then(|file| file.sync_all()).map_err(io_error(&new))?;
    let aside = set_aside(&path, now)?;
    fs::rename(&new, &path).map_err(io_error(&path))?;
    sync_folder_of(&path)?;
    Ok(Restored { objects, aside })
}

fn read_backup(from: &Path) -> Result<Connection, BackupError> {
    let no_backup = |why: String| BackupError::NoBackup { path: from.to_owned(), why };
    // SQLite would make what is not there, and takes an empty file for an empty database.
    let metadata = fs::metadata(from).map_err(|error| no_backup(error.to_string()))?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Err(no_backup(if metadata.is_file() { "it is empty" } else { "it is no file" }.into()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(from, flags).map_err(|e| no_backup(e.to_string()))?;
    match check(&connection, from) {
        Ok(()) => {}
        Err(OpenError::Corrupt { why, .. }) => return Err(no_backup(why)),
        Err(other) => return Err(other.into()),
    }
    if version(&connection, from)? == 0 {
        return Err(no_backup("it has no tables of wl".into()));
    }
    super::journal::load(&connection, from).map_err(|error| no_backup(error.to_string()))?;
    Ok(connection)
}

/// Lifts the revision over all that were ever given here, and remembers which of them this store does not know.
fn begin_anew(connection: &Connection, old: &Path, now: Timestamp) -> rusqlite::Result<u64> {
    let number = |key: &str| connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get::<_, i64>(0));
    let kept = number("revision")?;
    let of_now = u64::try_from(now.as_second()).unwrap_or(0).saturating_mul(REVISIONS_IN_A_SECOND);
    let newest = newest_revision(old).unwrap_or(0).max(kept);
    let begun = i64::try_from(of_now).unwrap_or(i64::MAX).max(newest.saturating_add(1));
    connection.execute("INSERT INTO lost VALUES (?1, ?2)", [kept, begun])?;
    connection.execute("UPDATE meta SET value = ?1 WHERE key = 'revision'", [begun])?;
    connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'epoch'", [])?;
    connection.query_row("SELECT count(*) FROM objects", [], |row| row.get::<_, i64>(0)).map(|n| u64::try_from(n).unwrap_or(0))
}

/// The newest revision of the store that is to be replaced, if it can still say so.
fn newest_revision(path: &Path) -> Option<i64> {
    if !path.exists() {
        return None;
    }
    open(path).ok()?.query_row("SELECT value FROM meta WHERE key = 'revision'", [], |row| row.get(0)).ok()
}

/// Keeps the store that is to be replaced under another name; the name it has stays until the new one takes it, so that
/// there is a store at every moment.
fn set_aside(path: &Path, now: Timestamp) -> Result<Option<PathBuf>, BackupError> {
    if !path.exists() {
        return Ok(None);
    }
    // What is in the write-ahead log goes into the file; a damaged one keeps its log, under the new name too.
    if let Ok(connection) = open(path) {
        let _ = connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()));
        drop(connection);
    }
    let stamp = now.strftime("%Y%m%dT%H%M%SZ");
    let free = |n: u32| path.with_file_name(if n == 0 { format!("state-{stamp}.db") } else { format!("state-{stamp}-{n}.db") });
    let aside = (0..).map(free).find(|aside| !aside.exists()).unwrap_or_else(|| free(0));
    let beside = |path: &Path, suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    let log = beside(path, "-wal");
    if log.exists() {
        fs::rename(&log, beside(&aside, "-wal")).map_err(io_error(&log))?;
    }
    // An index of the log that is no more.
    let _ = fs::remove_file(beside(path, "-shm"));
    fs::hard_link(path, &aside).map_err(io_error(&aside))?;
    Ok(Some(aside))
}
