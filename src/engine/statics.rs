//! Watches a folder of manifests for static pods.
//! Source: pkg/kubelet/config/file.go.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::clock::{self, Clock};
use super::node::News;
use crate::api::Object;
use crate::node::statics;

/// Between two looks at the folder.
const LOOK: Duration = Duration::from_secs(1);

/// A file, and how it stood when it was read.
struct Known {
    stamp: (Option<SystemTime>, u64),
    pods: Vec<Object>,
}

/// Tells of the static pods at the start and with each change, for ever.
pub async fn run(folder: PathBuf, node_name: String, clock: Clock, news: mpsc::UnboundedSender<News>) -> Result<(), String> {
    let mut known: BTreeMap<PathBuf, Known> = BTreeMap::new();
    let mut first = true;
    loop {
        let changed = look(&folder, &node_name, &clock, &mut known);
        if changed || first {
            first = false;
            let pods = known.values().flat_map(|k| k.pods.iter().cloned()).collect();
            if news.send(News::Static(pods)).is_err() {
                return Err("the node agent does not listen".into());
            }
        }
        clock::sleep(LOOK).await;
    }
}

/// Reads what has changed; true if anything has. A file that cannot be read any more keeps its pods.
fn look(folder: &Path, node_name: &str, clock: &Clock, known: &mut BTreeMap<PathBuf, Known>) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    let mut there = Vec::new();
    let mut changed = false;
    for entry in entries.flatten() {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let Some(metadata) = std::fs::metadata(&path).ok().filter(|m| m.is_file() && !hidden) else { continue };
        there.push(path.clone());
        let stamp = (metadata.modified().ok(), metadata.len());
        if known.get(&path).is_some_and(|k| k.stamp == stamp) {
            continue;
        }
        let read = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()));
        match read.and_then(|bytes| statics::read(&path.to_string_lossy(), &bytes, node_name, clock())) {
            Ok(pods) => {
                changed = true;
                known.insert(path, Known { stamp, pods });
            }
            Err(why) => {
                eprintln!("wl: static pods: {why}");
                let before = known.remove(&path).map(|k| k.pods).unwrap_or_default();
                known.insert(path, Known { stamp, pods: before });
            }
        }
    }
    let before = known.len();
    known.retain(|path, _| there.contains(path));
    changed || known.len() != before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_change_break_and_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = clock::system();
        let mut known = BTreeMap::new();
        let file = folder.path().join("web.yaml");
        let text = |image: &str| {
            format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec: {{containers: [{{name: c, image: {image}}}]}}\n")
        };
        let mut see = || {
            let changed = look(folder.path(), "n1", &clock, &mut known);
            let uids: Vec<String> = known.values().flat_map(|k| &k.pods).map(|p| p.uid().to_owned()).collect();
            (changed, uids)
        };
        assert_eq!(see(), (false, vec![]));
        std::fs::write(&file, text("a")).expect("written");
        std::fs::write(folder.path().join(".hidden"), text("b")).expect("written");
        let (changed, first) = see();
        assert!(changed && first.len() == 1);
        assert_eq!(see(), (false, first.clone()));
        std::fs::write(&file, "kind: [").expect("written");
        assert_eq!(see(), (false, first.clone()));
        std::fs::write(&file, text("another")).expect("written");
        let (changed, second) = see();
        assert!(changed && second != first);
        std::fs::remove_file(&file).expect("removed");
        assert_eq!(see(), (true, vec![]));
    }
}
