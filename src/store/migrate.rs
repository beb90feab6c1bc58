//! The tables' versions, and the way from an older one to this one.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::backup::copy;
use super::journal::{OpenError, judge};

/// The version of the tables that this program writes.
pub(crate) const VERSION: i64 = 2;

/// Each step brings the tables from the version of its index to the next.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;
    INSERT INTO meta VALUES ('revision', 0), ('epoch', 1);
    CREATE TABLE objects (
        api_group TEXT NOT NULL, resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
        tree BLOB NOT NULL, PRIMARY KEY (api_group, resource, namespace, name)
    ) WITHOUT ROWID, STRICT;
",
    // Revisions that were given and then lost to a restore: from after `kept` up to `begun`.
    "
    CREATE TABLE lost (kept INTEGER NOT NULL, begun INTEGER NOT NULL) STRICT;
    PRAGMA application_id = 2003592306;
",
];

/// The tables' version; an error where a newer `wl` wrote them.
pub(crate) fn version(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let found: i64 =
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(|e| judge(path, e))?;
    if found > VERSION { Err(OpenError::Newer { path: path.to_owned(), found }) } else { Ok(found) }
}

/// Brings the tables up to date, all steps or none.
pub(crate) fn migrate(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let found = version(connection, path)?;
    let steps: String = (0_i64..).zip(MIGRATIONS).filter(|(at, _)| *at >= found).map(|(_, step)| *step).collect();
    if steps.is_empty() {
        return Ok(());
    }
    let all = format!("BEGIN IMMEDIATE; {steps}; PRAGMA user_version = {VERSION}; COMMIT;");
    connection.execute_batch(&all).map_err(|e| judge(path, e))
}

/// Keeps a copy of an older store before it is changed, once; an older `wl` can go on from there.
pub(crate) fn set_aside(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let found = version(connection, path)?;
    let aside = aside(path, found);
    if found == 0 || found == VERSION || aside.exists() {
        return Ok(());
    }
    copy(connection, &aside, false).map_err(|e| e.into_open_error(&aside))
}

fn aside(path: &Path, version: i64) -> PathBuf {
    path.with_file_name(format!("state-v{version}.db"))
}
