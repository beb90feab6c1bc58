//! The controllers against what Kubernetes' own wrote for the same inputs: every recorded case is run in
//! a closed loop with a pretend kubelet, and held against the recording.
#![cfg(feature = "internals")]

mod api;
mod cluster;
mod collection;
mod compare;
mod jobs;
mod kubelet;
mod reduce;
mod replay;
mod workloads;

use std::io::Read;

use serde_json::Value as Json;

fn cases(group: &str) -> Vec<Json> {
    let packed = std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/controllers.jsonl.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    let cases = text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    cases.filter(|case| case["group"] == group).collect()
}

/// Runs the cases of a group; at least so many percent must agree in the end, in the decisions, in the
/// states of the status, and in the events.
fn replay(group: &str, floors: [usize; 4]) {
    let only = std::env::var("WL_CASE").ok();
    let mut agreed = [0; 5];
    let mut count = 0;
    for case in cases(group) {
        let id = case["id"].as_str().unwrap();
        if only.as_deref().is_some_and(|only| !id.contains(only)) {
            continue;
        }
        count += 1;
        let verdict = replay::run(&case);
        let parts = [&verdict.end, &verdict.decisions, &verdict.status, &verdict.events];
        for (at, part) in parts.iter().enumerate() {
            agreed[at] += usize::from(part.is_none());
        }
        agreed[4] += usize::from(verdict.agrees());
        for (name, part) in ["end", "decisions", "status", "events"].iter().zip(parts) {
            if let Some(difference) = part {
                println!("{id}: {name} differs: {difference}");
            }
        }
    }
    let share = |n: usize| n * 100 / count.max(1);
    println!(
        "{group}: of {count} cases agree: end {}, decisions {}, status {}, events {}, all {}",
        agreed[0], agreed[1], agreed[2], agreed[3], agreed[4]
    );
    if only.is_none() {
        for at in 0..4 {
            assert!(
                share(agreed[at]) >= floors[at],
                "{group}: {} % agree, {} % are required",
                share(agreed[at]),
                floors[at]
            );
        }
    }
}

#[test]
fn deployments_are_rolled_out_as_recorded() {
    replay("deployment", [98, 98, 84, 98]);
}

#[test]
fn replica_sets_are_filled_as_recorded() {
    replay("replicaset", [100, 100, 100, 100]);
}

#[test]
fn replication_controllers_are_filled_as_recorded() {
    replay("replicationcontroller", [100, 100, 100, 100]);
}

#[test]
fn jobs_run_to_their_end_as_recorded() {
    replay("job", [91, 100, 86, 95]);
}

#[test]
fn cron_jobs_start_as_recorded() {
    replay("cronjob", [100, 100, 100, 73]);
}

#[test]
fn stateful_sets_keep_their_order_as_recorded() {
    replay("statefulset", [100, 96, 96, 90]);
}

#[test]
fn daemon_sets_cover_their_nodes_as_recorded() {
    replay("daemonset", [100, 100, 100, 100]);
}

#[test]
fn garbage_is_collected_as_recorded() {
    replay("gc", [100, 100, 100, 100]);
}

#[test]
fn services_know_their_pods_as_recorded() {
    replay("service", [97, 97, 97, 97]);
}

#[test]
fn budgets_are_kept_as_recorded() {
    replay("poddisruptionbudget", [97, 97, 97, 97]);
}

#[test]
fn namespaces_end_as_recorded() {
    replay("namespace", [97, 97, 97, 97]);
}
