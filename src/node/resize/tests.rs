use proptest::prelude::*;
use serde_json::json;

use super::amounts::Compute;
use super::*;
use crate::api::Json;
use crate::node::tests::Play;
use crate::node::NodeConfig;
use crate::runtime::{Machine, RuntimeErrorKind};

fn spec(resources: &Json, policy: &Json) -> Json {
    json!({"restartPolicy": "Always", "containers": [{
        "name": "c", "image": "i", "imagePullPolicy": "IfNotPresent", "resources": resources, "resizePolicy": policy,
    }]})
}

fn amounts(cpu: &str, memory: &str) -> Json {
    json!({"limits": {"cpu": cpu, "memory": memory}, "requests": {"cpu": cpu, "memory": memory}})
}

/// A pod that runs with 100m and 64Mi.
fn runs(policy: &Json) -> Play {
    let mut play = Play::new(spec(&amounts("100m", "64Mi"), policy));
    play.pod.metadata.generation = Some(1);
    play.run(5);
    play.events.clear();
    play.node.take_log();
    play
}

fn ask(play: &mut Play, resources: &Json, verdict: Verdict) {
    let spec = play.pod.spec.as_mut().unwrap();
    spec.containers[0].resources = serde_json::from_value(resources.clone()).unwrap();
    let generation = play.pod.metadata.generation.unwrap_or(0) + 1;
    play.pod.metadata.generation = Some(generation);
    if is_requested(&play.pod, &mut play.memory) {
        decided(&mut play.memory, verdict);
    }
}

fn shown(play: &Play) -> (Json, Json, i32) {
    let status = &play.pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0];
    (json!(status.resources), json!(status.allocated_resources), status.restart_count)
}

fn condition(play: &Play, kind: &str) -> Option<(String, String, Option<i64>)> {
    let all = play.pod.status.as_ref()?.conditions.as_ref()?;
    let found = all.iter().find(|c| c.type_ == kind)?;
    Some((found.reason.clone().unwrap_or_default(), found.message.clone().unwrap_or_default(), found.observed_generation))
}

#[test]
fn a_running_container_is_given_more_without_a_restart() {
    let mut play = runs(&json!(null));
    assert_eq!(shown(&play), (amounts("100m", "64Mi"), json!({"cpu": "100m", "memory": "64Mi"}), 0));
    ask(&mut play, &amounts("200m", "128Mi"), Verdict::Fits);
    play.run(5);
    assert_eq!(play.node.take_log(), ["update-sandbox p", "update p/c#0", "update-sandbox p"]);
    assert_eq!(shown(&play), (amounts("200m", "128Mi"), json!({"cpu": "200m", "memory": "128Mi"}), 0));
    let resources = r#"{"containers":[{"name":"c","resources":{"limits":{"cpu":"200m","memory":"128Mi"},"requests":{"cpu":"200m","memory":"128Mi"}}}],"generation":2}"#;
    assert_eq!(
        play.events,
        [
            format!("ResizeStarted Pod resize started: {resources}"),
            format!("ResizeCompleted Pod resize completed: {resources}")
        ]
    );
    assert_eq!(condition(&play, IN_PROGRESS), None);
    play.no_breach();
}

#[test]
fn the_pods_cgroup_shrinks_after_its_containers() {
    let mut play = runs(&json!(null));
    ask(&mut play, &amounts("50m", "32Mi"), Verdict::Fits);
    play.run(5);
    assert_eq!(play.node.take_log(), ["update p/c#0", "update-sandbox p"]);
    ask(&mut play, &json!({"limits": {"cpu": "50m", "memory": "32Mi"}, "requests": {"cpu": "50m", "memory": "16Mi"}}), Verdict::Fits);
    play.run(5);
    assert_eq!(play.node.take_log(), ["update-sandbox p"], "no kernel knows requests of memory");
    assert_eq!(shown(&play).0["requests"]["memory"], "16Mi");
}

#[test]
fn a_policy_starts_the_container_again_for_its_own_resource_alone() {
    let policy = json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
    let mut play = runs(&policy);
    ask(&mut play, &amounts("200m", "64Mi"), Verdict::Fits);
    play.run(5);
    assert_eq!(shown(&play).2, 0);
    ask(&mut play, &amounts("200m", "128Mi"), Verdict::Fits);
    play.run(30);
    assert_eq!(shown(&play), (amounts("200m", "128Mi"), json!({"cpu": "200m", "memory": "128Mi"}), 1));
    assert!(play.events.contains(&"Killing Container c resize requires restart".to_owned()), "{:?}", play.events);
    assert_eq!(play.count("ResizeCompleted"), 2);
    assert_eq!(condition(&play, IN_PROGRESS), None);
    play.no_breach();
}

#[test]
fn what_has_no_room_waits_and_says_so_once() {
    let mut play = runs(&json!(null));
    for _ in 0..3 {
        ask(&mut play, &amounts("4", "64Mi"), Verdict::Deferred("no room".into()));
        play.pod.metadata.generation = Some(2);
        play.run(5);
    }
    assert_eq!(condition(&play, PENDING), Some(("Deferred".into(), "no room".into(), Some(2))));
    assert_eq!(shown(&play), (amounts("100m", "64Mi"), json!({"cpu": "100m", "memory": "64Mi"}), 0));
    assert!(is_deferred(&play.memory));
    assert_eq!(play.count("ResizeDeferred Pod resize Deferred: {"), 1, "{:?}", play.events);
    assert!(play.events[0].ends_with(r#""generation":2,"error":"no room"}"#), "{:?}", play.events);
    // A container that starts again does so with what was promised.
    play.node.kill("p", "c", 1);
    play.run(30);
    assert_eq!(shown(&play), (amounts("100m", "64Mi"), json!({"cpu": "100m", "memory": "64Mi"}), 1));
    ask(&mut play, &amounts("100m", "64Mi"), Verdict::Fits);
    play.run(5);
    assert_eq!(condition(&play, PENDING), None, "what is asked for is what there is");
    assert_eq!(play.node.take_log().iter().filter(|l| l.starts_with("update")).count(), 0);
}

#[test]
fn a_new_process_knows_what_was_promised_and_what_is_under_way() {
    let mut play = runs(&json!(null));
    ask(&mut play, &amounts("4", "64Mi"), Verdict::Infeasible("never".into()));
    play.run(1);
    play.memory = PodMemory::default();
    play.run(5);
    assert_eq!(condition(&play, PENDING), Some(("Infeasible".into(), "never".into(), Some(2))));
    assert_eq!(shown(&play).0, amounts("100m", "64Mi"));

    play.node.refuse_next("update", RuntimeErrorKind::Refused, "in use");
    ask(&mut play, &amounts("200m", "32Mi"), Verdict::Fits);
    play.run(3);
    assert_eq!(condition(&play, IN_PROGRESS), Some(("Error".into(), "in use".into(), Some(3))));
    assert_eq!(shown(&play), (amounts("100m", "64Mi"), json!({"cpu": "200m", "memory": "32Mi"}), 0));
    play.memory = PodMemory::default();
    play.run(15);
    assert_eq!(condition(&play, IN_PROGRESS), None);
    assert_eq!(shown(&play).0, amounts("200m", "32Mi"));
    assert_eq!(play.count("ResizeError"), 1);
    play.no_breach();
}

#[test]
fn a_container_that_somebody_started_again_gets_its_limits_again() {
    let mut play = runs(&json!(null));
    ask(&mut play, &amounts("200m", "64Mi"), Verdict::Fits);
    play.run(5);
    play.node.take_log();
    // Another start than the one that the status tells of: what was changed since it was made is forgotten.
    let status = play.pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap();
    let running = status[0].state.as_mut().unwrap().running.as_mut().unwrap();
    running.started_at = Some(Time(Timestamp::UNIX_EPOCH));
    play.memory = PodMemory::default();
    play.run(5);
    assert!(play.node.take_log().contains(&"update p/c#0".to_owned()));
}

#[test]
fn room_is_judged_by_the_node_then_by_the_others() {
    let config = NodeConfig { allocatable_milli_cpu: 2000, allocatable_memory: 1 << 30, ..NodeConfig::default() };
    let machine = Machine::default();
    let has = |cpu: i64| crate::api::requests::Amounts::from([("cpu".to_owned(), cpu)]);
    let judged = |cpu: &str, before: i64, others: &[i64], machine: &Machine| {
        let pod = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
        let others: Vec<_> = others.iter().map(|cpu| has(*cpu)).collect();
        judge(&serde_json::from_value(pod).unwrap(), &has(before), &others, &config, machine)
    };
    assert_eq!(judged("1", 100, &[500, 500], &machine), Verdict::Fits);
    let text = "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000";
    assert_eq!(judged("1500m", 100, &[500, 500], &machine), Verdict::Deferred(text.into()));
    let text = "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000";
    assert_eq!(judged("3", 100, &[], &machine), Verdict::Infeasible(text.into()));
    assert_eq!(judged("900m", 1000, &[1900], &machine), Verdict::Fits, "less is always possible");
    let rootless = Machine { lacks_controllers: true, cgroup_version: 1, ..Machine::default() };
    assert!(matches!(judged("1", 100, &[], &rootless), Verdict::Infeasible(text) if text.contains("cgroup v1")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever is asked for one after the other, and whatever is forgotten between: in the end the container runs with what
    /// was promised last, which is what the status tells, and nothing is under way.
    #[test]
    fn what_is_promised_arrives(asked in prop::collection::vec((1..4u8, 1..4u8, 0..4u8, any::<bool>()), 1..6), restarts in any::<bool>()) {
        let policy = if restarts { json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]) } else { json!(null) };
        let mut play = runs(&policy);
        let mut last = amounts("100m", "64Mi");
        for (cpu, memory, what, forgets) in asked {
            let wanted = amounts(&format!("{cpu}00m"), &format!("{memory}0Mi"));
            match what {
                0 => ask(&mut play, &wanted, Verdict::Deferred("no".into())),
                1 => {
                    play.node.refuse_next("update", RuntimeErrorKind::Refused, "no");
                    ask(&mut play, &wanted, Verdict::Fits);
                    last = wanted;
                }
                _ => {
                    ask(&mut play, &wanted, Verdict::Fits);
                    last = wanted;
                }
            }
            play.run(i64::from(what));
            // A promise that a new process finds half kept is taken up with the limits that it finds.
            if forgets && condition(&play, IN_PROGRESS).is_none() {
                play.memory = PodMemory::default();
            }
        }
        play.run(60);
        let promised = last.clone();
        prop_assert_eq!(Compute::of(&serde_json::from_value(shown(&play).0).unwrap()), Compute::of(&serde_json::from_value(last).unwrap()));
        prop_assert_eq!(shown(&play).1, promised["requests"].clone());
        prop_assert_eq!(condition(&play, IN_PROGRESS), None);
        play.no_breach();
    }
}


