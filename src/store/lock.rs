//! One writer per state directory: a lock on a file in it, held as long as the process lives.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

const FILE: &str = "lock";

/// Who holds a state directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
}

/// The lock; released when dropped, and by the kernel when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock. `Ok(Err(holder))`: another process has it.
    pub fn take(dir: &Path) -> std::io::Result<Result<Lock, Option<Holder>>> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(dir.join(FILE))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(Err(read(&mut file)));
        }
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())?;
        Ok(Ok(Lock { _file: file }))
    }
}

/// Who holds the directory's lock now; `None`: nobody.
pub fn holder(dir: &Path) -> Option<Holder> {
    let mut file = File::open(dir.join(FILE)).ok()?;
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    read(&mut file).or(Some(Holder { pid: 0 }))
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    Some(Holder { pid: text.trim().parse().ok()? })
}
