//! Which scenarios are played where, how many agree, and how many must.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use serde_json::Value as Json;
use wl::runtime::Runtime;

use crate::compare::{self, Aspect};
use crate::departures::Departures;
use crate::world::{World, connect, folder};
use crate::{image, play, registry};

/// At least so many percent of each group agree entirely.
const FLOORS: [(&str, usize); 13] = [
    ("admission", 88),
    ("config", 97),
    ("deletion", 94),
    ("ephemeral", 100),
    ("hooks", 96),
    ("init", 95),
    ("kubelet-restart", 92),
    ("lifecycle", 96),
    ("probes", 95),
    ("resources", 96),
    ("scheduling", 94),
    ("security", 95),
    ("static", 85),
];
/// The same of those together that are played where nothing is chosen.
const FLOOR_OF_SAMPLE: usize = 90;
/// Where nothing is chosen, one of so many of the scenarios under [`SHORT`] is played: of each group those of its order by name.
const SAMPLE: usize = 4;
/// In seconds; longer ones are left to `make replay`.
const SHORT: f64 = 60.0;

fn records() -> Vec<Json> {
    let packed =
        std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/kubelet.jsonl.gz")).expect("the records");
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).expect("readable");
    text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}

/// Whether a scenario changes the node, stops its agent or needs all of its room.
fn needs_own_node(record: &Json) -> bool {
    let group = record["group"].as_str().unwrap_or_default();
    let steps = ["setup", "steps"].iter().filter_map(|k| record[*k].as_array()).flatten();
    matches!(group, "kubelet-restart" | "scheduling" | "admission" | "static")
        || steps.into_iter().any(|s| s["kind"] == "Node" && s.get("do").is_some())
}

struct Verdict {
    group: String,
    id: String,
    differences: Vec<(Aspect, String)>,
}

pub async fn run() -> ExitCode {
    let setting = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let (case, group) = (setting("WL_CASE"), setting("WL_GROUP"));
    let (all, at_once) =
        (setting("WL_REPLAY_ALL").is_some(), setting("WL_AT_ONCE").and_then(|n| n.parse().ok()).unwrap_or(8usize));
    let sample = !all && case.is_none() && group.is_none();
    let chosen = |r: &Json| {
        let id = r["id"].as_str().unwrap_or_default();
        case.as_deref().is_none_or(|c| c.split(',').any(|c| id.contains(c)))
            && group.as_deref().is_none_or(|g| g.split(',').any(|g| r["group"] == g))
            && (all || case.is_some() || r["ended_at"].as_f64().unwrap_or(0.0) < SHORT)
    };
    let mut records: Vec<Json> = records().into_iter().filter(chosen).collect();
    if sample {
        records.sort_by_key(|r| (r["group"].to_string(), r["id"].to_string()));
        records = records.into_iter().step_by(SAMPLE).collect();
    }
    let scratch = folder("wl-kubelet-images-");
    let Some(podman) = connect(scratch.path().join("state"), "kubelet").await else {
        println!("skipped: there is no Podman here");
        return ExitCode::SUCCESS;
    };
    let root = match image::import(&podman, scratch.path()).await {
        Ok(root) => root,
        Err(why) => {
            println!("skipped: {why}");
            return ExitCode::SUCCESS;
        }
    };
    registry::serve(root);
    registry::forget(&podman).await;
    let machine = podman.machine().await.expect("told");
    podman.close().await;
    // The longest first: nothing is waited for in the end.
    records.sort_by(|a, b| b["ended_at"].as_f64().unwrap_or(0.0).total_cmp(&a["ended_at"].as_f64().unwrap_or(0.0)));
    let (alone, together): (Vec<Json>, Vec<Json>) = records.into_iter().partition(needs_own_node);
    let verdicts = Arc::new(Mutex::new(Vec::new()));
    let departures = Arc::new(Departures::read(&machine));
    let own = at_once.div_ceil(3).max(1);
    tokio::join!(
        on_own_nodes(alone, own, verdicts.clone(), departures.clone()),
        on_one_node(together, at_once.saturating_sub(own).max(1), verdicts.clone(), departures),
    );
    let verdicts = std::mem::take(&mut *verdicts.lock().expect("no panic"));
    report(&verdicts, case.is_none() && !sample, sample)
}

type Verdicts = Arc<Mutex<Vec<Verdict>>>;

async fn one(world: &World, record: &Json, verdicts: &Verdicts, departures: &Departures) {
    let played = play::play(world, record).await;
    let differences = compare::differences(record, &played, departures);
    let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
    let verdict = Verdict { group: text("group"), id: text("id"), differences };
    for (aspect, difference) in &verdict.differences {
        println!("{} {}: {}: {difference}", verdict.group, verdict.id, aspect.name());
    }
    if verdict.differences.is_empty() {
        println!("{} {}: agrees", verdict.group, verdict.id);
    }
    verdicts.lock().expect("no panic").push(verdict);
}

async fn on_own_nodes(records: Vec<Json>, at_once: usize, verdicts: Verdicts, departures: Arc<Departures>) {
    let queue = Arc::new(Mutex::new(VecDeque::from(records)));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..at_once {
        let (queue, verdicts, departures) = (queue.clone(), verdicts.clone(), departures.clone());
        workers.spawn(async move {
            loop {
                let next = queue.lock().expect("no panic").pop_front();
                let Some(record) = next else { return };
                let world = World::new().await;
                one(&world, &record, &verdicts, &departures).await;
                world.end().await;
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.expect("no panic");
    }
}

async fn on_one_node(records: Vec<Json>, at_once: usize, verdicts: Verdicts, departures: Arc<Departures>) {
    if records.is_empty() {
        return;
    }
    let world = Arc::new(World::new().await);
    let queue = Arc::new(Mutex::new(VecDeque::from(records)));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..at_once {
        let (queue, verdicts, departures, world) = (queue.clone(), verdicts.clone(), departures.clone(), world.clone());
        workers.spawn(async move {
            loop {
                let next = queue.lock().expect("no panic").pop_front();
                let Some(record) = next else { return };
                one(&world, &record, &verdicts, &departures).await;
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.expect("no panic");
    }
    if let Ok(world) = Arc::try_unwrap(world).map_err(|_| ()) {
        world.end().await;
    }
}

/// Shares by group, and whether each is over its floor (`floors`), or all together are (`sample`).
fn report(verdicts: &[Verdict], floors: bool, sample: bool) -> ExitCode {
    let mut groups: BTreeMap<&str, (usize, usize, BTreeMap<Aspect, usize>)> = BTreeMap::new();
    for verdict in verdicts {
        let entry = groups.entry(&verdict.group).or_default();
        entry.0 += 1;
        entry.1 += usize::from(verdict.differences.is_empty());
        let aspects: std::collections::BTreeSet<Aspect> = verdict.differences.iter().map(|(a, _)| *a).collect();
        aspects.into_iter().for_each(|a| *entry.2.entry(a).or_default() += 1);
    }
    let mut failed = false;
    for (group, (count, agree, aspects)) in &groups {
        let share = agree * 100 / count;
        let shown: Vec<String> = aspects.iter().map(|(a, n)| format!("{} {n}", a.name())).collect();
        println!("{group}: {agree} of {count} agree ({share} %); differ: {}", shown.join(", "));
        let floor = FLOORS.iter().find(|(g, _)| g == group).map_or(0, |(_, floor)| *floor);
        if floors && share < floor {
            println!("{group}: {floor} % are required");
            failed = true;
        }
    }
    let agree = verdicts.iter().filter(|v| v.differences.is_empty()).count();
    if sample && agree * 100 < verdicts.len() * FLOOR_OF_SAMPLE {
        println!("{FLOOR_OF_SAMPLE} % of all are required");
        failed = true;
    }
    println!("{agree} of {} agree", verdicts.len());
    println!("test result: {}. {} scenarios", if failed { "FAILED" } else { "ok" }, verdicts.len());
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
