//! An archive as local files. The archive comes from a container, which may be hostile: nothing is written outside of the
//! destination, by whatever name, and no link that is in the way is followed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use crate::podman::tar::{Entry, Kind, Reader};
use crate::api::status::quote;

/// Where an archive goes, and what there is to say.
pub struct Unpack<'a> {
    /// What every name in it begins with.
    pub prefix: &'a str,
    /// The destination.
    pub to: &'a Path,
    pub warn: &'a mut dyn FnMut(String),
    /// How a user gets at links all the same; said with the first of them.
    pub advice: &'a str,
}

/// The folder that everything is written below, and what stands before each name there.
struct Root {
    folder: OwnedFd,
    before: PathBuf,
}

impl Root {
    /// Where an entry goes. (Joined with nothing, a path would end in a slash.)
    fn path(&self, below: &Path) -> PathBuf {
        if below.as_os_str().is_empty() { self.before.clone() } else { self.before.join(below) }
    }
}

impl Unpack<'_> {
    /// Reads the archive to its end.
    pub fn run(&mut self, from: impl Read) -> io::Result<()> {
        let mut reader = Reader::new(from);
        let mut root = None;
        let mut advised = false;
        while let Some(entry) = reader.next_entry()? {
            let Some(rest) = entry.name.strip_prefix(self.prefix) else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "tar contents corrupted"));
            };
            let Some(below) = below(rest) else {
                let name = quote(&self.shown(rest));
                (self.warn)(format!("warning: file {name} is outside target destination, skipping"));
                continue;
            };
            let root = match &root {
                Some(root) => root,
                None => root.insert(self.root(&entry, &below)?),
            };
            let path = root.path(&below);
            match entry.kind {
                Kind::Folder => folders(root, &path)?,
                Kind::File => write(root, &path, entry.mode, &mut reader).map_err(|e| named(&self.shown(rest), e))?,
                Kind::HardLink => self.link(root, &path, &entry).map_err(|e| named(&self.shown(rest), e))?,
                Kind::SymLink => {
                    let advice = if advised { String::new() } else { format!(" (consider using {})", quote(self.advice)) };
                    advised = true;
                    let (name, target) = (quote(&self.shown(rest)), quote(&entry.target));
                    (self.warn)(format!("warning: skipping symlink: {name} -> {target}{advice}"));
                }
                Kind::Other => {
                    let name = quote(&self.shown(rest));
                    (self.warn)(format!("warning: skipping special file: {name}"));
                }
            }
        }
        match root {
            Some(_) => Ok(()),
            None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "tar contents corrupted")),
        }
    }

    fn shown(&self, rest: &str) -> String {
        format!("{}{rest}", self.to.display())
    }

    /// A single file goes to the destination itself, or into it where that is a folder; a folder's content goes into it.
    fn root(&self, first: &Entry, below: &Path) -> io::Result<Root> {
        let is_file = below.as_os_str().is_empty() && first.kind != Kind::Folder;
        if !is_file {
            std::fs::create_dir_all(self.to).map_err(|e| named(&self.shown(""), e))?;
            return Ok(Root { folder: open_folder(self.to)?, before: PathBuf::new() });
        }
        if self.to.is_dir() {
            let name = Path::new(self.prefix).file_name().unwrap_or_default();
            return Ok(Root { folder: open_folder(self.to)?, before: name.into() });
        }
        let (folder, name) = match (self.to.parent(), self.to.file_name()) {
            (Some(folder), Some(name)) => (folder, name),
            _ => return Err(named(&self.shown(""), io::ErrorKind::InvalidInput.into())),
        };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        std::fs::create_dir_all(folder).map_err(|e| named(&folder.display().to_string(), e))?;
        Ok(Root { folder: open_folder(folder)?, before: name.into() })
    }

    /// A second name of a file in the same archive: a copy of it.
    fn link(&self, root: &Root, path: &Path, entry: &Entry) -> io::Result<()> {
        let target = entry.target.strip_prefix(self.prefix).and_then(below);
        let target = target.ok_or_else(|| io::Error::other("is a link that leads out of the copy"))?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let target = rustix::fs::openat2(&root.folder, root.path(&target), flags, Mode::empty(), inside())?;
        write(root, path, entry.mode, &mut File::from(target))
    }
}

/// Names are resolved below the folder, through no link.
fn inside() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|e| named(&path.display().to_string(), e.into()))
}

/// The parts of a name behind the prefix; `None` where it leads elsewhere.
fn below(rest: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            part => path.push(part),
        }
    }
    Some(path)
}

/// Makes a folder and those above it.
fn folders(root: &Root, path: &Path) -> io::Result<()> {
    let mut at = PathBuf::new();
    for part in path.components() {
        let above = parent(root, &at)?;
        match rustix::fs::mkdirat(&above, part.as_os_str(), Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(named(&path.display().to_string(), error.into())),
        }
        at.push(part);
    }
    // It may be a link, or no folder at all.
    parent(root, &at).map(drop).map_err(|e| named(&path.display().to_string(), e))
}

fn parent(root: &Root, path: &Path) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat2(&root.folder, path, flags, Mode::empty(), inside())?)
}

fn write(root: &Root, path: &Path, mode: u32, content: &mut dyn Read) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        folders(root, folder)?;
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Never set-user-id: the file was somebody else's.
    let mode = Mode::from_raw_mode(mode & 0o777);
    let file = rustix::fs::openat2(&root.folder, path, flags, mode, inside())?;
    let mut file = File::from(file);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("is no regular file"));
    }
    io::copy(content, &mut file)?;
    file.flush()
}

fn named(name: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use crate::podman::tar::{BLOCK, Owner, head};
    use super::*;

    fn archive(entries: &[(&str, Kind, &str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, kind, content, target) in entries {
            let size = content.len() as u64;
            let entry = Entry { name: (*name).into(), kind: *kind, mode: 0o755, size, target: (*target).into() };
            out.extend(head(&entry, &Owner::default()));
            out.extend_from_slice(content.as_bytes());
            out.resize(out.len().next_multiple_of(BLOCK), 0);
        }
        out.extend([0; 2 * BLOCK]);
        out
    }

    fn unpack(prefix: &str, to: &Path, archive: &[u8]) -> (io::Result<()>, Vec<String>) {
        let mut said = Vec::new();
        let mut warn = |text: String| said.push(text);
        let result = Unpack { prefix, to, warn: &mut warn, advice: "exec" }.run(archive);
        (result, said)
    }

    #[test]
    fn a_folders_content_goes_into_the_destination() {
        let dir = tempfile::tempdir().expect("a folder");
        let to = dir.path().join("out");
        let bytes = archive(&[
            ("srv/x", Kind::Folder, "", ""),
            ("srv/x/a", Kind::File, "one", ""),
            ("srv/x/b/c", Kind::File, "two", ""),
            ("srv/x/hard", Kind::HardLink, "", "srv/x/a"),
        ]);
        let (result, said) = unpack("srv/x", &to, &bytes);
        result.expect("unpacked");
        assert_eq!(said, Vec::<String>::new());
        let read = |name: &str| std::fs::read_to_string(to.join(name)).expect("a file");
        assert_eq!((read("a"), read("b/c"), read("hard")), ("one".into(), "two".into(), "one".into()));
    }

    #[test]
    fn a_single_file_goes_to_the_destination_or_into_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let bytes = archive(&[("etc/app.ini", Kind::File, "a=1", "")]);
        unpack("etc/app.ini", &dir.path().join("new.ini"), &bytes).0.expect("unpacked");
        unpack("etc/app.ini", dir.path(), &bytes).0.expect("unpacked");
        for name in ["new.ini", "app.ini"] {
            assert_eq!(std::fs::read_to_string(dir.path().join(name)).expect("a file"), "a=1");
        }
    }

    #[test]
    fn nothing_is_written_outside_of_the_destination() {
        let dir = tempfile::tempdir().expect("a folder");
        let (to, outside) = (dir.path().join("out"), dir.path().join("outside"));
        std::fs::create_dir_all(&to).expect("a folder");
        std::fs::create_dir_all(&outside).expect("a folder");
        std::os::unix::fs::symlink(&outside, to.join("way")).expect("a link");
        let there = |name: &str| outside.join(name).exists() || dir.path().join(name).exists();
        let (result, said) = unpack("d", &to, &archive(&[("d/../evil", Kind::File, "x", ""), ("d/ok", Kind::File, "y", "")]));
        result.expect("the rest is unpacked");
        assert!(said[0].contains("is outside target destination, skipping") && !there("evil"), "{said:?}");
        assert!(to.join("ok").exists());
        for name in ["/etc/evil", "e/evil"] {
            let (result, _) = unpack("d/", &to, &archive(&[(name, Kind::File, "x", "")]));
            assert_eq!(result.expect_err("not of this copy").to_string(), "tar contents corrupted");
        }
        let through = archive(&[("d/way/evil", Kind::File, "x", "")]);
        assert!(unpack("d", &to, &through).0.is_err() && !there("evil"), "a link in the way is not followed");
        let onto = archive(&[("d/way", Kind::File, "x", "")]);
        assert!(unpack("d", &to, &onto).0.is_err(), "nor written through");
        let made = archive(&[("d/l", Kind::SymLink, "", "../outside"), ("d/l/evil", Kind::File, "x", "")]);
        let (result, said) = unpack("d", &to, &made);
        result.expect("the link is left out");
        assert!(said[0].starts_with("warning: skipping symlink") && !there("evil"), "{said:?}");
        let hard = archive(&[("d/h", Kind::HardLink, "", "d/../../etc/passwd")]);
        assert!(unpack("d", &to, &hard).0.is_err());
    }
}
