//! Images of the tests: one static program in an otherwise empty root.

use std::path::{Path, PathBuf};

use bytes::Bytes;

#[path = "tar.rs"]
mod tar;

pub use tar::add;

/// The tests' program, built where it was not.
pub fn program() -> PathBuf {
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("program");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/program");
    let status = std::process::Command::new(folder.join("build.sh")).arg(&built).status();
    // A user without a compiler takes what another has built, if it is of these sources.
    let changed = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    let is_new =
        || ["main.rs", "net.rs", "measure.rs"].iter().all(|source| changed(&built) >= changed(&folder.join(source)));
    assert!(status.is_ok_and(|s| s.success()) || is_new(), "the tests' program cannot be built");
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
