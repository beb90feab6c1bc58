//! Whose turn it is to be ended or started, and what is said of it, where several containers are concerned.

use super::super::probe::{self, Answer, Due, Kind};
use super::*;
use crate::runtime::RuntimeErrorKind;

/// A probe of the newest attempt of a container has answered.
fn answers(play: &mut Play, container: &str, kind: Kind, answer: &Answer) {
    let sandbox = wait(play.node.observe_pod("u")).unwrap().unwrap();
    let id = observed::latest(Some(&sandbox), container).unwrap().id.clone();
    // The counts are about this attempt from now on.
    let now = play.time();
    probe::due(&play.pod, &sandbox, &mut play.memory, now);
    let due = Due { container: container.into(), id, kind };
    let recorded = probe::record(&play.pod, &mut play.memory, &due, answer);
    play.note(recorded.events);
}

fn fails(play: &mut Play, container: &str, kind: Kind) {
    answers(play, container, kind, &Answer::Failure("no".into()));
}

fn probe_of(threshold: i32) -> Json {
    json!({"exec": {"command": ["x"]}, "failureThreshold": threshold, "periodSeconds": 3600})
}

/// A sidecar that is asked, and a main container.
fn asked_sidecar(probes: Json) -> Json {
    let mut sidecar = json!({"name": "s", "image": "side", "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always"});
    sidecar.as_object_mut().unwrap().extend(probes.as_object().unwrap().clone());
    json!({
        "restartPolicy": "Never", "initContainers": [sidecar],
        "containers": [{"name": "c", "image": "i", "imagePullPolicy": "IfNotPresent"}],
    })
}

#[test]
fn one_of_several_that_never_restart_is_ended_for_its_probe_alone() {
    let container = |name: &str| {
        json!({"name": name, "image": "i", "imagePullPolicy": "IfNotPresent",
            "livenessProbe": {"exec": {"command": ["x"]}, "failureThreshold": 1, "terminationGracePeriodSeconds": 3}})
    };
    let mut play = Play::new(json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 60,
        "containers": [container("a"), container("b")]}));
    play.node.behave("i", vec![Behaviour { ends_on_signal_after: None, ..Behaviour::default() }]);
    play.run(5);
    fails(&mut play, "a", Kind::Liveness);
    play.run(4);
    assert_eq!(play.count("Killing Container a failed liveness probe"), 1, "{:?}", play.events);
    assert_eq!(play.count("Killing Container a failed liveness probe, will be restarted"), 0);
    assert_eq!(play.seen.last().unwrap(), "Running a=Error(137) r0, b=running ready r0", "with the probe's grace");
    // The last one takes the pod with it.
    fails(&mut play, "b", Kind::Liveness);
    play.run(30);
    assert_eq!(play.count("Killing Stopping container b"), 1, "{:?}", play.events);
    assert!(play.seen.last().unwrap().starts_with("Running"), "with the pod's grace");
    play.run(40);
    assert_eq!(play.seen.last().unwrap(), "Failed a=Error(137) r0, b=Error(137) r0");
    play.no_breach();
}

#[test]
fn a_sidecar_whose_image_changes_starts_again_beside_main() {
    let mut play = Play::new(with_sidecar("Never"));
    play.node.has_image("side");
    play.node.has_image("new");
    play.run(10);
    play.pod.spec.as_mut().unwrap().init_containers.as_mut().unwrap()[0].image = Some("new".into());
    play.run(10);
    assert_eq!(play.count("Killing Init container s definition changed"), 1, "{:?}", play.events);
    assert_eq!(play.count("Killing Init container s definition changed, will be restarted"), 0);
    assert_eq!(play.seen.last().unwrap(), "Running s=running last 0 ready r1, c=running ready r0");
    play.no_breach();
}

#[test]
fn a_sidecar_that_has_not_started_yet_waits_for_its_probe_whatever_changes() {
    let mut play = Play::new(asked_sidecar(json!({"startupProbe": probe_of(1)})));
    play.node.has_image("side");
    play.node.has_image("new");
    play.run(10);
    play.pod.spec.as_mut().unwrap().init_containers.as_mut().unwrap()[0].image = Some("new".into());
    play.run(10);
    assert_eq!(play.count("Killing"), 0, "{:?}", play.events);
    fails(&mut play, "s", Kind::Startup);
    play.run(10);
    assert_eq!(play.count("Killing Init container s failed startup probe"), 1, "{:?}", play.events);
    answers(&mut play, "s", Kind::Startup, &Answer::Success);
    play.run(10);
    assert!(play.seen.last().unwrap().ends_with("c=running ready r0"), "{:?}", play.seen);
    play.no_breach();
}

#[test]
fn an_init_container_out_of_memory_has_failed_whatever_its_code() {
    for (policy, last) in [("Never", "Failed i1=OOMKilled(0)"), ("Always", "Pending i1=")] {
        let mut spec = one(policy);
        spec["initContainers"] = json!([{"name": "i1", "image": "bad", "imagePullPolicy": "IfNotPresent"}]);
        let mut play = Play::new(spec);
        play.node.has_image("bad");
        play.node.behave("bad", vec![Behaviour { out_of_memory: true, ..Behaviour::ends(1, 0) }]);
        play.run(20);
        assert!(play.seen.last().unwrap().starts_with(last), "{:?}", play.seen);
        assert_eq!(play.count("Started Started container c"), 0);
    }
}

#[test]
fn a_run_of_failures_goes_on_over_an_end_of_the_containers_own() {
    let mut spec = one("Always");
    spec["containers"][0]["livenessProbe"] = probe_of(3);
    let mut play = Play::new(spec);
    play.node.behave("i", vec![Behaviour::ends(5, 1), Behaviour::default()]);
    play.run(3);
    fails(&mut play, "c", Kind::Liveness);
    fails(&mut play, "c", Kind::Liveness);
    play.run(10);
    assert_eq!(play.seen.last().unwrap(), "Running c=running last 1 ready r1");
    fails(&mut play, "c", Kind::Liveness);
    play.run(1);
    assert_eq!(play.count("Killing Container c failed liveness probe, will be restarted"), 1, "{:?}", play.events);
    play.run(30);
    // After that they are counted anew.
    fails(&mut play, "c", Kind::Liveness);
    fails(&mut play, "c", Kind::Liveness);
    play.run(1);
    assert_eq!(play.count("Killing"), 1, "{:?}", play.events);
}

#[test]
fn of_init_containers_that_never_ran_the_first_is_told_of_in_the_end() {
    let mut spec = one("Always");
    spec["initContainers"] = json!([{"name": "i1", "image": "none", "imagePullPolicy": "Never"}, {"name": "i2", "image": "none", "imagePullPolicy": "Never"}]);
    let mut play = Play::new(spec);
    play.run(5);
    play.delete(5);
    play.run(20);
    let last = play.seen.last().unwrap();
    assert_eq!(last, "Failed i1=ContainerStatusUnknown(137) r0, i2=PodInitializing r0, c=PodInitializing r0");
}

#[test]
fn a_sysctl_that_is_forbidden_is_told_before_what_else_is_wrong() {
    let mut spec = one("Always");
    spec["securityContext"] = json!({"sysctls": [{"name": "kernel.sem", "value": "1"}]});
    spec["os"] = json!({"name": "windows"});
    let mut play = Play::new(spec);
    play.run(1);
    assert_eq!(play.events, ["SysctlForbidden forbidden sysctl: \"kernel.sem\" not allowlisted"]);
    let mut play = Play::new(one("Always"));
    play.pod.metadata.labels = Some([("kubernetes.io/os".to_owned(), "plan9".to_owned())].into());
    play.run(1);
    assert_eq!(play.count("PodOSSelectorNodeLabelDoesNotMatch Failed to admit pod as the `kubernetes.io/os` label"), 1, "{:?}", play.events);
    let mut spec = one("Always");
    spec["securityContext"] = json!({"appArmorProfile": {"type": "RuntimeDefault"}});
    let mut play = Play::new(spec.clone());
    play.machine.apparmor = false;
    play.run(1);
    assert_eq!(play.count("AppArmor Cannot enforce AppArmor"), 1);
    spec["containers"][0]["securityContext"] = json!({"appArmorProfile": {"type": "Unconfined"}});
    let mut play = Play::new(spec);
    play.machine.apparmor = false;
    play.run(5);
    assert_eq!(play.seen.last().unwrap(), "Running c=running ready r0", "nobody is to be confined");
}

#[test]
fn the_end_before_the_last_is_told_as_long_as_the_last_is_fresh() {
    for (after, first) in [(0, "Running c=Error(1) last 1 r2"), (5, "Running c=Error(1) r2")] {
        let mut play = Play::new(one("Always"));
        play.node.behave("i", vec![Behaviour::ends(0, 1)]);
        for _ in 0..20 {
            if play.seen.last().is_some_and(|s| s.ends_with("r2")) {
                break;
            }
            play.run(1);
        }
        play.run(after);
        play.seen.clear();
        play.delete(5);
        play.run(20);
        assert_eq!(play.seen, [first, "Failed c=Error(1) r2"].iter().map(ToString::to_string).collect::<Vec<_>>());
    }
}

#[test]
fn what_somebody_removes_is_counted_as_restarted_when_it_is_missed() {
    let mut play = Play::new(one("Always"));
    play.run(5);
    play.node.kill("p", "c", 137);
    let sandbox = wait(play.node.observe_pod("u")).unwrap().unwrap();
    let action = Action::RemoveContainer { id: sandbox.containers[0].id.clone(), pod_uid: "u".into() };
    wait(play.node.execute(&action)).unwrap();
    play.node.refuse_next("create", RuntimeErrorKind::Refused, "not now");
    play.run(1);
    let missed = play.seen.iter().find(|s| s.contains("c=ContainerCreating last 137 r1"));
    assert!(missed.is_some(), "{:?}", play.seen);
    play.run(30);
    assert!(play.seen.last().unwrap().starts_with("Running c=running last 137 ready r1"), "{:?}", play.seen);
}
