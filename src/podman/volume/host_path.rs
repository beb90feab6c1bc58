//! The types of hostPath. Source: pkg/volume/hostpath/host_path.go (checkTypeInternal).

use std::fs::FileType;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::{Component, Path};

use crate::runtime::{RuntimeError, RuntimeErrorKind};

/// Holds `path` to what `kind` says, and makes it where `kind` wants that. Without a kind, a missing path becomes a folder,
/// as container runtimes do it.
pub fn check(path: &Path, kind: &str) -> Result<(), RuntimeError> {
    let wrong = |message: String| RuntimeError::new(RuntimeErrorKind::Volume, format!("hostPath type check failed: {message}"));
    let leaves = path.components().any(|c| matches!(c, Component::ParentDir));
    if !path.is_absolute() || leaves {
        return Err(wrong(format!("{} is no absolute path", path.display())));
    }
    match kind {
        "" | "DirectoryOrCreate" => make_folder(path)?,
        "FileOrCreate" => make_file(path)?,
        _ => {}
    }
    let is = |what: &str, fits: fn(&FileType) -> bool| match std::fs::metadata(path) {
        Ok(metadata) if fits(&metadata.file_type()) => Ok(()),
        _ => Err(wrong(format!("{} is not a {what}", path.display()))),
    };
    match kind {
        "" => Ok(()),
        "Directory" | "DirectoryOrCreate" => is("directory", FileType::is_dir),
        "File" | "FileOrCreate" => is("file", FileType::is_file),
        "Socket" => is("socket file", FileType::is_socket),
        "CharDevice" => is("character device", FileType::is_char_device),
        "BlockDevice" => is("block device", FileType::is_block_device),
        other => Err(wrong(format!("{other:?} is no type of a hostPath"))),
    }
}

/// As Go's os.MkdirAll: what is in the way is told with the part of the path where it is.
fn make_folder(path: &Path) -> Result<(), RuntimeError> {
    if path.exists() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
        if !parent.is_dir() {
            return Err(in_the_way("mkdir", parent, &std::io::ErrorKind::NotADirectory.into()));
        }
    }
    match std::fs::DirBuilder::new().mode(0o755).create(path) {
        Err(e) if !path.exists() => Err(in_the_way("mkdir", path, &e)),
        _ => Ok(()),
    }
}

fn make_file(path: &Path) -> Result<(), RuntimeError> {
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path) {
        Err(e) if !path.exists() => Err(in_the_way("open", path, &e)),
        _ => Ok(()),
    }
}

/// An error of a system call as Go's os.PathError tells it.
fn in_the_way(call: &str, path: &Path, error: &std::io::Error) -> RuntimeError {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let text = text.get(..1).unwrap_or_default().to_lowercase() + text.get(1..).unwrap_or_default();
    RuntimeError::new(RuntimeErrorKind::Volume, format!("{call} {}: {text}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_holds_the_path_to_what_it_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "x").expect("a file");
        std::os::unix::net::UnixListener::bind(at("socket")).expect("a socket");
        let good = [
            ("file", "File"), ("file", "FileOrCreate"), ("new-file", "FileOrCreate"), ("socket", "Socket"), (".", "Directory"),
            ("a/b", "DirectoryOrCreate"), ("c/d", ""), ("file", ""),
        ];
        for (name, kind) in good {
            assert_eq!(check(&at(name), kind), Ok(()), "{name} {kind}");
        }
        assert_eq!(check(Path::new("/dev/null"), "CharDevice"), Ok(()));
        for (name, kind) in [("file", "Directory"), ("none", "File"), ("none", "Directory"), ("file", "Socket"), ("file", "BlockDevice"), ("file", "Else"), ("file", "DirectoryOrCreate")] {
            assert!(check(&at(name), kind).is_err(), "{name} {kind}");
        }
        let told = |name: &str, kind: &str| check(&at(name), kind).expect_err("refused").message.replace(&at("").display().to_string(), "");
        assert_eq!(told("none/file", "FileOrCreate"), "open none/file: no such file or directory");
        assert_eq!(told("file/a/b", "DirectoryOrCreate"), "mkdir file: not a directory");
        assert!(check(Path::new("relative"), "").is_err());
        assert!(check(Path::new("/a/../b"), "").is_err());
    }
}
