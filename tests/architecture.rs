//! Holds the floors of ARCHITECTURE.md: who may use whom, and where no I/O is allowed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Room → floor. A room uses lower floors only.
const FLOORS: &[(&str, u8)] = &[
    ("cli", 8),
    ("apiserver", 6),
    ("client", 6),
    ("engine", 7),
    ("network", 5),
    ("podman", 5),
    ("probes", 5),
    ("store", 5),
    ("plan", 4),
    ("registry", 3),
    ("admission", 2),
    ("controllers", 2),
    ("node", 2),
    ("scheduler", 2),
    ("apply", 1),
    ("manifest", 1),
    ("runtime", 1),
    ("state", 1),
    ("api", 0),
];

/// Floors up to here do no I/O, read no clock and draw no random numbers.
const PURE: u8 = 4;

const FORBIDDEN_BELOW: &[&str] = &[
    "tokio::",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os::unix::net",
    "std::process::Command",
    "std::time::SystemTime",
    "std::time::Instant",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "rustix::",
    "libc::",
    "hyper::",
    "rusqlite::",
    "getrandom",
    "println!",
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The code of a file without comments and without what stands behind `#[cfg(test)]`.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap().to_owned();
    text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_room_uses_lower_floors_only() {
    let floors: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut breaches = Vec::new();
    for entry in fs::read_dir(&src).unwrap() {
        let dir = entry.unwrap().path();
        if !dir.is_dir() {
            continue;
        }
        let room = dir.file_name().unwrap().to_str().unwrap().to_owned();
        let floor = *floors.get(room.as_str()).unwrap_or_else(|| panic!("src/{room} has no floor"));
        let mut files = Vec::new();
        sources(&dir, &mut files);
        for file in files.iter().filter(|f| !f.ends_with("tests.rs")) {
            let code = code(file);
            for (other, other_floor) in &floors {
                let used =
                    code.contains(&format!("crate::{other}::")) || code.contains(&format!("use crate::{other};"));
                if used && *other != room && *other_floor >= floor {
                    breaches.push(format!("{} uses {other}", file.strip_prefix(&src).unwrap().display()));
                }
            }
            if floor <= PURE {
                for word in FORBIDDEN_BELOW.iter().filter(|w| code.contains(**w)) {
                    breaches.push(format!("{} has {word}", file.strip_prefix(&src).unwrap().display()));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}
