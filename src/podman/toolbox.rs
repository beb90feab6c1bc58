//! The toolbox: an image for debugging that is made of this machine's own tools, so that it needs no registry and no
//! shell in the pod's image. Made when it is first asked for.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::fault::refused;
use super::tar::{BLOCK, Entry, Kind, Owner, head};
use super::Inner;
use crate::runtime::{RuntimeError, TOOLBOX_IMAGE};

/// What goes in where the machine has it. busybox brings what is missing here.
const TOOLS: &[&str] = &[
    "awk", "base64", "bash", "busybox", "cat", "chmod", "chown", "cp", "curl", "cut", "date", "dd", "df", "dig", "du", "env",
    "find", "free", "getent", "grep", "gzip", "head", "hexdump", "hostname", "id", "ip", "kill", "less", "ln", "ls", "lsof",
    "mkdir", "mount", "mv", "nc", "netstat", "nproc", "nsenter", "nslookup", "openssl", "pgrep", "ping", "pkill", "printenv",
    "ps", "pstree", "readlink", "realpath", "rm", "sed", "sh", "sha256sum", "sleep", "sort", "ss", "stat", "strace", "strings",
    "stty", "tail", "tar", "tcpdump", "tee", "telnet", "test", "timeout", "top", "touch", "tr", "traceroute", "tty", "uname",
    "uniq", "vi", "watch", "wc", "wget", "which", "whoami", "xargs",
];
/// Where tools are.
const FOLDERS: [&str; 4] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
/// Files as they are: names, certificates, terminals.
const FILES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/lib/terminfo/l/linux",
    "/lib/terminfo/s/screen",
    "/lib/terminfo/v/vt100",
    "/lib/terminfo/x/xterm",
    "/lib/terminfo/x/xterm-256color",
];
/// No tool that helps is larger.
const LARGEST: u64 = 64 << 20;

impl Inner {
    /// Makes the image.
    pub async fn make_toolbox(&self) -> Result<(), RuntimeError> {
        let (tar, shell) = tokio::task::spawn_blocking(build)
            .await
            .map_err(|e| refused(e.to_string()))?
            .map_err(|e| refused(format!("the toolbox cannot be made of this machine's tools: {e}")))?;
        let command = format!("CMD [\"{shell}\"]");
        let changes = [command.as_str(), "ENV PATH=/usr/bin:/bin:/usr/sbin:/sbin", "ENV HOME=/root"];
        self.import_image(TOOLBOX_IMAGE, tar.into(), &changes).await
    }
}

/// What the image holds: a path without the first slash → what lies there.
type Tree = BTreeMap<String, Node>;

enum Node {
    File { from: PathBuf, mode: u32 },
    Text(&'static str),
    Link(String),
    Folder(u32),
}

fn build() -> io::Result<(Vec<u8>, &'static str)> {
    let mut tree = Tree::new();
    for (path, mode) in [("root", 0o700), ("tmp", 0o1777), ("proc", 0o755), ("sys", 0o755), ("dev", 0o755), ("usr/bin", 0o755)] {
        tree.insert(path.to_owned(), Node::Folder(mode));
    }
    for name in ["bin", "sbin", "usr/sbin"] {
        tree.insert(name.to_owned(), Node::Link(if name == "usr/sbin" { "bin".into() } else { "usr/bin".into() }));
    }
    tree.insert("etc/passwd".into(), Node::Text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"));
    tree.insert("etc/group".into(), Node::Text("root:x:0:\nnogroup:x:65534:\n"));
    tree.insert("etc/nsswitch.conf".into(), Node::Text("passwd: files\ngroup: files\nhosts: files dns\n"));
    for tool in TOOLS {
        add_tool(&mut tree, tool);
    }
    for path in FILES.iter().map(Path::new).filter(|path| path.is_file()) {
        add_file(&mut tree, path);
    }
    let has = |name: &str| tree.contains_key(&format!("usr/bin/{name}"));
    let shell = match (has("bash"), has("sh")) {
        (true, _) => "/bin/bash",
        (false, true) => "/bin/sh",
        (false, false) => return Err(io::Error::new(io::ErrorKind::NotFound, "it has no shell")),
    };
    Ok((archive(&tree)?, shell))
}

fn add_tool(tree: &mut Tree, name: &str) {
    let found = FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    let Some(path) = found.and_then(|path| path.canonicalize().ok()) else { return };
    // A tool of several names (busybox, coreutils) may go by its own only.
    let Some(needs) = needs(&path) else { return };
    tree.insert(format!("usr/bin/{name}"), Node::File { from: path.clone(), mode: 0o755 });
    needs.iter().for_each(|library| add_file(tree, library));
    if name == "busybox" {
        for applet in applets(&path) {
            tree.entry(format!("usr/bin/{applet}")).or_insert_with(|| Node::Link("busybox".into()));
        }
    }
}

/// A file at its own path, as a program asks for it.
fn add_file(tree: &mut Tree, path: &Path) {
    let Ok(from) = path.canonicalize() else { return };
    let name = path.to_string_lossy().trim_start_matches('/').to_owned();
    let mode = std::fs::metadata(&from).map_or(0o644, |m| m.mode() & 0o755);
    tree.insert(name, Node::File { from, mode });
}

/// The libraries that a program needs and what loads them; `None` where it is no program of this machine's kind.
fn needs(program: &Path) -> Option<Vec<PathBuf>> {
    let metadata = std::fs::metadata(program).ok().filter(|m| m.len() <= LARGEST)?;
    let bytes = std::fs::read(program).ok().filter(|bytes| bytes.len() as u64 == metadata.len())?;
    let Some(loader) = loader(&bytes)? else { return Some(Vec::new()) };
    let listed = Command::new(&loader).arg("--list").arg(program).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&listed.stdout);
    let mut needs = libraries(&text);
    needs.push(loader);
    Some(needs)
}

/// `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`.
fn libraries(listed: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let path = line.split_once("=>").map_or(line, |(_, path)| path).split_whitespace().next()?;
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    listed.lines().filter_map(path).collect()
}

/// What loads a program (ELF's PT_INTERP); `Some(None)`: nothing does, it is static. `None`: it is no ELF program.
fn loader(bytes: &[u8]) -> Option<Option<PathBuf>> {
    const INTERP: u32 = 3;
    let long = match bytes.get(..6)? {
        [0x7f, b'E', b'L', b'F', class @ (1 | 2), 1] => *class == 2,
        _ => return None,
    };
    let number = |at: usize, length: usize| -> Option<usize> {
        let field = bytes.get(at..at.checked_add(length)?)?;
        usize::try_from(field.iter().rev().fold(0u64, |value, byte| (value << 8) | u64::from(*byte))).ok()
    };
    let (table, size, count) = match long {
        true => (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?),
        false => (number(0x1c, 4)?, number(0x2a, 2)?, number(0x2c, 2)?),
    };
    for index in 0..count {
        let at = table.checked_add(index.checked_mul(size)?)?;
        if number(at, 4)? != INTERP as usize {
            continue;
        }
        let (offset, length) = match long {
            true => (number(at + 8, 8)?, number(at + 32, 8)?),
            false => (number(at + 4, 4)?, number(at + 16, 4)?),
        };
        let path = bytes.get(offset..offset.checked_add(length)?)?;
        return Some(Some(PathBuf::from(std::ffi::OsStr::from_bytes(path.split(|b| *b == 0).next()?))));
    }
    Some(None)
}

fn applets(busybox: &Path) -> Vec<String> {
    let listed = Command::new(busybox).arg("--list").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let text = listed.map(|l| String::from_utf8_lossy(&l.stdout).into_owned()).unwrap_or_default();
    text.lines().filter(|name| !name.is_empty() && !name.contains('/')).map(str::to_owned).collect()
}

fn archive(tree: &Tree) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut folders = std::collections::BTreeSet::new();
    for (name, node) in tree {
        let above: Vec<&Path> = Path::new(name).ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()).collect();
        for folder in above.iter().rev() {
            let folder = folder.to_string_lossy().into_owned();
            if !tree.contains_key(&folder) && folders.insert(folder.clone()) {
                out.extend(head(&entry(&folder, Kind::Folder, 0o755, 0, ""), &Owner::default()));
            }
        }
        match node {
            Node::Folder(mode) => out.extend(head(&entry(name, Kind::Folder, *mode, 0, ""), &Owner::default())),
            Node::Link(target) => out.extend(head(&entry(name, Kind::SymLink, 0o777, 0, target), &Owner::default())),
            Node::Text(text) => put(&mut out, name, 0o644, text.as_bytes()),
            Node::File { from, mode } => put(&mut out, name, *mode, &std::fs::read(from)?),
        }
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    Ok(out)
}

fn put(out: &mut Vec<u8>, name: &str, mode: u32, content: &[u8]) {
    out.extend(head(&entry(name, Kind::File, mode, content.len() as u64, ""), &Owner::default()));
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

fn entry(name: &str, kind: Kind, mode: u32, size: u64, target: &str) -> Entry {
    Entry { name: name.to_owned(), kind, mode, size, target: target.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::podman::tar::Reader;

    #[test]
    fn a_program_tells_what_loads_it() {
        let own = std::fs::read("/proc/self/exe").expect("this program");
        let found = loader(&own).expect("an ELF program");
        assert!(found.is_none_or(|path| path.is_file()), "its loader is there");
        assert_eq!(loader(b"#!/bin/sh\n"), None);
        assert_eq!(loader(b"\x7fELF\x02\x01"), None, "cut off");
    }

    #[test]
    fn libraries_are_read_from_the_loaders_list() {
        let text = "\tlinux-vdso.so.1 (0x7ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f)\n\t/lib64/ld-linux-x86-64.so.2 (0x7f)\n\tx => not found\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(libraries(text), expected);
    }

    #[test]
    fn the_toolbox_has_a_shell_and_all_that_it_needs() {
        let (tar, shell) = build().expect("this machine has a shell");
        let mut reader = Reader::new(tar.as_slice());
        let mut names = std::collections::BTreeSet::new();
        while let Some(entry) = reader.next_entry().expect("an archive") {
            assert!(names.insert(entry.name.clone()), "{} twice", entry.name);
        }
        assert!(names.contains(&format!("usr{shell}")), "{shell} in {names:?}");
        assert!(names.contains("usr/bin/ls") && names.contains("etc/passwd") && names.contains("tmp"));
    }
}
