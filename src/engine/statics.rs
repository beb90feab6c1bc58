//! Watches a file, a folder or a URL of manifests for static pods.
//! Source: pkg/kubelet/config/file.go, http.go.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::clock::{self, Clock};
use super::node::News;
use crate::api::Object;
use crate::client::url;
use crate::node::statics;

/// Between two looks at files.
const LOOK: Duration = Duration::from_secs(1);
/// Between two questions to a URL (kubelet's `httpCheckFrequency`).
const ASK: Duration = Duration::from_secs(20);

/// Where static pods come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder of manifests, or one file.
    Path(PathBuf),
    Url(String),
}

impl From<&OsStr> for Source {
    fn from(name: &OsStr) -> Self {
        match name.to_str().filter(|name| url::is_url(name)) {
            Some(url) => Source::Url(url.to_owned()),
            None => Source::Path(name.into()),
        }
    }
}

/// A file, and how it stood when it was read.
struct Known {
    stamp: (Option<SystemTime>, u64),
    pods: Vec<Object>,
}

/// Tells of the static pods at the start and with each change, for ever.
pub async fn run(source: Source, node_name: String, clock: Clock, news: mpsc::UnboundedSender<News>) -> Result<(), String> {
    let tell = |pods| news.send(News::Static(pods)).map_err(|_| "the node agent does not listen".to_owned());
    match source {
        Source::Path(path) => follow_path(&path, &node_name, &clock, tell).await,
        Source::Url(url) => follow_url(&url, &node_name, &clock, tell).await,
    }
}

async fn follow_path(
    path: &Path,
    node_name: &str,
    clock: &Clock,
    tell: impl Fn(Vec<Object>) -> Result<(), String>,
) -> Result<(), String> {
    let mut known: BTreeMap<PathBuf, Known> = BTreeMap::new();
    let mut first = true;
    loop {
        let changed = look(path, node_name, clock, &mut known);
        if changed || first {
            first = false;
            tell(known.values().flat_map(|k| k.pods.iter().cloned()).collect())?;
        }
        clock::sleep(LOOK).await;
    }
}

/// Where nobody answers, or what comes is no manifest of pods, the last ones stay. Until the first answer nothing is told: what
/// ran before goes on.
async fn follow_url(
    url: &str,
    node_name: &str,
    clock: &Clock,
    tell: impl Fn(Vec<Object>) -> Result<(), String>,
) -> Result<(), String> {
    let mut known = Vec::new();
    let mut said = String::new();
    loop {
        let read = match url::get(url).await {
            Ok(bytes) if bytes == known => None,
            Ok(bytes) => Some(of_answer(url, &bytes, node_name, clock).map(|pods| (bytes, pods))),
            Err(error) => Some(Err(error.to_string())),
        };
        match read {
            None => said.clear(),
            Some(Ok((bytes, pods))) => {
                said.clear();
                known = bytes;
                tell(pods)?;
            }
            Some(Err(why)) if why != said => {
                eprintln!("wl: static pods: {why}; asked again every {} s", ASK.as_secs());
                said = why;
            }
            Some(Err(_)) => {}
        }
        clock::sleep(ASK).await;
    }
}

fn of_answer(url: &str, bytes: &[u8], node_name: &str, clock: &Clock) -> Result<Vec<Object>, String> {
    if bytes.is_empty() {
        return Err(format!("zero-length data received from {url}"));
    }
    statics::read(statics::HTTP, url, bytes, node_name, clock())
}

/// Reads what has changed; true if anything has. A file that cannot be read any more keeps its pods.
fn look(root: &Path, node_name: &str, clock: &Clock, known: &mut BTreeMap<PathBuf, Known>) -> bool {
    let Some(paths) = files(root) else { return false };
    let mut there = Vec::new();
    let mut changed = false;
    for path in paths {
        let Some(metadata) = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file) else { continue };
        there.push(path.clone());
        let stamp = (metadata.modified().ok(), metadata.len());
        if known.get(&path).is_some_and(|k| k.stamp == stamp) {
            continue;
        }
        let read = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()));
        match read.and_then(|bytes| statics::read(statics::FILE, &path.to_string_lossy(), &bytes, node_name, clock())) {
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

/// What may be a manifest: the file itself, or all of a folder that is not hidden. `None` where it cannot be looked at now.
fn files(root: &Path) -> Option<Vec<PathBuf>> {
    match std::fs::metadata(root) {
        Ok(metadata) if metadata.is_file() => return Some(vec![root.to_owned()]),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(Vec::new()),
        _ => {}
    }
    let entries = std::fs::read_dir(root).ok()?;
    let shown = entries.flatten().filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    Some(shown.map(|entry| entry.path()).collect())
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

    #[test]
    fn one_file_is_enough_and_one_that_goes_takes_its_pods_along() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("web.yaml");
        let (clock, mut known) = (clock::system(), BTreeMap::new());
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: a}]}\n";
        std::fs::write(&file, text).expect("written");
        assert!(look(&file, "n1", &clock, &mut known));
        assert_eq!(known.values().map(|k| k.pods.len()).sum::<usize>(), 1);
        std::fs::remove_file(&file).expect("removed");
        assert!(look(&file, "n1", &clock, &mut known) && known.is_empty());
    }

    #[test]
    fn a_source_is_a_url_or_a_path() {
        assert_eq!(Source::from(OsStr::new("https://a/b")), Source::Url("https://a/b".into()));
        assert_eq!(Source::from(OsStr::new("http/b")), Source::Path("http/b".into()));
    }

    /// Answers one request after the other.
    async fn serve(listener: tokio::net::TcpListener, answers: Vec<(&'static str, String)>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.expect("a caller");
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.expect("answered");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pods_of_a_url_stay_when_it_answers_nonsense() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/pods", listener.local_addr().expect("an address"));
        let pod = |name: &str| {
            format!(
                "{{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {{\"name\": \"{name}\"}}, \"spec\": {{\"containers\": \
                 [{{\"name\": \"c\", \"image\": \"a\"}}]}}}}"
            )
        };
        let list = format!("{{\"apiVersion\": \"v1\", \"kind\": \"PodList\", \"items\": [{}, {}]}}", pod("b"), pod("c"));
        let answers = vec![
            ("503 Service Unavailable", String::new()),
            ("200 OK", pod("a")),
            ("200 OK", pod("a")),
            ("200 OK", String::new()),
            ("200 OK", "kind: [".to_owned()),
            ("200 OK", list),
        ];
        let server = tokio::spawn(serve(listener, answers));
        let (sender, mut news) = mpsc::unbounded_channel();
        let task = tokio::spawn(run(Source::Url(url), "n1".into(), clock::system(), sender));
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let Some(News::Static(pods)) = news.recv().await else { panic!("only static pods are told of") };
            assert!(pods.iter().all(|p| p.annotation(statics::SOURCE) == Some(statics::HTTP)));
            seen.push(pods.iter().map(|p| p.name().to_owned()).collect::<Vec<_>>());
        }
        assert_eq!(seen, [vec!["a-n1"], vec!["b-n1", "c-n1"]]);
        server.await.expect("all answers were fetched");
        task.abort();
    }
}
