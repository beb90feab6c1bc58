//! The examples of StatefulSets, Jobs, CronJobs and DaemonSets on real Podman, as their files have them but for the
//! name of the image.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;
use wl::runtime::{Container, ContainerState};

use crate::busybox::{example, world};
use crate::world::World;

/// From when to when a container ran that has ended.
fn ran(container: &Container) -> Option<(Timestamp, Timestamp)> {
    match &container.state {
        ContainerState::Exited(exit) if container.name != "gateway" => Some((exit.started_at?, exit.finished_at)),
        _ => None,
    }
}

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().expect("a list");
    items.iter().filter_map(|item| Some(item.pointer("/metadata/name")?.as_str()?.to_owned())).collect()
}

async fn pods(world: &World) -> Vec<String> {
    names(&world.json(&["get", "pods"]).await)
}

async fn claims(world: &World) -> Vec<String> {
    names(&world.json(&["get", "pvc"]).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_keeps_its_data_over_restart_scale_update_and_deletion() {
    let Some(world) = world("sts").await else { return };
    let text = example("statefulset/db.yaml");
    let file = world.file("db.yaml", &text);
    let all = ["db-0", "db-1", "db-2"];
    world.wl(&["apply", "-f", &file]).await.ends(0).says(&["statefulset.apps/db created"]);
    assert_eq!(pods(&world).await, all);
    assert_eq!(claims(&world).await, ["data-db-0", "data-db-1", "data-db-2"]);
    world.wl(&["logs", "db-1"]).await.ends(0).says(&["db-1 runs first"]);

    world.wl(&["scale", "statefulset/db", "--replicas=1"]).await.ends(0);
    world.eventually("two pods go", || async { pods(&world).await == ["db-0"] }).await;
    assert_eq!(claims(&world).await.len(), 3, "claims are kept when it is scaled down");

    // Scaled up again, with another release: the data of before is there.
    world.file("db.yaml", &text.replace("value: first", "value: second"));
    world.wl(&["plan", "-f", &file]).await.ends(2).says(&["statefulset/db"]);
    world.wl(&["apply", "-f", &file]).await.ends(0);
    assert_eq!(pods(&world).await, all);
    for pod in all {
        let log = world.wl(&["logs", pod]).await.ends(0).out;
        assert_eq!(log, format!("{pod} runs first\n{pod} runs second\n"));
    }
    let history = world.wl(&["rollout", "history", "statefulset/db"]).await.ends(0);
    history.says(&["1", "2"]);

    // An update of what runs goes from the last pod to the first.
    world.file("db.yaml", &text.replace("value: first", "value: third"));
    world.wl(&["plan", "-f", &file]).await.ends(2).says(&["db-2, db-1, db-0"]);
    world.wl(&["apply", "-f", &file]).await.ends(0);
    world.wl(&["logs", "db-2"]).await.ends(0).says(&["db-2 runs first\ndb-2 runs second\ndb-2 runs third"]);

    // Deleted and applied again: still there. With another policy the claims go with the set.
    world.wl(&["delete", "-f", &file]).await.ends(0);
    world.eventually("its pods are gone", || async { pods(&world).await.is_empty() }).await;
    assert_eq!(claims(&world).await.len(), 3, "claims are kept when it is deleted");
    world.file("db.yaml", &text.replace("whenDeleted: Retain", "whenDeleted: Delete"));
    world.wl(&["apply", "-f", &file]).await.ends(0);
    world.wl(&["logs", "db-0"]).await.ends(0).says(&["db-0 runs third\ndb-0 runs first"]);
    world.wl(&["delete", "-f", &file]).await.ends(0);
    world.eventually("its claims are gone", || async { claims(&world).await.is_empty() }).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_parts_of_a_job_are_done_three_at_a_time() {
    let Some(world) = world("job").await else { return };
    let file = world.file("parts.yaml", &example("job/parts.yaml"));
    world.wl(&["apply", "-f", &file]).await.ends(0).says(&["job.batch/parts created"]);
    // By Podman's own times: who looks at one container after the other sees some that never ran at once.
    let times: Vec<(Timestamp, Timestamp)> =
        world.sandboxes().await.iter().flat_map(|s| &s.containers).filter_map(ran).collect();
    assert_eq!(times.len(), 10);
    let at_once = |at: Timestamp| times.iter().filter(|(from, to)| (*from..*to).contains(&at)).count();
    let most = times.iter().map(|(from, _)| at_once(*from)).max();
    assert!(most <= Some(3), "{most:?} run at once: {times:?}");
    let job = world.json(&["get", "job", "parts"]).await;
    assert_eq!((&job["status"]["succeeded"], &job["status"]["completedIndexes"]), (&10.into(), &"0-9".into()));
    let mut said = BTreeSet::new();
    for pod in pods(&world).await {
        said.insert(world.wl(&["logs", &pod]).await.ends(0).out);
    }
    let wanted: BTreeSet<String> = (0..10).map(|n| format!("part {n} of parts-{n}\n")).collect();
    assert_eq!(said, wanted);
    world.wl(&["apply", "-f", &file]).await.ends(0).says(&["unchanged"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_job_runs_when_the_minute_is_full() {
    let Some(world) = world("cron").await else { return };
    let file = world.file("minute.yaml", &example("cronjob/minute.yaml"));
    world.wl(&["plan", "-f", &file]).await.ends(2).says(&["next run"]);
    world.wl(&["apply", "-f", &file]).await.ends(0).says(&["cronjob.batch/minute created"]);
    let done = || async {
        let jobs = world.json(&["get", "jobs"]).await;
        let jobs = jobs["items"].as_array().cloned().unwrap_or_default();
        jobs.iter().any(|job| job["status"]["succeeded"] == 1)
    };
    world.eventually("a Job has ended", done).await;
    let cron = world.json(&["get", "cronjob", "minute"]).await;
    let last = cron["status"]["lastScheduleTime"].as_str().expect("a last run").to_owned();
    assert!(last.ends_with(":00Z"), "{last}");
    let pod = pods(&world).await.remove(0);
    world.wl(&["logs", &pod]).await.ends(0).says(&[&format!("it is {}", &last[11..16])]);
    // Jobs are named by their minute, and the last run is known to the next watch.
    let minute = pod.split('-').nth(1).and_then(|text| text.parse::<i64>().ok()).expect("a minute");
    let at = Timestamp::from_second(minute * 60).expect("a time").to_string();
    assert_eq!(at, last);
    world.wl(&["watch", "stop"]).await.ends(0);
    let kept = world.json(&["get", "cronjob", "minute"]).await;
    assert!(kept["status"]["lastScheduleTime"].as_str().is_some_and(|kept| kept >= last.as_str()));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_set_is_updated_and_taken_back() {
    let Some(world) = world("daemon").await else { return };
    let text = example("daemonset/agent.yaml");
    let file = world.file("agent.yaml", &text);
    world.wl(&["apply", "-f", &file]).await.ends(0).says(&["daemonset.apps/agent created"]);
    let first = pods(&world).await;
    assert_eq!(first.len(), 1);
    world.wl(&["logs", &first[0]]).await.ends(0).says(&["quiet"]);
    world.file("agent.yaml", &text.replace("value: quiet", "value: loud"));
    world.wl(&["plan", "-f", &file]).await.ends(2).says(&["rolls 1 pod", "0 missing"]);
    world.wl(&["apply", "-f", &file]).await.ends(0);
    let replaced = |old: Vec<String>| {
        let world = &world;
        move || {
            let old = old.clone();
            async move {
                let now = pods(world).await;
                now.len() == 1 && now != old
            }
        }
    };
    world.eventually("the new pod alone is there", replaced(first.clone())).await;
    let second = pods(&world).await;
    world.wl(&["logs", &second[0]]).await.ends(0).says(&["loud"]);
    world.wl(&["rollout", "history", "daemonset/agent"]).await.ends(0).says(&["1", "2"]);
    world.wl(&["rollout", "undo", "daemonset/agent", "--to-revision=1"]).await.ends(0).says(&["rolled back"]);
    world.wl(&["rollout", "status", "daemonset/agent"]).await.ends(0);
    world.eventually("the first release is back", replaced(second)).await;
    let third = pods(&world).await;
    world.wl(&["logs", &third[0]]).await.ends(0).says(&["quiet"]);
    world.end().await;
}

/// A pod that writes its name into a claim's volume and one of its own, and says what it found there.
const KEEPER: &str = r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: keeper}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: keeper
    image: localhost/wl-toolbox:1
    command: [sh, -c, "echo kept:$(ls /data) own:$(ls /own); touch /data/old /own/old; exec sleep 100000"]
    volumeMounts: [{name: data, mountPath: /data}, {name: own, mountPath: /own}]
  volumes:
  - {name: data, persistentVolumeClaim: {claimName: data}}
  - name: own
    ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_claim_holds_goes_when_asked_for_and_a_pods_own_volume_with_the_pod() {
    let Some(world) = World::new("volumes").await else { return };
    let file = world.file("keeper.yaml", KEEPER);
    let volumes = || async { world.hand().await.volumes().await.expect("volumes") };
    let has = |volumes: &[String], end: &str| volumes.iter().any(|name| name.ends_with(end));
    let finds = async |expected: &str| {
        world.wl(&["apply", "-f", &file]).await.ends(0);
        assert_eq!(world.wl(&["logs", "keeper"]).await.ends(0).out, expected);
    };
    finds("kept: own:\n").await;
    assert_eq!(claims(&world).await, ["data", "keeper-own"]);
    assert_eq!(volumes().await.len(), 2);

    world.wl(&["delete", "-f", &file]).await.ends(0);
    world.eventually("its own volume is gone", || async { !has(&volumes().await, "keeper-own") }).await;
    assert!(has(&volumes().await, "default-data"), "what a claim holds stays unasked");
    finds("kept:old own:\n").await;

    world.wl(&["delete", "-f", &file, "--volumes"]).await.ends(0);
    assert!(!has(&volumes().await, "default-data"), "it is gone when the command ends");
    assert_eq!(names(&world.json(&["get", "pv"]).await), [""; 0]);
    finds("kept: own:\n").await;
    world.end().await;
}
