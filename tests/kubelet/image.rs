//! The images of the scenarios: busybox, this test binary as `/t`, and what that needs to run.

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use wl::podman::Podman;

use crate::tar::add;

const PATH: &str = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Names and what sets them apart; `reg.test` is the scenarios' registry, of which one is here from the start.
const IMAGES: [(&str, &[&str]); 11] = [
    ("localhost/tool:1", &["CMD [\"/t\"]"]),
    ("localhost/tool:latest", &["CMD [\"/t\"]"]),
    ("docker.io/library/tool:1", &["CMD [\"/t\"]"]),
    ("reg.test:5000/arm/tool:1", &["CMD [\"/t\"]"]),
    (
        "localhost/tool-entry:1",
        &[
            "ENTRYPOINT [\"/bin/echo\",\"entry\"]",
            "CMD [\"cmd1\",\"cmd2\"]",
            "ENV A=image",
            "ENV B=image",
            "WORKDIR /work",
            "VOLUME /vol",
        ],
    ),
    ("localhost/tool-none:1", &[]),
    ("localhost/tool-stop:1", &["CMD [\"/t\"]", "STOPSIGNAL SIGUSR1"]),
    ("localhost/tool-uid:1", &["CMD [\"/t\"]", "USER 1234"]),
    ("localhost/tool-uidgid:1", &["CMD [\"/t\"]", "USER 1234:5555"]),
    ("localhost/tool-user:1", &["CMD [\"/t\"]", "USER app"]),
    ("localhost/tool-root:1", &["CMD [\"/t\"]", "USER 0"]),
];

/// Makes them all, and gives the folder that they are made of; `Err`: something of that is missing.
pub async fn import(podman: &Podman, scratch: &Path) -> Result<Bytes, String> {
    let root = root(scratch)?;
    for (name, changes) in IMAGES {
        let changes: Vec<&str> = std::iter::once(PATH).chain(changes.iter().copied()).collect();
        podman.import_image(name, root.clone(), &changes).await.map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(root)
}

fn root(scratch: &Path) -> Result<Bytes, String> {
    let mut tar = Vec::new();
    add(&mut tar, "./", 0o755, b'5', "", &[]);
    let folders =
        ["bin", "dev", "etc", "proc", "sys", "root", "vol", "work", "usr", "usr/bin", "var", "mnt", "home", "data"];
    for folder in folders {
        add(&mut tar, &format!("{folder}/"), 0o755, b'5', "", &[]);
    }
    add(&mut tar, "tmp/", 0o1777, b'5', "", &[]);
    add(
        &mut tar,
        "etc/passwd",
        0o644,
        b'0',
        "",
        b"root:x:0:0:root:/root:/bin/sh\napp:x:1234:1234::/home/app:/bin/sh\n",
    );
    add(&mut tar, "etc/group", 0o644, b'0', "", b"root:x:0:\napp:x:1234:\nextra:x:5555:app\n");
    add(&mut tar, "data/plain.txt", 0o644, b'0', "", b"plain\n");
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from).into_iter().find(|p| p.exists());
    let busybox = busybox.ok_or("there is no busybox")?;
    add(&mut tar, "bin/busybox", 0o755, b'0', "", &read(&busybox)?);
    let list = output(Command::new(&busybox).arg("--list"))?;
    for applet in list.lines().filter(|a| !a.is_empty() && *a != "busybox") {
        add(&mut tar, &format!("bin/{applet}"), 0o777, b'2', "busybox", &[]);
    }
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let lean = scratch.join("t");
    // Without its symbols it is a third as large; where `strip` is missing, it stays large.
    let stripped = Command::new("strip").arg("-o").arg(&lean).arg(&own).status().is_ok_and(|s| s.success());
    add(&mut tar, "t", 0o755, b'0', "", &read(if stripped { &lean } else { &own })?);
    let mut made = std::collections::BTreeSet::new();
    for library in output(Command::new("ldd").arg(&own))?.split_whitespace().filter(|w| w.starts_with('/')) {
        let path = Path::new(library);
        let mut folders: Vec<&Path> = path.ancestors().skip(1).filter(|a| a.parent().is_some()).collect();
        folders.reverse();
        for folder in folders {
            if made.insert(folder.to_owned()) {
                add(&mut tar, format!("{}/", folder.display()).trim_start_matches('/'), 0o755, b'5', "", &[]);
            }
        }
        add(&mut tar, library.trim_start_matches('/'), 0o755, b'0', "", &read(path)?);
    }
    tar.extend_from_slice(&[0; 1024]);
    Ok(tar.into())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
