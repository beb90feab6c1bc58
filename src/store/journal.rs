//! The journal: SQLite in WAL mode, each commit on disk before it is answered.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};

use super::lock::{Holder, Lock};
use super::migrate::{self, VERSION, migrate};
use super::writer::Journal;
use crate::api::{GroupResource, Json, Key, Object, Status};
use crate::state::{Change, State};

/// The database's name in the state directory.
pub(crate) const FILE: &str = "state.db";

/// Why a store cannot be opened. Nothing is changed then.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot use the state directory {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is in use by process {}", path.display(), holder.as_ref().map_or("?".to_owned(), |h| h.pid.to_string()))]
    Held { path: PathBuf, holder: Option<Holder> },
    #[error(
        "{} is damaged ({why}); nothing was changed. Restore a backup with `wl restore`, or move the file away to start anew",
        path.display()
    )]
    Corrupt { path: PathBuf, why: String },
    #[error("{} was written by a newer version (tables {found}, this one knows {VERSION}); nothing was changed", path.display())]
    Newer { path: PathBuf, found: i64 },
    #[error("cannot open {}", path.display())]
    Sqlite {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
}

/// The names of the store's files in a state directory: the journal, and what was set aside of it.
pub fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(FILE) || name.starts_with("state-") && name.ends_with(".db")).collect()
}

pub(crate) struct Sqlite {
    connection: Connection,
    _lock: Lock,
}

/// What was read of a store.
#[derive(Default)]
pub struct Loaded {
    pub state: State,
    pub(crate) lost: Lost,
}

impl Loaded {
    /// As [`super::Store::has_been_at`].
    pub fn has_been_at(&self, revision: u64) -> bool {
        revision <= self.state.revision() && !self.lost.contains(revision)
    }
}

/// The revisions that this store lost to restores: pods that were made under one of them are not its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost(Vec<(u64, u64)>);

impl Lost {
    pub(crate) fn contains(&self, revision: u64) -> bool {
        self.0.iter().any(|(kept, begun)| *kept < revision && revision <= *begun)
    }
}

impl Sqlite {
    /// Takes the directory's lock, brings the tables up to date and loads all objects.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Loaded), OpenError> {
        let io = |source| OpenError::Io { path: dir.to_owned(), source };
        make_private(dir).map_err(io)?;
        let lock = match Lock::take(dir).map_err(io)? {
            Ok(lock) => lock,
            Err(holder) => return Err(OpenError::Held { path: dir.to_owned(), holder }),
        };
        let path = dir.join(FILE);
        if !path.exists() {
            make(&path)?;
        }
        let connection = connect(&path)?;
        migrate::set_aside(&connection, &path)?;
        migrate(&connection, &path)?;
        let loaded = load(&connection, &path)?;
        Ok((Sqlite { connection, _lock: lock }, loaded))
    }

    /// Reads a store as it is, for who only looks: nothing is made, changed or locked. `None`: there is none.
    pub(crate) fn look(dir: &Path) -> Result<Option<Loaded>, OpenError> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        // Closed well, it is one file, which can be read where nothing can be written (a full disk).
        let is_whole = path.with_extension("db-wal").metadata().map_or(true, |log| log.len() == 0);
        let connection = match connect(&path) {
            Err(OpenError::Sqlite { .. } | OpenError::Io { .. }) if is_whole => open_unchanging(&path)?,
            other => other?,
        };
        if migrate::version(&connection, &path)? == VERSION {
            return load(&connection, &path).map(Some);
        }
        let mut copy = Connection::open_in_memory().map_err(|e| judge(&path, e))?;
        let copied = rusqlite::backup::Backup::new(&connection, &mut copy).and_then(|backup| backup.step(-1));
        copied.map_err(|e| judge(&path, e))?;
        migrate(&copy, &path)?;
        load(&copy, &path).map(Some)
    }

    /// So many pages the file may have: what a full disk does, at will.
    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) {
        self.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    }

    fn keep(&mut self, changes: &[Change], revision: u64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO objects VALUES (?1, ?2, ?3, ?4, ?5)")?;
            let mut remove = transaction.prepare_cached(
                "DELETE FROM objects WHERE api_group = ?1 AND resource = ?2 AND namespace = ?3 AND name = ?4",
            )?;
            for change in newest(changes) {
                let Key { resource, namespace, name } = &change.key;
                let (group, resource) = (&*resource.group, &*resource.resource);
                match &change.after {
                    Some(object) => {
                        let tree = serde_json::to_vec(object.json()).unwrap_or_default();
                        put.execute(params![group, resource, &**namespace, &**name, tree])?;
                    }
                    None => {
                        remove.execute(params![group, resource, &**namespace, &**name])?;
                    }
                }
            }
            let revision = i64::try_from(revision).unwrap_or(i64::MAX);
            transaction.execute("UPDATE meta SET value = ?1 WHERE key = 'revision'", [revision])?;
        }
        transaction.commit()
    }
}

/// Of several changes of one object only the last has to be kept.
fn newest(changes: &[Change]) -> impl Iterator<Item = &Change> {
    let mut last: std::collections::HashMap<&Key, u64> = std::collections::HashMap::with_capacity(changes.len());
    for change in changes {
        last.insert(&change.key, change.revision);
    }
    changes.iter().filter(move |change| last.get(&change.key) == Some(&change.revision))
}

impl Journal for Sqlite {
    fn commit(&mut self, changes: &[Change], revision: u64) -> Result<(), Status> {
        self.keep(changes, revision).map_err(|error| refusal(&error))
    }
}

/// What a client is told when its write cannot be kept.
fn refusal(error: &rusqlite::Error) -> Status {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            Status::new(507, "InsufficientStorage", "the disk of the state directory is full: nothing was changed")
        }
        _ => Status::internal(format!("the store could not keep the change: {error}; nothing was changed")),
    }
}

pub(crate) fn make_private(dir: &Path) -> std::io::Result<()> {
    if !dir.is_dir() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let mode = std::fs::metadata(dir)?.permissions().mode();
    if mode & 0o077 != 0 {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Makes an empty store, whole or not at all: an empty file is never taken for a new one.
fn make(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::OpenOptionsExt;
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let new = path.with_extension("db.new");
    // With these rights from the start; SQLite gives its WAL the same.
    std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new).map_err(io)?;
    let connection = Connection::open(&new).map_err(|e| judge(path, e))?;
    migrate(&connection, path)?;
    connection.close().map_err(|(_, error)| judge(path, error))?;
    std::fs::File::open(&new).and_then(|file| file.sync_all()).map_err(io)?;
    std::fs::rename(&new, path).map_err(io)
}

/// How long to wait for who copies the store, or looks at it.
const BUSY: std::time::Duration = std::time::Duration::from_secs(10);

fn connect(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    if path.metadata().is_ok_and(|m| m.len() == 0) {
        return Err(OpenError::Corrupt { path: path.to_owned(), why: "it is empty".into() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection.busy_timeout(BUSY).map_err(sqlite)?;
    let set = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -256;";
    connection.execute_batch(set).map_err(|e| judge(path, e))?;
    check(&connection, path)?;
    Ok(connection)
}

/// Opens a file that nobody writes to.
fn open_unchanging(path: &Path) -> Result<Connection, OpenError> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte);
    let name = path.as_os_str().as_encoded_bytes();
    let name: String = name.iter().map(|b| if plain(b) { char::from(*b).to_string() } else { format!("%{b:02x}") }).collect();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(format!("file:{name}?immutable=1"), flags);
    let connection = connection.map_err(|e| judge(path, e))?;
    check(&connection, path)?;
    Ok(connection)
}

/// Whether the file is whole.
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let check: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|e| judge(path, e))?;
    if check != "ok" {
        return Err(OpenError::Corrupt { path: path.to_owned(), why: check });
    }
    Ok(())
}

/// Tells a damaged file from other troubles.
pub(crate) fn judge(path: &Path, error: rusqlite::Error) -> OpenError {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            OpenError::Corrupt { path: path.to_owned(), why: error.to_string() }
        }
        _ => OpenError::Sqlite { path: path.to_owned(), source: error },
    }
}

/// Reads all objects as they were last kept.
pub(crate) fn load(connection: &Connection, path: &Path) -> Result<Loaded, OpenError> {
    let sqlite = |e| judge(path, e);
    let corrupt = |why: String| OpenError::Corrupt { path: path.to_owned(), why };
    let mut state = State::new();
    let revision: i64 =
        connection.query_row("SELECT value FROM meta WHERE key = 'revision'", [], |row| row.get(0)).map_err(sqlite)?;
    let mut query =
        connection.prepare("SELECT api_group, resource, namespace, name, tree FROM objects").map_err(sqlite)?;
    let mut rows = query.query([]).map_err(sqlite)?;
    while let Some(row) = rows.next().map_err(sqlite)? {
        let text = |index: usize| row.get::<_, String>(index);
        let (group, resource) = (text(0).map_err(sqlite)?, text(1).map_err(sqlite)?);
        let (namespace, name) = (text(2).map_err(sqlite)?, text(3).map_err(sqlite)?);
        let tree: Vec<u8> = row.get(4).map_err(sqlite)?;
        let tree: Json = serde_json::from_slice(&tree)
            .map_err(|e| corrupt(format!("{resource} {namespace}/{name} cannot be read: {e}")))?;
        let key = Key::new(GroupResource::new(&group, &resource), &namespace, &name);
        state.load(key, Object::new(tree));
    }
    let unsigned = |number: i64| u64::try_from(number).map_err(|e| corrupt(e.to_string()));
    state.set_revision(unsigned(revision)?);
    let mut query = connection.prepare("SELECT kept, begun FROM lost").map_err(sqlite)?;
    let pairs = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(sqlite)?;
    let pairs: Vec<(i64, i64)> = pairs.collect::<Result<_, _>>().map_err(sqlite)?;
    let lost = pairs.into_iter().map(|(kept, begun)| Ok((unsigned(kept)?, unsigned(begun)?)));
    Ok(Loaded { state, lost: Lost(lost.collect::<Result<_, OpenError>>()?) })
}
