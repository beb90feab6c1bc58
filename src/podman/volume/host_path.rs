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
        "" | "DirectoryOrCreate" => make_folder(path, kind.is_empty()).map_err(wrong)?,
        "FileOrCreate" => make_file(path).map_err(wrong)?,
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

fn make_folder(path: &Path, if_missing_only: bool) -> Result<(), String> {
    if path.exists() {
        return Ok(());
    }
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    match made {
        Err(e) if !if_missing_only || !path.exists() => Err(format!("cannot make {}: {e}", path.display())),
        _ => Ok(()),
    }
}

fn make_file(path: &Path) -> Result<(), String> {
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path) {
        Ok(_) => Ok(()),
        Err(_) if path.exists() => Ok(()),
        Err(e) => Err(format!("cannot make {}: {e}", path.display())),
    }
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
        assert!(check(Path::new("relative"), "").is_err());
        assert!(check(Path::new("/a/../b"), "").is_err());
    }
}
