//! What holds of every Job and CronJob, whatever their pods do and whichever writes fail.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use wl::api::{Key, Object, Random, Status};
use wl::controllers::Write;

use crate::api::{Dice, resource_of};
use crate::cluster::Cluster;

/// A Job of any shape, and how the pods of its owner end one after the other.
fn any_job() -> impl Strategy<Value = (Json, Json)> {
    let shape = (1..6i64, 1..5i64, 0..4i64, any::<bool>(), proptest::option::of(0..3i64), any::<bool>());
    (shape, proptest::collection::vec((1..4i64, any::<bool>()), 0..12)).prop_map(|(shape, ends)| {
        let (completions, parallelism, limit, indexed, per_index, only_failed) = shape;
        let mut spec = json!({
            "completions": completions, "parallelism": parallelism, "backoffLimit": limit,
            "completionMode": if indexed { "Indexed" } else { "NonIndexed" },
            "podReplacementPolicy": if only_failed { "Failed" } else { "TerminatingOrFailed" },
            "template": {"metadata": {}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}},
        });
        if let Some(per_index) = per_index.filter(|_| indexed) {
            spec["backoffLimitPerIndex"] = json!(per_index);
            spec.as_object_mut().unwrap().remove("backoffLimit");
        }
        let rules: Vec<Json> = ends
            .iter()
            .enumerate()
            .map(|(n, (after, fails))| {
                json!({"when": {"nth": n + 1}, "life": {"exit_after": after, "exit_code": i64::from(*fails)}})
            })
            .collect();
        (spec, json!({"default": {"ready_after": 0.4, "exit_after": 1, "exit_code": 0}, "rules": rules}))
    })
}

fn cluster(life: Json, start: Timestamp) -> Cluster {
    let mut cluster = Cluster::new("space", life, start);
    cluster.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "space"}}));
    cluster
}

fn pods(cluster: &Cluster) -> Vec<&Object> {
    cluster.api.state.in_namespace(&resource_of("Pod"), "space").map(AsRef::as_ref).collect()
}

fn job(cluster: &Cluster) -> Object {
    cluster.api.get(&Key::new(resource_of("Job"), "space", "w")).unwrap()
}

fn is_over(job: &Object) -> bool {
    let conditions = job.at("/status/conditions").and_then(Json::as_array).cloned().unwrap_or_default();
    conditions.iter().any(|c| c["status"] == "True" && (c["type"] == "Complete" || c["type"] == "Failed"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_job_ends_and_counts_each_pod_once((spec, life) in any_job(), seed in any::<u64>(), faults in 0..30u64) {
        let mut cluster = cluster(life, "2026-01-01T00:00:00Z".parse().unwrap());
        let mut dice = Dice(seed);
        cluster.refuse = Box::new(move |write| {
            let fails = !matches!(write, Write::Event(_)) && dice.next_u64() % 100 < faults;
            fails.then(|| Status::new(500, "InternalError", "the disk is full"))
        });
        let parallelism = spec["parallelism"].as_u64().unwrap() as usize;
        cluster.put(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "w", "namespace": "space"}, "spec": spec}));
        let mut most = 0;
        let end = cluster.api.now + SignedDuration::from_hours(3);
        cluster.run_until(end, &mut |cluster| {
            let active = |pod: &&&Object| !pod.is_deleting() && !matches!(pod.str_at("/status/phase"), Some("Succeeded" | "Failed"));
            most = most.max(pods(cluster).iter().filter(active).count());
            is_over(&job(cluster))
        });
        prop_assert!(most <= parallelism, "{most} pods at once, {parallelism} are allowed");
        let job = job(&cluster);
        prop_assert!(is_over(&job), "never over: {}", job.json());
        let made = cluster.trace.iter().filter(|entry| entry.verb == "create" && entry.kind == "Pod").count() as i64;
        let counted = job.i64_at("/status/succeeded").unwrap_or(0) + job.i64_at("/status/failed").unwrap_or(0);
        prop_assert_eq!(made, counted, "each pod counts once: {}", job.json());
        prop_assert!(pods(&cluster).iter().all(|pod| pod.finalizers().next().is_none()), "a pod is still held");
        let uncounted = job.at("/status/uncountedTerminatedPods").cloned().unwrap_or(json!({}));
        prop_assert_eq!(uncounted, json!({}));
        let writes = cluster.trace.len();
        cluster.refuse = Box::new(|_| None);
        cluster.wait(3600.0);
        prop_assert_eq!(writes, cluster.trace.len(), "something was written after the end");
    }
}

/// The starts of a CronJob in a year, as its Jobs tell them, in local time.
fn starts_of_a_year(zone: &str, schedule: &str) -> Vec<String> {
    let mut cluster = cluster(
        json!({"default": {"start_after": 0.3, "exit_after": 1, "exit_code": 0}}),
        "2026-01-01T00:00:00Z".parse().unwrap(),
    );
    cluster.put(json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c", "namespace": "space"},
        "spec": {
            "schedule": schedule, "timeZone": zone, "concurrencyPolicy": "Allow", "suspend": false,
            "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 1,
            "jobTemplate": {"metadata": {}, "spec": {"template": {"metadata": {}, "spec": {
                "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}},
        },
    }));
    cluster.wait(365.0 * 86400.0);
    let made = cluster.trace.iter().filter(|entry| entry.verb == "create" && entry.kind == "Job");
    let zone = TimeZone::get(zone).unwrap();
    made.map(|entry| {
        let minutes: i64 = entry.name.rsplit('-').next().unwrap().parse().unwrap();
        Timestamp::from_second(minutes * 60).unwrap().to_zoned(zone.clone()).strftime("%m-%d %H:%M %z").to_string()
    })
    .collect()
}

/// Source of the rules: robfig/cron v3: an hour that is left out has no start, one that comes twice has two.
#[test]
fn a_year_of_starts_keeps_to_the_clock_of_its_zone() {
    let days = |starts: &[String], day: &str| starts.iter().filter(|s| s.starts_with(day)).count();
    let berlin = starts_of_a_year("Europe/Berlin", "30 2 * * *");
    assert_eq!((berlin.len(), days(&berlin, "03-29"), days(&berlin, "10-25")), (365, 0, 2));
    let new_york = starts_of_a_year("America/New_York", "30 1 * * *");
    assert_eq!((new_york.len(), days(&new_york, "03-08"), days(&new_york, "11-01")), (366, 1, 2));
    let sydney = starts_of_a_year("Australia/Sydney", "30 2 * * *");
    assert_eq!((sydney.len(), days(&sydney, "10-04"), days(&sydney, "04-05")), (365, 0, 2));
    let kolkata = starts_of_a_year("Asia/Kolkata", "30 2 * * *");
    assert_eq!(kolkata.len(), 365);
    // Half an hour is left out, and comes twice; steps of a whole hour lead past the second, too.
    let howe = starts_of_a_year("Australia/Lord_Howe", "15 2 * * *");
    assert_eq!((howe.len(), days(&howe, "10-04"), days(&howe, "04-05")), (363, 0, 0));
    assert!(berlin.iter().all(|start| start.contains("02:30")));
}
