//! Files that change as one: a folder of its own for each version, `..data` pointing at the newest, and links through it.
//! Source of the layout: pkg/volume/util/atomic_writer.go; programs in containers watch `..data`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use super::super::dirs::file_error;
use super::volume_error;
use crate::runtime::{RuntimeError, VolumeFile};

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";

/// A version that is written but not yet seen.
pub struct NewVersion {
    pub path: PathBuf,
}

/// Writes `files` into a folder of their own; `None` if what is there is the same already.
pub fn prepare(folder: &Path, files: &BTreeMap<String, VolumeFile>) -> Result<Option<NewVersion>, RuntimeError> {
    for path in files.keys() {
        let plain = Path::new(path).components().all(|c| matches!(c, Component::Normal(_)));
        if !plain || path.is_empty() || path.starts_with("..") || path.contains('\0') {
            return Err(volume_error(format!("{path:?} cannot be a file of a volume")));
        }
    }
    let old = fs::read_link(folder.join(DATA)).ok().map(|name| folder.join(name));
    if old.as_ref().is_some_and(|old| is_same(old, files)) {
        return Ok(None);
    }
    let path = folder.join(next_name(old.as_deref()));
    let written = write_all(&path, files);
    written.map_err(|e| file_error("cannot write", &path, &e))?;
    Ok(Some(NewVersion { path }))
}

/// Lets the new version be seen, in one step, and removes the old one.
pub fn swap(folder: &Path, new: NewVersion, files: &BTreeMap<String, VolumeFile>) -> Result<(), RuntimeError> {
    let swapped = || -> io::Result<()> {
        let temporary = folder.join(NEW_DATA);
        if temporary.is_symlink() {
            fs::remove_file(&temporary)?;
        }
        symlink(new.path.file_name().unwrap_or_default(), &temporary)?;
        fs::rename(&temporary, folder.join(DATA))?;
        let tops: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
        for top in &tops {
            let link = folder.join(top);
            if !link.is_symlink() {
                symlink(Path::new(DATA).join(top), link)?;
            }
        }
        remove_stale(folder, &tops, &new.path)
    };
    swapped().map_err(|e| file_error("cannot write", folder, &e))
}

/// Links of files that are no more, and former versions.
fn remove_stale(folder: &Path, tops: &BTreeSet<&str>, newest: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.path() == newest || name == DATA || tops.contains(name.as_ref()) {
            continue;
        }
        if entry.file_type()?.is_symlink() {
            fs::remove_file(entry.path())?;
        } else if name.starts_with("..") && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// `..1`, `..2` …
fn next_name(old: Option<&Path>) -> String {
    let number = old.and_then(|o| o.file_name()?.to_str()?.strip_prefix("..")?.parse::<u64>().ok()).unwrap_or_default();
    format!("..{}", number.wrapping_add(1))
}

fn write_all(version: &Path, files: &BTreeMap<String, VolumeFile>) -> io::Result<()> {
    if version.exists() {
        // Of a try that was broken off.
        fs::remove_dir_all(version)?;
    }
    make_folder(version)?;
    for (path, file) in files {
        let mut folder = version.to_owned();
        for part in Path::new(path).parent().into_iter().flat_map(Path::components) {
            folder.push(part);
            if !folder.is_dir() {
                make_folder(&folder)?;
            }
        }
        let path = version.join(path);
        fs::write(&path, &file.content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode & 0o7777))?;
    }
    Ok(())
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn is_same(version: &Path, files: &BTreeMap<String, VolumeFile>) -> bool {
    let same = |(path, file): (&String, &VolumeFile)| {
        let path = version.join(path);
        // A group's bits may have been added for fsGroup.
        let mode = fs::metadata(&path).map(|m| m.permissions().mode() & 0o7707);
        mode.is_ok_and(|mode| mode == file.mode & 0o7707) && fs::read(&path).is_ok_and(|content| content == file.content)
    };
    count(version) == files.len() && files.iter().all(same)
}

fn count(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return usize::MAX };
    entries.flatten().map(|e| if e.path().is_dir() { count(&e.path()) } else { 1 }).fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(content: &[(&str, &str)]) -> BTreeMap<String, VolumeFile> {
        let file = |text: &str| VolumeFile { content: text.as_bytes().to_vec(), mode: 0o640, owner: None };
        content.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect()
    }

    fn write(folder: &Path, content: &[(&str, &str)]) -> bool {
        let files = files(content);
        match prepare(folder, &files).expect("written") {
            Some(new) => swap(folder, new, &files).map(|()| true).expect("swapped"),
            None => false,
        }
    }

    fn listing(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).expect("a folder").flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_change_is_seen_whole_and_removed_keys_disappear() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        assert!(write(folder, &[("a", "1"), ("dir/b", "2")]));
        assert_eq!(fs::read_to_string(folder.join("dir/b")).expect("a file"), "2");
        assert_eq!(fs::metadata(folder.join("a")).expect("a file").permissions().mode() & 0o7777, 0o640);
        assert!(!write(folder, &[("a", "1"), ("dir/b", "2")]), "nothing changed");
        assert!(write(folder, &[("a", "3")]));
        assert_eq!(fs::read_to_string(folder.join("a")).expect("a file"), "3");
        assert_eq!(listing(folder), ["..2", "..data", "a"]);
        assert!(write(folder, &[]));
        assert_eq!(listing(folder), ["..3", "..data"]);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["../x", "/x", "a/../../x", "..data", "", "a\0"] {
            assert!(prepare(folder.path(), &files(&[(name, "x")])).is_err(), "{name:?}");
        }
    }
}
