//! The store's promises, on disk and in memory.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::history::HISTORY;
use super::lock::Holder;
use super::*;
use crate::api::schema::Schema;
use crate::api::{GroupResource, Json, Key};
use crate::registry::{Body, Options, Verb};

fn settings() -> Settings {
    Settings { admission: Vec::new(), ..Settings::default() }
}

fn in_memory() -> Store {
    Store::in_memory_with(settings(), State::new(), system_clock(), Box::new(SystemRandom::new()))
}

fn request(verb: Verb, name: &str, tree: Option<Json>) -> Request {
    let resource = Arc::new(Schema::get().resource("", "v1", "configmaps").unwrap().clone());
    let body = tree.map_or(Body::None, Body::Tree);
    let name = if verb == Verb::Create { String::new() } else { name.to_owned() };
    Request { verb, resource, subresource: None, namespace: "default".into(), name, body, options: Options::default() }
}

fn config_map(name: &str, value: &str) -> Json {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": value}})
}

fn create(name: &str, value: &str) -> Request {
    request(Verb::Create, name, Some(config_map(name, value)))
}

fn key(name: &str) -> Key {
    Key::new(GroupResource::new("", "configmaps"), "default", name)
}

fn value(store: &Store, name: &str) -> Option<String> {
    Some(store.snapshot().get(&key(name))?.str_at("/data/a")?.to_owned())
}

#[tokio::test]
async fn what_is_created_is_there_with_what_the_server_says_of_it() {
    let store = in_memory();
    let answer = store.write(create("x", "1")).await.unwrap();
    assert_eq!(answer.code, 201);
    assert_eq!(answer.body["metadata"]["resourceVersion"], "1");
    assert_eq!(answer.body["metadata"]["namespace"], "default");
    assert_eq!(answer.body["metadata"]["uid"].as_str().unwrap().len(), 36);
    let again = store.write(create("x", "2")).await.unwrap_err();
    assert_eq!((again.code, again.reason.as_str()), (409, "AlreadyExists"));
    assert_eq!(value(&store, "x").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_store_that_is_opened_again_has_everything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let store = Store::open(&path, settings()).unwrap();
    let writes = (0..300).map(|i| create(&format!("x{i}"), "1")).collect();
    assert!(store.write_all(writes).await.iter().all(Result::is_ok));
    store.write(request(Verb::Delete, "x7", None)).await.unwrap();
    let revision = store.snapshot().revision();
    drop(store);
    let store = open_again(&path);
    assert_eq!(store.snapshot().revision(), revision);
    assert_eq!(store.snapshot().count(&GroupResource::new("", "configmaps")), 299);
    assert_eq!(value(&store, "x8").as_deref(), Some("1"));
    assert_eq!(value(&store, "x7"), None);
}

/// The writer's thread lets go of the lock soon after the last handle is gone.
fn open_again(path: &std::path::Path) -> Store {
    loop {
        match Store::open(path, settings()) {
            Err(OpenError::Held { .. }) => std::thread::yield_now(),
            other => return other.unwrap(),
        }
    }
}

#[tokio::test]
async fn a_second_writer_is_told_who_holds_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let _store = Store::open(dir.path(), settings()).unwrap();
    let refused = Store::open(dir.path(), settings()).err().unwrap();
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    assert_eq!(holder(dir.path()), Some(Holder { pid: std::process::id() }));
}

#[tokio::test]
async fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let store = Store::open(&path, settings()).unwrap();
    store.write(create("x", "1")).await.unwrap();
    let mode = |p: &std::path::Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for entry in std::fs::read_dir(&path).unwrap() {
        let file = entry.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(journal::FILE), b"this is no database, whatever it may look like").unwrap();
    let refused = Store::open(dir.path(), settings()).err().unwrap();
    assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused:?}");
    assert!(refused.to_string().contains("wl restore"));
    let left = std::fs::read(dir.path().join(journal::FILE)).unwrap();
    assert!(left.starts_with(b"this is no database"));
}

#[tokio::test]
async fn a_watch_sees_every_change_in_order_and_is_told_when_it_lags() {
    let store = in_memory();
    let mut changes = store.watch(0).unwrap();
    store.write(create("a", "1")).await.unwrap();
    store.write(create("b", "1")).await.unwrap();
    let seen: Vec<u64> = changes.next().await.unwrap().iter().map(|c| c.revision).collect();
    assert_eq!(seen, [1, 2]);
    for i in 0..=HISTORY {
        store.write(create(&format!("c{i}"), "1")).await.unwrap();
    }
    assert_eq!(changes.next().await.unwrap_err().asked, 2);
    assert!(store.watch(1).is_err());
    store.compact();
    assert!(store.watch(store.snapshot().revision() - 1).is_err());
    assert!(store.watch(store.snapshot().revision()).is_ok());
}

#[tokio::test]
async fn what_nobody_reads_becomes_text_and_reads_as_before() {
    let store = in_memory();
    let mut changes = store.watch(0).unwrap();
    for name in ["x", "y"] {
        store.write(create(name, "1")).await.unwrap();
    }
    let is_tree = |name: &str| store.snapshot().get(&key(name)).unwrap().is_tree();
    assert!(is_tree("x") && is_tree("y"));
    let held = store.snapshot().get(&key("y")).unwrap().clone();
    let revision = store.snapshot().revision();
    store.rest();
    assert!(!is_tree("x"), "nobody has read it since");
    assert!(is_tree("y"), "somebody holds it, so its tree is in memory all the same");
    assert_eq!((store.snapshot().revision(), value(&store, "x")), (revision, Some("1".into())));
    assert!(is_tree("x"), "it was read");
    let told = changes.take().unwrap();
    assert!(told.iter().all(|change| !change.after.as_ref().unwrap().is_tree()));
    assert_eq!(told.iter().map(|change| change.after.as_ref().unwrap().name()).collect::<Vec<_>>(), ["x", "y"]);
    drop(held);
    let stays = store.write(request(Verb::Update, "x", Some(config_map("x", "2")))).await.unwrap();
    assert_eq!((stays.code, value(&store, "x")), (200, Some("2".into())));
}

#[tokio::test]
async fn packed_changes_are_what_they_were() {
    let store = in_memory();
    for i in 0..150 {
        store.write(create(&format!("c{i}"), "1")).await.unwrap();
        if i % 3 == 0 {
            let name = format!("c{i}");
            store.write(request(Verb::Update, &name, Some(config_map(&name, "2")))).await.unwrap();
        }
    }
    let seen = |since| -> Vec<String> {
        let changes = store.watch(since).unwrap().take().unwrap();
        changes.iter().map(|c| format!("{c:?}")).collect()
    };
    let (all, half, then) = (seen(0), seen(77), store.at(77).unwrap());
    assert_eq!((all.len(), half.len()), (200, 123));
    store.pack();
    assert_eq!(seen(0), all);
    assert_eq!(seen(77), half);
    let trees = |state: &State| state.all(&key("").resource).map(|o| o.json().clone()).collect::<Vec<_>>();
    assert_eq!(trees(&store.at(77).unwrap()), trees(&then));
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let store = in_memory();
    let mut dry = create("x", "1");
    dry.options.dry_run = true;
    let answer = store.write(dry).await.unwrap();
    assert!(answer.body["metadata"]["uid"].is_string());
    assert!(answer.body["metadata"].get("resourceVersion").is_none());
    assert_eq!(store.snapshot().revision(), 0);
}

#[tokio::test]
async fn bytes_are_read_by_their_media_type() {
    let store = in_memory();
    let mut sent = create("x", "1");
    let bytes = Bytes::from_static(b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: why}\n");
    sent.body = Body::Text { media_type: "application/yaml".into(), bytes };
    assert_eq!(store.write(sent).await.unwrap().body["metadata"]["name"], "why");
    let mut sent = create("x", "1");
    sent.body = Body::Text { media_type: "text/plain".into(), bytes: Bytes::new() };
    assert_eq!(store.write(sent).await.unwrap_err().code, 415);
}

/// A store on disk whose clock is set by hand.
fn with_clock(path: &std::path::Path, at: &Arc<std::sync::atomic::AtomicI64>) -> Store {
    let at = at.clone();
    let clock: Clock = Arc::new(move || Timestamp::from_second(at.load(std::sync::atomic::Ordering::SeqCst)).unwrap());
    loop {
        match Store::open_with(path, settings(), clock.clone(), Box::new(SystemRandom::new())) {
            Err(OpenError::Held { .. }) => std::thread::yield_now(),
            other => return other.unwrap(),
        }
    }
}

#[tokio::test]
async fn events_live_an_hour_across_restarts_too() {
    let dir = tempfile::tempdir().unwrap();
    let at = Arc::new(std::sync::atomic::AtomicI64::new(1_700_000_000));
    let store = with_clock(dir.path(), &at);
    let resource = Arc::new(Schema::get().resource("", "v1", "events").unwrap().clone());
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "Tested", "type": "Normal",
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
        "lastTimestamp": "2023-11-14T22:13:20Z", "message": "told",
    });
    let request = Request { resource, ..request(Verb::Create, "", Some(event)) };
    store.write(request).await.unwrap();
    store.close().await;
    drop(store);

    at.fetch_add(3599, std::sync::atomic::Ordering::SeqCst);
    let store = with_clock(dir.path(), &at);
    let events = GroupResource::new("", "events");
    let revision = store.snapshot().revision();
    store.expire().await;
    assert_eq!((store.snapshot().count(&events), store.snapshot().revision()), (1, revision), "nothing to do, nothing done");
    at.fetch_add(2, std::sync::atomic::Ordering::SeqCst);
    let mut changes = store.watch(revision).unwrap();
    store.expire().await;
    assert_eq!(store.snapshot().count(&events), 0);
    assert!(changes.take().unwrap()[0].after.is_none(), "watches see it go");
}

#[tokio::test]
async fn a_full_disk_refuses_the_write_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, loaded) = journal::Sqlite::open(dir.path()).unwrap();
    journal.limit_pages(32);
    let store = Store::of_journal(dir.path(), settings(), system_clock(), Box::new(SystemRandom::new()), journal, loaded);
    let store = store.unwrap();
    let big = "x".repeat(20_000);
    let mut kept = Vec::new();
    let refused = loop {
        let name = format!("x{}", kept.len());
        match store.write(create(&name, &big)).await {
            Ok(_) => kept.push(name),
            Err(refused) => break refused,
        }
    };
    assert_eq!((refused.code, refused.reason.as_str()), (507, "InsufficientStorage"));
    assert!(refused.message.contains("disk") && refused.message.contains("nothing was changed"), "{refused}");
    assert!(!kept.is_empty());
    // Of several that are written as one, none is kept.
    let revision = store.snapshot().revision();
    let answers = store.write_all(vec![create("small", "1"), create("large", &"x".repeat(200_000))]).await;
    assert!(answers.iter().all(Result::is_err));
    assert_eq!((value(&store, "small"), store.snapshot().revision()), (None, revision));
    // Room comes back with what goes.
    store.write(request(Verb::Delete, &kept[0], None)).await.unwrap();
    store.write(create("small", "1")).await.unwrap();
    store.close().await;
    drop(store);
    let store = open_again(dir.path());
    assert_eq!(value(&store, "small").as_deref(), Some("1"));
    assert!(value(&store, &kept[0]).is_none() && kept[1..].iter().all(|name| value(&store, name).is_some()));
}

const CHILD: &str = "WL_TEST_STORE_OF_CHILD";

/// The process that the next test kills: writes on and on, and says what was acknowledged. By itself it does nothing.
#[test]
fn child_that_writes_until_it_is_killed() {
    use std::io::Write as _;
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(std::path::Path::new(&dir), settings()).unwrap();
        let begin = store.snapshot().revision();
        for i in begin.. {
            let answers = store.write_all(vec![create(&format!("a{i}"), "1"), create(&format!("b{i}"), "1")]).await;
            if answers.iter().all(Result::is_ok) {
                let mut out = std::io::stdout();
                writeln!(out, "kept {i}").and_then(|()| out.flush()).unwrap();
            }
        }
    });
}

#[test]
fn what_was_acknowledged_is_there_after_kill_9_at_any_instant() {
    use std::io::BufRead as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    let mut acknowledged = Vec::new();
    for round in 0..12_u64 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::child_that_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        // The first round is killed while the store is being made; the others somewhere between two writes.
        let before = acknowledged.len();
        for line in lines.by_ref().map_while(Result::ok) {
            acknowledged.extend(line.split_once("kept ").and_then(|(_, i)| i.parse::<u64>().ok()));
            if round == 0 || acknowledged.len() - before > usize::try_from(round).unwrap() {
                break;
            }
        }
        std::thread::sleep(std::time::Duration::from_micros(round * 370));
        child.kill().unwrap();
        acknowledged.extend(lines.map_while(Result::ok).filter_map(|l| l.split_once("kept ")?.1.parse::<u64>().ok()));
        child.wait().unwrap();
        let store = open_again(&path);
        for i in &acknowledged {
            for half in ["a", "b"] {
                assert!(value(&store, &format!("{half}{i}")).is_some(), "{half}{i} after round {round}");
            }
        }
        // Batches are whole: what is there of one half is there of the other.
        let state = store.snapshot();
        let (a, b) = (GroupResource::new("", "configmaps"), "default");
        let halves = |half: char| state.in_namespace(&a, b).filter(|o| o.name().starts_with(half)).count();
        assert_eq!(halves('a'), halves('b'));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(store.close());
    }
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
}

#[tokio::test]
async fn an_emptied_or_cut_file_is_refused_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), settings()).unwrap();
    let writes = (0..300).map(|i| create(&format!("x{i}"), "1")).collect();
    store.write_all(writes).await;
    store.close().await;
    let path = dir.path().join(journal::FILE);
    let whole = std::fs::read(&path).unwrap();
    let mut garbled = whole.clone();
    garbled[8192..12288].fill(0x5a);
    for damaged in [&whole[..0], &whole[..whole.len() / 2], &garbled[..]] {
        std::fs::write(&path, damaged).unwrap();
        let refused = Store::open(dir.path(), settings()).err().unwrap();
        assert!(matches!(refused, OpenError::Corrupt { .. }), "{} bytes: {refused:?}", damaged.len());
        assert_eq!(std::fs::read(&path).unwrap(), damaged, "it is left as it is");
    }
}

#[tokio::test]
async fn a_store_of_the_first_version_is_read_and_kept_aside() {
    use std::io::Read as _;
    let dir = tempfile::tempdir().unwrap();
    let fixture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/store-v1.db.gz");
    let mut old = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(fixture).unwrap()).read_to_end(&mut old).unwrap();
    std::fs::write(dir.path().join(journal::FILE), &old).unwrap();
    let looked = Store::look(dir.path()).unwrap();
    assert_eq!(looked.state.revision(), 31);
    assert!(!dir.path().join("state-v1.db").exists(), "who only looks changes nothing");

    let store = Store::open(dir.path(), settings()).unwrap();
    let state = store.snapshot();
    let deployments = GroupResource::new("apps", "deployments");
    let web = state.get(&Key::new(deployments, "default", "web")).unwrap();
    assert_eq!((web.str_at("/spec/template/spec/containers/0/image"), state.revision()), (Some("localhost/web:1"), 31));
    assert_eq!(state.count(&GroupResource::new("", "pods")), 2);
    store.write(create("new", "1")).await.unwrap();
    store.close().await;
    // The copy is what the older version left, and that version could go on with it.
    let aside = rusqlite::Connection::open(dir.path().join("state-v1.db")).unwrap();
    let version: i64 = aside.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let revision: i64 = aside.query_row("SELECT value FROM meta WHERE key = 'revision'", [], |row| row.get(0)).unwrap();
    assert_eq!((version, revision), (1, 31));
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path(), settings()).unwrap().close().await;
    let path = dir.path().join(journal::FILE);
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let before = std::fs::read(&path).unwrap();
    for refused in [Store::open(dir.path(), settings()).err(), Store::look(dir.path()).err()] {
        assert!(matches!(refused, Some(OpenError::Newer { found: 99, .. })), "{refused:?}");
    }
    assert!(matches!(backup(dir.path(), &dir.path().join("b"), false), Err(BackupError::Open(OpenError::Newer { .. }))));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_backup_is_whole_private_and_overwrites_nothing_unasked() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (state, file) = (dir.path().join("state"), dir.path().join("backup"));
    assert!(matches!(backup(&state, &file, false), Err(BackupError::Nothing { .. })));
    let store = Store::open(&state, settings()).unwrap();
    store.write(create("x", "1")).await.unwrap();
    // While it is in use, and written to meanwhile.
    backup(&state, &file, false).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    store.write(create("y", "1")).await.unwrap();
    let refused = backup(&state, &file, false).unwrap_err();
    assert!(refused.to_string().contains("--force"), "{refused}");
    store.close().await;
    let restored = dir.path().join("other");
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    assert_eq!(restore(&restored, &file, now).unwrap(), Restored { objects: 1, aside: None });
    let other = Store::open(&restored, settings()).unwrap();
    assert_eq!((value(&other, "x").as_deref(), value(&other, "y")), (Some("1"), None));
    backup(&state, &file, true).unwrap();
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[tokio::test]
async fn a_restore_begins_resource_versions_anew_and_keeps_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let (state, file) = (dir.path().join("state"), dir.path().join("backup"));
    let store = Store::open(&state, settings()).unwrap();
    store.write(create("x", "1")).await.unwrap();
    backup(&state, &file, false).unwrap();
    store.write(create("y", "1")).await.unwrap();
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    assert!(matches!(restore(&state, &file, now), Err(BackupError::InUse { .. })));
    assert_eq!(value(&store, "y").as_deref(), Some("1"));
    store.close().await;
    let aside = restore(&state, &file, now).unwrap().aside.unwrap();

    let store = Store::open(&state, settings()).unwrap();
    assert_eq!((value(&store, "x").as_deref(), value(&store, "y")), (Some("1"), None));
    let revision = store.snapshot().revision();
    assert!(store.watch(1).is_err() && store.watch(2).is_err() && store.watch(revision).is_ok(), "older watches are gone");
    assert_eq!([1, 2, revision, revision + 1].map(|r| store.has_been_at(r)), [true, false, false, false]);
    store.write(create("z", "1")).await.unwrap();
    assert!(store.has_been_at(revision + 1));
    store.close().await;
    // Once more, in the same second: the numbers go on upwards.
    restore(&state, &aside, now).unwrap();
    let store = Store::open(&state, settings()).unwrap();
    assert!(store.snapshot().revision() > revision + 1);
    assert_eq!((value(&store, "y").as_deref(), value(&store, "z")), (Some("1"), None));
}

#[tokio::test]
async fn what_is_no_backup_is_not_restored() {
    let dir = tempfile::tempdir().unwrap();
    let (state, file) = (dir.path().join("state"), dir.path().join("backup"));
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let store = Store::open(&state, settings()).unwrap();
    store.write(create("x", "1")).await.unwrap();
    store.close().await;
    for content in [&b""[..], b"no database at all"] {
        std::fs::write(&file, content).unwrap();
        let refused = restore(&state, &file, now).unwrap_err();
        assert!(matches!(refused, BackupError::NoBackup { .. }), "{refused:?}");
    }
    std::fs::remove_file(&file).unwrap();
    rusqlite::Connection::open(&file).unwrap().execute_batch("CREATE TABLE other (a)").unwrap();
    for bad in [file.as_path(), dir.path(), std::path::Path::new("/none")] {
        assert!(matches!(restore(&state, bad, now), Err(BackupError::NoBackup { .. })), "{}", bad.display());
    }
    // A damaged store can be replaced, and is kept.
    backup(&state, &dir.path().join("good"), false).unwrap();
    std::fs::write(state.join(journal::FILE), b"damaged, as a disk may leave it").unwrap();
    let aside = restore(&state, &dir.path().join("good"), now).unwrap().aside.unwrap();
    assert!(std::fs::read(aside).unwrap().starts_with(b"damaged"));
    assert_eq!(value(&Store::open(&state, settings()).unwrap(), "x").as_deref(), Some("1"));
}
