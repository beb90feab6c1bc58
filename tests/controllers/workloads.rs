//! What holds of every Deployment, ReplicaSet, StatefulSet and DaemonSet, whatever is changed when and
//! whichever writes fail.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use wl::api::{Key, Object, Random, Status};
use wl::controllers::Write;

use crate::api::{Dice, resource_of};
use crate::cluster::Cluster;

/// What a user does, and how long after the last thing.
#[derive(Clone, Debug)]
struct Step {
    after: f64,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Image(u8),
    Replicas(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let change = prop_oneof![(2..5u8).prop_map(Change::Image), (0..7i64).prop_map(Change::Replicas)];
    ((0..60u32), change).prop_map(|(tenths, change)| Step { after: f64::from(tenths) / 10.0, change })
}

fn new_image() -> impl Strategy<Value = Step> {
    ((0..60u32), 2..5u8)
        .prop_map(|(tenths, image)| Step { after: f64::from(tenths) / 10.0, change: Change::Image(image) })
}

/// Pods that become ready some time after they have started, each in its own time.
fn life(slow: u64) -> Json {
    let rules: Vec<Json> = (1..40u64)
        .map(|n| json!({"when": {"n": n}, "life": {"ready_after": 0.4 + ((n * slow) % 7) as f64 / 2.0}}))
        .collect();
    json!({"default": {"ready_after": 1.0, "grace": 1.0}, "rules": rules})
}

fn cluster(life: Json, faults: u64, seed: u64) -> Cluster {
    let mut cluster = Cluster::new("space", life, "2026-01-01T00:00:00Z".parse().unwrap());
    cluster.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "space"}}));
    let mut dice = Dice(seed);
    cluster.refuse = Box::new(move |write| {
        let fails = !matches!(write, Write::Event(_)) && dice.next_u64() % 100 < faults;
        fails.then(|| Status::new(500, "InternalError", "the disk is full"))
    });
    cluster
}

fn template() -> Json {
    json!({"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}})
}

fn workload(kind: &str, spec: Json) -> Json {
    let mut spec = spec;
    spec["selector"] = json!({"matchLabels": {"app": "w"}});
    spec["template"] = template();
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "w", "namespace": "space"}, "spec": spec})
}

fn key(kind: &str) -> Key {
    Key::new(resource_of(kind), "space", "w")
}

fn change(cluster: &mut Cluster, kind: &str, change: &Change) {
    let patch = match change {
        Change::Image(n) => {
            let mut template = template();
            template["spec"]["containers"][0]["image"] = json!(format!("i:{n}"));
            json!({"spec": {"template": template}})
        }
        Change::Replicas(n) => json!({"spec": {"replicas": n}}),
    };
    let done = cluster.api.patch(&key(kind), &patch).unwrap();
    cluster.written(&done);
}

fn get(cluster: &Cluster, kind: &str) -> Object {
    cluster.api.get(&key(kind)).unwrap()
}

fn all<'c>(cluster: &'c Cluster, kind: &str) -> Vec<&'c Object> {
    cluster.api.state.in_namespace(&resource_of(kind), "space").map(AsRef::as_ref).collect()
}

fn live(cluster: &Cluster) -> Vec<&Object> {
    all(cluster, "Pod").into_iter().filter(|pod| !pod.is_deleting()).collect()
}

fn is_ready(pod: &Object) -> bool {
    let conditions = pod.at("/status/conditions").and_then(Json::as_array).into_iter().flatten();
    conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn ready(cluster: &Cluster) -> usize {
    live(cluster).into_iter().filter(|pod| is_ready(pod)).count()
}

fn image(object: &Object) -> String {
    let pointer =
        if object.kind() == "Pod" { "/spec/containers/0/image" } else { "/spec/template/spec/containers/0/image" };
    object.str_at(pointer).unwrap().to_owned()
}

/// Runs for so long and looks at every moment at which nothing is left to decide.
fn run(cluster: &mut Cluster, seconds: f64, mut look: impl FnMut(&Cluster)) {
    let end = cluster.api.now + SignedDuration::from_micros((seconds * 1e6) as i64);
    cluster.run_until(end, &mut |cluster| {
        look(cluster);
        false
    });
}

/// Once no write fails any more, everything is done after a while, and then nothing is written.
fn ends_quietly(cluster: &mut Cluster, mut look: impl FnMut(&Cluster)) {
    cluster.refuse = Box::new(|_| None);
    run(cluster, 3600.0, &mut look);
    let writes = cluster.trace.len();
    run(cluster, 3600.0, look);
    let more: Vec<String> =
        cluster.trace[writes..].iter().map(|e| format!("{} {} {} {}", e.by, e.verb, e.kind, e.name)).collect();
    assert!(more.is_empty(), "written after the end: {more:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// A ReplicaSet never has more pods than wanted, and deletes no more than it is told to.
    #[test]
    fn a_replica_set_keeps_to_its_number(
        replicas in 0..7i64, steps in proptest::collection::vec(step(), 0..5), slow in 0..7u64,
        faults in 0..30u64, seed in any::<u64>(),
    ) {
        let mut cluster = cluster(life(slow), faults, seed);
        cluster.put(workload("ReplicaSet", json!({"replicas": replicas})));
        let (mut most, mut surplus, mut last) = (replicas, 0, replicas);
        let look = |cluster: &Cluster, most: i64| assert!(live(cluster).len() as i64 <= most, "more than {most}");
        for step in &steps {
            run(&mut cluster, step.after, |cluster| look(cluster, most));
            if let Change::Replicas(n) = step.change {
                most = most.max(n);
                surplus += (last - n).max(0);
                last = n;
            }
            change(&mut cluster, "ReplicaSet", &step.change);
        }
        ends_quietly(&mut cluster, |cluster| look(cluster, most));
        prop_assert_eq!(live(&cluster).len() as i64, last);
        let deleted = cluster.trace.iter().filter(|e| e.verb == "delete" && e.kind == "Pod").count() as i64;
        prop_assert!(deleted <= surplus, "{} pods were deleted, {} were too many", deleted, surplus);
        let status = get(&cluster, "ReplicaSet");
        prop_assert_eq!(status.i64_at("/status/readyReplicas").unwrap_or(0), last);
    }

    /// A rollout keeps under its ceiling and over its floor, whatever new image comes in the middle of it.
    #[test]
    fn a_rollout_keeps_its_promises(
        replicas in 1..7i64, surge in 0..4i64, unavailable in 0..4i64,
        steps in proptest::collection::vec(new_image(), 1..4), slow in 0..7u64, faults in 0..30u64, seed in any::<u64>(),
    ) {
        let surge = if surge + unavailable == 0 { 1 } else { surge };
        let mut cluster = cluster(life(slow), 0, seed);
        cluster.put(workload("Deployment", json!({
            "replicas": replicas, "progressDeadlineSeconds": 600, "revisionHistoryLimit": 10,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
        })));
        run(&mut cluster, 60.0, |_| ());
        prop_assert_eq!(ready(&cluster) as i64, replicas);
        let mut dice = Dice(seed);
        cluster.refuse = Box::new(move |write| {
            let fails = !matches!(write, Write::Event(_)) && dice.next_u64() % 100 < faults;
            fails.then(|| Status::new(500, "InternalError", "the disk is full"))
        });
        let look = |cluster: &Cluster| {
            let wanted: i64 = all(cluster, "ReplicaSet").iter().map(|set| set.i64_at("/spec/replicas").unwrap_or(0)).sum();
            assert!(wanted <= replicas + surge, "{wanted} pods are wanted of {replicas} + {surge}");
            let ready = ready(cluster) as i64;
            assert!(ready >= replicas - unavailable, "{ready} pods are ready of {replicas} - {unavailable}");
        };
        for step in &steps {
            run(&mut cluster, step.after, look);
            change(&mut cluster, "Deployment", &step.change);
        }
        ends_quietly(&mut cluster, look);
        let deployment = get(&cluster, "Deployment");
        let images: BTreeSet<String> = live(&cluster).into_iter().map(image).collect();
        prop_assert_eq!(images, BTreeSet::from([image(&deployment)]));
        prop_assert_eq!(deployment.i64_at("/status/updatedReplicas"), Some(replicas));
        prop_assert_eq!(deployment.i64_at("/status/availableReplicas"), Some(replicas));
        prop_assert_eq!(deployment.i64_at("/status/observedGeneration"), Some(deployment.generation()));
    }

    /// A Deployment arrives wherever it is sent in mid-rollout, and never over its ceiling.
    #[test]
    fn a_deployment_arrives_whatever_comes_between(
        replicas in 0..7i64, recreate in any::<bool>(), steps in proptest::collection::vec(step(), 1..5),
        slow in 0..7u64, faults in 0..30u64, seed in any::<u64>(),
    ) {
        let mut cluster = cluster(life(slow), faults, seed);
        let strategy = if recreate {
            json!({"type": "Recreate"})
        } else {
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}})
        };
        cluster.put(workload("Deployment", json!({
            "replicas": replicas, "progressDeadlineSeconds": 600, "revisionHistoryLimit": 2, "strategy": strategy,
        })));
        let mut last = replicas;
        let look = |cluster: &Cluster| {
            let images: BTreeSet<String> = all(cluster, "Pod").into_iter().map(image).collect();
            assert!(!recreate || images.len() <= 1, "old and new pods at once: {images:?}");
        };
        for step in &steps {
            run(&mut cluster, step.after, look);
            if let Change::Replicas(n) = step.change {
                last = n;
            }
            change(&mut cluster, "Deployment", &step.change);
        }
        ends_quietly(&mut cluster, look);
        let deployment = get(&cluster, "Deployment");
        prop_assert_eq!(live(&cluster).len() as i64, last);
        prop_assert!(live(&cluster).into_iter().all(|pod| image(pod) == image(&deployment)));
        let sets = all(&cluster, "ReplicaSet");
        prop_assert!(sets.len() <= 3, "the limit of old ReplicaSets is two, {} are there", sets.len());
        let with_pods = sets.iter().filter(|set| set.i64_at("/spec/replicas").unwrap_or(0) > 0).count();
        prop_assert!(with_pods <= 1);
    }
}

fn ordinal(pod: &Object) -> i64 {
    pod.name().rsplit('-').next().unwrap().parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Pods of a StatefulSet come one after the other from the first and go from the last.
    #[test]
    fn a_stateful_set_comes_and_goes_in_order(
        replicas in 0..5i64, counts in proptest::collection::vec((0..80u32, 0..6i64), 0..4), slow in 0..7u64,
        faults in 0..30u64, seed in any::<u64>(),
    ) {
        let mut cluster = cluster(life(slow), faults, seed);
        cluster.put(workload("StatefulSet", json!({
            "replicas": replicas, "serviceName": "w", "podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        })));
        let mut last = replicas;
        let look = |cluster: &Cluster| {
            let ordinals: Vec<i64> = all(cluster, "Pod").into_iter().map(ordinal).collect();
            let prefix: Vec<i64> = (0..ordinals.len() as i64).collect();
            assert!(ordinals == prefix, "holes in {ordinals:?}");
            let unsettled = all(cluster, "Pod").into_iter().filter(|pod| pod.is_deleting() || !is_ready(pod)).count();
            assert!(unsettled <= 1, "{unsettled} pods at once come or go");
        };
        for (tenths, count) in &counts {
            run(&mut cluster, f64::from(*tenths) / 10.0, look);
            last = *count;
            change(&mut cluster, "StatefulSet", &Change::Replicas(*count));
        }
        ends_quietly(&mut cluster, look);
        prop_assert_eq!(live(&cluster).len() as i64, last);
    }

    /// An update takes one pod at a time from the last down to the partition, and leaves the others.
    #[test]
    fn a_stateful_set_is_updated_from_its_end(
        replicas in 1..6i64, partition in 0..4i64, slow in 0..7u64, faults in 0..30u64, seed in any::<u64>(),
    ) {
        let mut cluster = cluster(life(slow), 0, seed);
        cluster.put(workload("StatefulSet", json!({
            "replicas": replicas, "serviceName": "w", "podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}},
        })));
        run(&mut cluster, 60.0, |_| ());
        prop_assert_eq!(ready(&cluster) as i64, replicas);
        let mut dice = Dice(seed);
        cluster.refuse = Box::new(move |write| {
            let fails = !matches!(write, Write::Event(_)) && dice.next_u64() % 100 < faults;
            fails.then(|| Status::new(500, "InternalError", "the disk is full"))
        });
        change(&mut cluster, "StatefulSet", &Change::Image(2));
        ends_quietly(&mut cluster, |cluster| {
            assert!(ready(cluster) as i64 >= replicas - 1, "more than one pod is missing");
            let updated: Vec<i64> =
                live(cluster).into_iter().filter(|pod| image(pod) == "i:2").map(ordinal).collect();
            assert!(updated.iter().all(|n| *n >= partition), "below the partition: {updated:?}");
            // Those above the lowest that is updated are updated too.
            let from = updated.iter().min().copied().unwrap_or(replicas);
            assert!(updated.len() as i64 == replicas - from, "not from the end: {updated:?}");
        });
        let updated = live(&cluster).into_iter().filter(|pod| image(pod) == "i:2").count() as i64;
        prop_assert_eq!(updated, (replicas - partition).max(0));
        prop_assert_eq!(ready(&cluster) as i64, replicas);
    }

    /// A DaemonSet has one pod on each node, and an update leaves no more nodes without one than allowed.
    #[test]
    fn a_daemon_set_covers_its_nodes(
        nodes in 1..5usize, surge in 0..3i64, unavailable in 0..3i64,
        steps in proptest::collection::vec(new_image(), 1..4), slow in 0..7u64, faults in 0..30u64, seed in any::<u64>(),
    ) {
        // One of the two is to be more than nothing, and only one.
        let (surge, unavailable) = if surge > 0 { (surge, 0) } else { (0, unavailable.max(1)) };
        let mut cluster = cluster(life(slow), 0, seed);
        for n in 2..=nodes {
            cluster.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("n{n}")},
                "status": {"allocatable": {"cpu": "640", "memory": "640Gi", "pods": "10000"},
                    "conditions": [{"type": "Ready", "status": "True"}]}}));
        }
        cluster.put(workload("DaemonSet", json!({
            "revisionHistoryLimit": 10,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
        })));
        run(&mut cluster, 60.0, |_| ());
        prop_assert_eq!(ready(&cluster), nodes);
        let mut dice = Dice(seed);
        cluster.refuse = Box::new(move |write| {
            let fails = !matches!(write, Write::Event(_)) && dice.next_u64() % 100 < faults;
            fails.then(|| Status::new(500, "InternalError", "the disk is full"))
        });
        let look = |cluster: &Cluster| {
            let mut on: BTreeMap<String, (usize, usize)> = BTreeMap::new();
            for pod in live(cluster).into_iter().filter(|pod| !pod.str_at("/spec/nodeName").unwrap_or("").is_empty()) {
                let (pods, ready) = on.entry(pod.str_at("/spec/nodeName").unwrap().to_owned()).or_default();
                *pods += 1;
                *ready += usize::from(is_ready(pod));
            }
            let doubled = on.values().filter(|(pods, _)| *pods > 1).count() as i64;
            assert!(doubled <= surge, "{doubled} nodes have two pods, {surge} may");
            assert!(on.values().all(|(pods, _)| *pods <= 2));
            let covered = on.values().filter(|(_, ready)| *ready > 0).count() as i64;
            assert!(covered >= nodes as i64 - unavailable, "{covered} of {nodes} nodes are covered");
        };
        for step in &steps {
            run(&mut cluster, step.after, look);
            change(&mut cluster, "DaemonSet", &step.change);
        }
        ends_quietly(&mut cluster, look);
        let set = get(&cluster, "DaemonSet");
        prop_assert_eq!(live(&cluster).len(), nodes);
        prop_assert!(live(&cluster).into_iter().all(|pod| image(pod) == image(&set)));
        prop_assert_eq!(set.i64_at("/status/updatedNumberScheduled"), Some(nodes as i64));
    }
}
