//! Local files as an archive.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::podman::tar::{BLOCK, Entry, Kind, Owner, head};

/// Sent at once.
const PIECE: usize = 32 << 10;

/// Writes `from`, and all that is below it, under `name`. `send` takes the pieces; `false`: nobody wants more.
pub fn pack(from: &Path, name: &str, send: &mut dyn FnMut(Vec<u8>) -> bool) -> io::Result<()> {
    if add(from, name, send)? {
        send(vec![0; 2 * BLOCK]);
    }
    Ok(())
}

fn add(path: &Path, name: &str, send: &mut dyn FnMut(Vec<u8>) -> bool) -> io::Result<bool> {
    let metadata = std::fs::symlink_metadata(path).map_err(|e| at(path, e))?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        let mut names: Vec<_> = std::fs::read_dir(path).map_err(|e| at(path, e))?.collect::<io::Result<_>>()?;
        names.sort_by_key(std::fs::DirEntry::file_name);
        // Folders come by themselves with what is in them; the mode of an empty one, and of all others, is kept so.
        if !send(head(&entry(name, Kind::Folder, &metadata, 0, ""), &owner(&metadata))) {
            return Ok(false);
        }
        for file in names {
            let below = format!("{name}/{}", file.file_name().to_string_lossy());
            if !add(&file.path(), &below, send)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if kind.is_symlink() {
        let target = std::fs::read_link(path).map_err(|e| at(path, e))?;
        let entry = entry(name, Kind::SymLink, &metadata, 0, &target.to_string_lossy());
        return Ok(send(head(&entry, &owner(&metadata))));
    }
    if !kind.is_file() {
        return Err(at(path, io::Error::other("is neither a file nor a folder nor a link")));
    }
    content(path, name, &metadata, send)
}

fn content(path: &Path, name: &str, metadata: &Metadata, send: &mut dyn FnMut(Vec<u8>) -> bool) -> io::Result<bool> {
    let mut file = File::open(path).map_err(|e| at(path, e))?;
    let size = metadata.len();
    if !send(head(&entry(name, Kind::File, metadata, size, ""), &owner(metadata))) {
        return Ok(false);
    }
    let mut left = size;
    while left > 0 {
        let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
        let read = file.read(&mut piece).map_err(|e| at(path, e))?;
        if read == 0 {
            return Err(at(path, io::Error::other("became shorter while it was read")));
        }
        piece.truncate(read);
        left -= read as u64;
        if !send(piece) {
            return Ok(false);
        }
    }
    let padding = usize::try_from(size.next_multiple_of(BLOCK as u64) - size).unwrap_or(0);
    Ok(padding == 0 || send(vec![0; padding]))
}

fn entry(name: &str, kind: Kind, metadata: &Metadata, size: u64, target: &str) -> Entry {
    Entry { name: name.to_owned(), kind, mode: metadata.mode() & 0o7777, size, target: target.to_owned() }
}

fn owner(metadata: &Metadata) -> Owner {
    Owner {
        uid: metadata.uid().into(),
        gid: metadata.gid().into(),
        modified: u64::try_from(metadata.mtime()).unwrap_or(0),
    }
}

fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
