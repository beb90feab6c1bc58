//! The gateway's image, made on the spot: this binary, and the libraries that it was linked with.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// Where this binary is in the image.
pub const PROGRAM: &str = "/wl";
/// So much of a file is read at once.
const PIECE: usize = 64 * 1024;
/// The image's name; its tag tells its content.
pub const REPOSITORY: &str = "localhost/wl-gateway";

/// A root file system as a tar archive, and the name of an image of it: the same content has the same name.
pub struct GatewayImage {
    files: BTreeMap<String, PathBuf>,
    pub reference: String,
}

impl GatewayImage {
    /// Of `program`. The files are read, and read again by [`GatewayImage::tar`].
    pub fn of(program: &Path) -> io::Result<Self> {
        let mut files = libraries(program)?;
        files.insert(PROGRAM.trim_start_matches('/').to_owned(), program.to_owned());
        let mut hash = Sha256::new();
        for (name, path) in &files {
            hash.update(name.as_bytes());
            hash_file(&mut hash, path)?;
        }
        let tag: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(GatewayImage { files, reference: format!("{REPOSITORY}:{tag}") })
    }

    pub fn tar(&self) -> io::Result<Vec<u8>> {
        let mut tar = Vec::new();
        let mut made: Vec<String> = Vec::new();
        let mut folder = |tar: &mut Vec<u8>, name: &str| {
            if !made.iter().any(|m| m == name) {
                entry(tar, &format!("{name}/"), 0o755, b'5', &[]);
                made.push(name.to_owned());
            }
        };
        for name in ["dev", "etc", "proc", "sys", "config", "run"] {
            folder(&mut tar, name);
        }
        for (name, path) in &self.files {
            let parts: Vec<&str> = name.split('/').collect();
            for depth in 1..parts.len() {
                folder(&mut tar, &parts[..depth].join("/"));
            }
            entry(&mut tar, name, 0o755, b'0', &std::fs::read(path)?);
        }
        tar.extend_from_slice(&[0; 1024]);
        Ok(tar)
    }
}

/// In pieces: a watch should not keep room for a whole binary.
fn hash_file(hash: &mut Sha256, path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(()),
            count => hash.update(&piece[..count]),
        }
    }
}

/// What a dynamic binary needs, by name in the image; nothing for a static one.
fn libraries(program: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let file = File::open(program)?;
    let Some(loader) = interpreter(|at, size| read_at(&file, at, size)) else { return Ok(BTreeMap::new()) };
    let output = Command::new(&loader).arg("--list").arg(program).env_clear().output()?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(io::Error::other(format!("{loader} does not tell what {} needs: {why}", program.display())));
    }
    let mut found = parse_list(&String::from_utf8_lossy(&output.stdout));
    found.insert(loader.trim_start_matches('/').to_owned(), PathBuf::from(loader));
    Ok(found)
}

/// Reads what `ld.so --list` says: `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`.
fn parse_list(text: &str) -> BTreeMap<String, PathBuf> {
    let path = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let path = match words[..] {
            [_, "=>", path, _] => path,
            [path, address] if address.starts_with('(') => path,
            _ => return None,
        };
        path.starts_with('/').then(|| (path.trim_start_matches('/').to_owned(), PathBuf::from(path)))
    };
    text.lines().filter_map(path).collect()
}

fn read_at(file: &File, at: usize, size: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; Some(size).filter(|size| *size <= PIECE)?];
    file.read_exact_at(&mut bytes, u64::try_from(at).ok()?).ok()?;
    Some(bytes)
}

/// The loader that a dynamic ELF binary of 64 bits names (PT_INTERP); `read` gives so many bytes from a place in it.
fn interpreter(read: impl Fn(usize, usize) -> Option<Vec<u8>>) -> Option<String> {
    const INTERPRETER: u32 = 3;
    if read(0, 5)? != b"\x7fELF\x02" {
        return None;
    }
    let number = |at: usize, size: usize| -> Option<usize> {
        let bytes = read(at, size)?;
        let mut all = [0u8; 8];
        if cfg!(target_endian = "little") {
            all[..size].copy_from_slice(&bytes);
        } else {
            all[8 - size..].copy_from_slice(&bytes);
        }
        usize::try_from(u64::from_ne_bytes(all)).ok()
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    (0..count).find_map(|index| {
        let header = table.checked_add(index * size)?;
        if u32::try_from(number(header, 4)?).ok()? != INTERPRETER {
            return None;
        }
        let (offset, length) = (number(header + 8, 8)?, number(header + 32, 8)?);
        let name = read(offset, length)?;
        String::from_utf8(name.strip_suffix(b"\0").unwrap_or(&name).to_vec()).ok()
    })
}

/// One entry in the ustar format.
fn entry(tar: &mut Vec<u8>, name: &str, mode: u32, kind: u8, content: &[u8]) {
    let mut header = [0u8; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    let name = name.as_bytes();
    match name.len() {
        0..=100 => put(0, name),
        // A longer one is split at a slash.
        _ => {
            let split = name.iter().take(155).rposition(|b| *b == b'/').unwrap_or(0);
            put(345, &name[..split]);
            put(0, &name[split + 1..][..(name.len() - split - 1).min(100)]);
        }
    }
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend_from_slice(&header);
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_the_loaders_list() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x00007f)\n\
            \tlibgone.so => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let names: Vec<String> = parse_list(text).into_keys().collect();
        assert_eq!(names, ["lib/x/libc.so.6", "lib64/ld-linux-x86-64.so.2"]);
    }

    fn within(bytes: &[u8]) -> impl Fn(usize, usize) -> Option<Vec<u8>> {
        |at, size| bytes.get(at..at.checked_add(size)?).map(<[u8]>::to_vec)
    }

    #[test]
    fn what_is_no_elf_has_no_loader() {
        for bad in [&b""[..], b"#!/bin/sh", b"\x7fELF\x02", &[0x7f, b'E', b'L', b'F', 2, 1, 1, 0xff, 0xff]] {
            assert_eq!(interpreter(within(bad)), None);
        }
        let mut huge = b"\x7fELF\x02".to_vec();
        huge.resize(64, 0xff);
        assert_eq!(interpreter(within(&huge)), None);
    }

    #[test]
    fn an_image_of_this_program_names_its_content() {
        let program = std::env::current_exe().expect("this program");
        let image = GatewayImage::of(&program).expect("an image");
        assert_eq!(image.reference, GatewayImage::of(&program).expect("an image").reference);
        let tar = image.tar().expect("an archive");
        assert_eq!(tar.len() % 512, 0);
        assert_eq!(&tar[257..262], b"ustar");
        let size = std::fs::metadata(&program).expect("a file").len();
        assert!(tar.len() as u64 > size);
    }
}
