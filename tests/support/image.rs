//! Images of the tests: one static program in an otherwise empty root.

use std::path::{Path, PathBuf};

use bytes::Bytes;

/// The tests' program, built where it was not.
pub fn program() -> PathBuf {
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("program");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/program/build.sh");
    let status = std::process::Command::new(script).arg(&built).status();
    assert!(status.is_ok_and(|s| s.success()) || built.exists(), "the tests' program cannot be built");
    built
}

/// A tar archive with the program and a few folders.
pub fn image_tar(program: &Path) -> Bytes {
    let program = std::fs::read(program).expect("the program");
    let mut tar = Vec::new();
    for folder in ["dev/", "etc/", "proc/", "sys/", "tmp/"] {
        add(&mut tar, folder, 0o755, b'5', "", &[]);
    }
    add(&mut tar, "etc/passwd", 0o644, b'0', "", b"root:x:0:0:root:/:/program\n");
    add(&mut tar, "program", 0o755, b'0', "", &program);
    tar.extend_from_slice(&[0; 1024]);
    tar.into()
}

/// One entry in the ustar format; `to` is where a link leads.
pub fn add(tar: &mut Vec<u8>, name: &str, mode: u32, kind: u8, to: &str, content: &[u8]) {
    let mut header = [0u8; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, to.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend_from_slice(&header);
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}
