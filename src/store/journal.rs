//! The journal: SQLite in WAL mode, each commit on disk before it is answered.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};

use super::lock::{Holder, Lock};
use super::writer::Journal;
use crate::api::{GroupResource, Json, Key, Object, Status};
use crate::state::{Change, State};

/// The database's name in the state directory.
pub(crate) const FILE: &str = "state.db";

/// The version of the tables that this program writes.
pub(crate) const VERSION: i64 = 1;

/// Each step brings the tables from the version of its index to the next.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;
    INSERT INTO meta VALUES ('revision', 0), ('epoch', 1);
    CREATE TABLE objects (
        api_group TEXT NOT NULL, resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
        tree BLOB NOT NULL, PRIMARY KEY (api_group, resource, namespace, name)
    ) WITHOUT ROWID, STRICT;
"];

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

pub(crate) struct Sqlite {
    connection: Connection,
    _lock: Lock,
}

impl Sqlite {
    /// Takes the directory's lock, brings the tables up to date and loads all objects.
    pub(crate) fn open(dir: &Path) -> Result<(Self, State), OpenError> {
        let io = |source| OpenError::Io { path: dir.to_owned(), source };
        make_private(dir).map_err(io)?;
        let lock = match Lock::take(dir).map_err(io)? {
            Ok(lock) => lock,
            Err(holder) => return Err(OpenError::Held { path: dir.to_owned(), holder }),
        };
        let path = dir.join(FILE);
        let connection = connect(&path)?;
        migrate(&connection, &path)?;
        let state = load(&connection, &path)?;
        Ok((Sqlite { connection, _lock: lock }, state))
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
        _ => Status::internal(format!("the store could not keep the change: {error}")),
    }
}

fn make_private(dir: &Path) -> std::io::Result<()> {
    if !dir.is_dir() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let mode = std::fs::metadata(dir)?.permissions().mode();
    if mode & 0o077 != 0 {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn connect(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    // Made beforehand, so that it never has other rights than these; SQLite gives its WAL the same.
    use std::os::unix::fs::OpenOptionsExt;
    let made = std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    made.map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    let set = |text: &str| connection.execute_batch(text).map_err(|e| judge(path, e));
    set("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA locking_mode = EXCLUSIVE; PRAGMA foreign_keys = OFF;")?;
    let check: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|e| judge(path, e))?;
    if check != "ok" {
        return Err(OpenError::Corrupt { path: path.to_owned(), why: check });
    }
    Ok(connection)
}

/// Tells a damaged file from other troubles.
fn judge(path: &Path, error: rusqlite::Error) -> OpenError {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            OpenError::Corrupt { path: path.to_owned(), why: error.to_string() }
        }
        _ => OpenError::Sqlite { path: path.to_owned(), source: error },
    }
}

fn migrate(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |e| judge(path, e);
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sqlite)?;
    if found > VERSION {
        return Err(OpenError::Newer { path: path.to_owned(), found });
    }
    for (version, step) in (0_i64..).zip(MIGRATIONS).filter(|(version, _)| *version >= found) {
        let step = format!("BEGIN IMMEDIATE; {step}; PRAGMA user_version = {}; COMMIT;", version + 1);
        connection.execute_batch(&step).map_err(sqlite)?;
    }
    Ok(())
}

/// Reads all objects as they were last kept.
pub(crate) fn load(connection: &Connection, path: &Path) -> Result<State, OpenError> {
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
    state.set_revision(u64::try_from(revision).map_err(|e| corrupt(e.to_string()))?);
    Ok(state)
}
