//! The id that tells what this state directory made from what another one made.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::api::Random;
use crate::podman::InstanceId;
use crate::store::SystemRandom;

const FILE: &str = "instance";

/// The id of a state directory, if it has one.
pub fn read(state_dir: &Path) -> io::Result<Option<InstanceId>> {
    let path = state_dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let bad = || io::Error::new(io::ErrorKind::InvalidData, format!("{} holds no id", path.display()));
            InstanceId::parse(text.trim()).ok_or_else(bad).map(Some)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The id of a state directory, made where there is none.
pub fn of(state_dir: &Path) -> io::Result<InstanceId> {
    if let Some(id) = read(state_dir)? {
        return Ok(id);
    }
    let path = state_dir.join(FILE);
    let text = format!("{:08x}", SystemRandom::new().next_u64() >> 32);
    let made = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&made)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&made, &path)?;
    InstanceId::parse(&text).ok_or_else(|| io::Error::other("an id of eight hex digits is an id"))
}
