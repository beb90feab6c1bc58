//! An image with a shell, of this machine's busybox: the examples call one.

use bytes::Bytes;

use crate::image::add;
use crate::world::World;

/// What the examples call.
const APPLETS: [&str; 14] =
    ["sh", "sleep", "hostname", "cat", "echo", "date", "test", "true", "httpd", "wget", "tr", "mkdir", "mv", "touch"];
/// A busybox of this machine under two local names.
pub const IMAGES: [&str; 2] = ["localhost/wl-e2e-busybox:1", "localhost/wl-e2e-busybox:2"];
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// The files of all examples, below their folder.
pub fn examples() -> Vec<String> {
    let list = |folder: &str| {
        let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    };
    let folders = list(EXAMPLES).into_iter().filter(|name| !name.contains('.'));
    let files =
        |folder: String| list(&format!("{EXAMPLES}/{folder}")).into_iter().map(move |name| format!("{folder}/{name}"));
    folders.flat_map(files).collect()
}

/// An example with this machine's image.
pub fn example(path: &str) -> String {
    let text = std::fs::read_to_string(format!("{EXAMPLES}/{path}")).expect("an example");
    let public = "docker.io/library/busybox:1.36";
    assert!(text.contains(public), "{path} has another image");
    text.replace(public, IMAGES[0])
}

/// `None` where there is no Podman, or no busybox to make an image of.
pub async fn world(name: &str) -> Option<World> {
    let Some(root) = root() else {
        eprintln!("skipped: there is no static busybox here");
        return None;
    };
    let world = World::new(name).await?;
    for image in IMAGES {
        world.import(image, root.clone()).await;
    }
    Some(world)
}

/// A tar archive with busybox and its links; `None` where there is no static one.
fn root() -> Option<Bytes> {
    let places = ["/bin/busybox", "/bin/busybox.static", "/usr/bin/busybox.static"];
    let busybox = places.into_iter().filter_map(|path| std::fs::read(path).ok()).find(|bytes| is_static(bytes))?;
    let mut tar = Vec::new();
    for folder in ["bin/", "dev/", "etc/", "proc/", "sys/", "tmp/"] {
        add(&mut tar, folder, 0o755, b'5', "", &[]);
    }
    add(&mut tar, "etc/passwd", 0o644, b'0', "", b"root:x:0:0:root:/:/bin/sh\n");
    add(&mut tar, "bin/busybox", 0o755, b'0', "", &busybox);
    for applet in APPLETS {
        add(&mut tar, &format!("bin/{applet}"), 0o777, b'2', "busybox", &[]);
    }
    tar.extend_from_slice(&[0; 1024]);
    Some(tar.into())
}

/// A 64-bit ELF file that names no loader: none of its program headers is a `PT_INTERP`.
fn is_static(elf: &[u8]) -> bool {
    let number = |at: usize, len: usize| -> Option<usize> {
        let bytes = elf.get(at..at + len)?;
        Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    let headers = || Some((number(32, 8)?, number(54, 2)?, number(56, 2)?));
    let Some((from, size, count)) = headers().filter(|_| elf.starts_with(b"\x7fELF")) else { return false };
    (0..count).all(|n| number(from + n * size, 4).is_some_and(|kind| kind != 3))
}
