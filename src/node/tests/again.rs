//! What is started again, and how that is shown.

use std::time::Duration;

use super::*;

fn two(policy: &str) -> Json {
    let container = |name: &str, image: &str| json!({"name": name, "image": image, "imagePullPolicy": "IfNotPresent"});
    json!({"restartPolicy": policy, "containers": [container("a", "a"), container("b", "b")]})
}

#[test]
fn what_ran_in_a_lost_sandbox_runs_again_though_it_answered_the_signal_with_0() {
    let mut play = Play::new(two("OnFailure"));
    play.node.has_image("a");
    play.node.has_image("b");
    play.node.behave("a", vec![Behaviour::ends(0, 0)]);
    play.node.behave("b", vec![Behaviour { ends_on_signal_after: Some(Duration::ZERO), ..Behaviour::default() }]);
    play.run(5);
    play.node.kill_sandbox("p");
    play.run(10);
    assert_eq!(play.seen.last().unwrap(), "Running a=Completed(0) r0, b=running last 0 ready r1");
    let ended = play.seen.iter().find(|line| line.contains("b=Completed"));
    assert_eq!(ended, None, "the API would not have it run again");
    play.no_breach();
}

#[test]
fn init_containers_run_again_after_a_lost_sandbox_and_main_has_completed() {
    let mut spec = one("OnFailure");
    spec["initContainers"] = json!([{"name": "s", "image": "s", "imagePullPolicy": "IfNotPresent"}]);
    let mut play = Play::new(spec);
    play.node.has_image("s");
    play.node.behave("s", vec![Behaviour::ends(0, 0)]);
    play.node.behave("i", vec![Behaviour { ends_on_signal_after: Some(Duration::ZERO), ..Behaviour::default() }]);
    play.run(5);
    play.node.kill_sandbox("p");
    play.run(20);
    assert_eq!(play.seen.last().unwrap(), "Succeeded s=Completed(0) ready r1, c=Completed(0) r0");
    play.no_breach();
}

#[test]
fn a_back_off_is_shown_and_told_by_the_next_look_that_has_a_reason() {
    let mut play = Play::new(two("Always"));
    play.node.has_image("a");
    play.node.has_image("b");
    play.node.behave("a", vec![Behaviour::ends(2, 1)]);
    play.node.behave("b", vec![Behaviour::ends(7, 0), Behaviour::default()]);
    play.run(6);
    assert!(play.seen.last().unwrap().starts_with("Running a=Error(1) last 1 r1"), "{:?}", play.seen);
    assert_eq!(play.count("BackOff"), 1);
    play.run(2);
    assert!(play.seen.last().unwrap().starts_with("Running a=CrashLoopBackOff last 1 r1"), "{:?}", play.seen);
    assert!(play.count("BackOff") > 1, "each look tells it");
}

#[test]
fn a_back_off_is_shown_a_second_later_while_something_happens_each_second() {
    let mut play = Play::new(two("OnFailure"));
    play.node.has_image("a");
    play.node.has_image("b");
    play.node.behave("a", vec![Behaviour::ends(0, 0)]);
    play.node.behave("b", vec![Behaviour::ends(1, 1)]);
    play.run(4);
    assert_eq!(play.seen.last().unwrap(), "Running a=Completed(0) r0, b=CrashLoopBackOff last 1 r1");
    assert_eq!(play.count("BackOff"), 2);
    let mut alone = Play::new(one("OnFailure"));
    alone.node.behave("i", vec![Behaviour::ends(1, 1)]);
    alone.run(4);
    assert_eq!(alone.seen.last().unwrap(), "Running c=Error(1) last 1 r1");
    assert_eq!(alone.count("BackOff"), 1);
}

#[test]
fn the_last_status_stays_whatever_is_added_to_the_pod() {
    let mut play = Play::new(one("Never"));
    play.node.behave("i", vec![Behaviour::ends(0, 0)]);
    play.run(10);
    let last = play.pod.status.clone();
    let late = json!([{"name": "d", "image": "i", "imagePullPolicy": "IfNotPresent"}]);
    play.pod.spec.as_mut().unwrap().ephemeral_containers = serde_json::from_value(late).unwrap();
    play.run(10);
    assert_eq!(play.pod.status, last);
}

#[test]
fn what_is_of_no_pod_any_more_is_killed_without_being_asked() {
    let mut play = Play::new(one("Always"));
    play.run(5);
    play.node.take_log();
    play.memory = PodMemory { orphan: true, ..PodMemory::default() };
    play.gone.set(true);
    play.run(1);
    assert_eq!(play.node.take_log()[0], "signal p/c#0 9");
}

#[test]
fn a_missing_claim_fails_the_whole_sync() {
    let mut spec = one("Always");
    spec["volumes"] = json!([
        {"name": "v", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "e", "emptyDir": {}},
    ]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}, {"name": "e", "mountPath": "/e"}]);
    let mut play = Play::new(spec);
    play.run(11);
    let why = "failed to process volumes=[v]: error processing PVC ns/data: failed to fetch PVC from API server: \
               persistentvolumeclaims \"data\" not found";
    let told = format!("FailedMount Unable to attach or mount volumes: unmounted volumes=[e v], unattached volumes=[], {why}");
    assert_eq!(play.count("FailedMount"), 1);
    assert_eq!(play.count(&told), 1, "{:?}", play.events);
    play.run(4);
    assert_eq!(play.count("FailedMount"), 2, "once a sync");
}

#[test]
fn what_the_resolver_leaves_out_is_told_with_each_sync() {
    let mut spec = one("Always");
    let searches: Vec<String> = (0..40).map(|n| format!("d{n}.test")).collect();
    let servers = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"];
    spec["dnsPolicy"] = json!("None");
    spec["dnsConfig"] = json!({"nameservers": servers, "searches": searches});
    let mut play = Play::new(spec);
    play.run(5);
    let servers = "the applied nameserver line is: 192.0.2.1 192.0.2.2 192.0.2.3";
    assert_eq!(play.count(&format!("DNSConfigForming Nameserver limits were exceeded, some nameservers have been omitted, {servers}")), 3);
    let searches = format!("the applied search line is: {}", searches[..32].join(" "));
    let message = format!("DNSConfigForming Search Line limits were exceeded, some search paths have been omitted, {searches}");
    assert_eq!(play.count(&message), 3);
}

#[test]
fn a_phase_that_somebody_else_has_written_is_put_right() {
    let mut play = Play::new(one("Always"));
    play.run(5);
    let status = play.pod.status.as_mut().unwrap();
    status.phase = Some("Failed".into());
    status.reason = Some("Guessed".into());
    play.node.take_log();
    play.run(5);
    let status = play.pod.status.clone().unwrap();
    assert_eq!((status.phase.as_deref(), status.reason), (Some("Running"), None));
    assert_eq!(play.node.take_log(), Vec::<String>::new(), "nothing is ended");
}

#[test]
fn all_that_a_projected_volume_lacks_is_told_at_once() {
    let mut spec = one("Always");
    let sources = json!([
        {"configMap": {"name": "no"}},
        {"secret": {"name": "neither"}},
        {"configMap": {"name": "no"}},
        {"configMap": {"name": "perhaps", "optional": true}},
    ]);
    spec["volumes"] = json!([{"name": "v", "projected": {"sources": sources}}]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    let mut play = Play::new(spec);
    play.run(0);
    let told = "FailedMount MountVolume.SetUp failed for volume \"v\" : [configmap \"no\" not found, secret \"neither\" not found]";
    assert_eq!(play.count(told), 1, "{:?}", play.events);
}

#[test]
fn the_path_of_a_file_in_a_volume_is_shortened_and_bounded() {
    let told = |path: &str| {
        let mut spec = one("Always");
        let file = json!({"path": path, "fieldRef": {"fieldPath": "metadata.name"}});
        spec["volumes"] = json!([{"name": "v", "downwardAPI": {"items": [file]}}]);
        spec["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
        let mut play = Play::new(spec);
        play.run(0);
        let failed = play.events.iter().find_map(|e| e.split_once("volume \"v\" : ").map(|(_, why)| why.to_owned()));
        failed.unwrap_or_else(|| play.node.take_log().iter().find(|l| l.starts_with("write-volume")).cloned().unwrap_or_default())
    };
    for good in ["a//b", "./a/b", "a/./b/", &"x".repeat(255)] {
        assert!(told(good).starts_with("write-volume v"), "{good}: {}", told(good));
    }
    assert_eq!(told(&format!("a/{}", "x".repeat(256))), "invalid path: filenames must be less than or equal to 255 characters");
    assert_eq!(told(&"x/".repeat(2049)), "invalid path: must be less than or equal to 4096 characters");
    assert_eq!(told("/a"), "invalid path: must be relative path: /a");
    assert_eq!(told("a/../b"), "invalid path: must not contain '..': a/../b");
}

#[test]
fn a_path_in_a_volume_needs_a_value_for_each_of_its_variables() {
    let mut spec = one("Always");
    spec["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    let container = &mut spec["containers"][0];
    container["env"] = json!([{"name": "EMPTY", "value": ""}, {"name": "A", "value": "a"}]);
    container["volumeMounts"] = json!([{"name": "v", "mountPath": "/v", "subPathExpr": "$(NOPE)/$(A)/$(EMPTY)"}]);
    let mut play = Play::new(spec);
    play.run(0);
    assert_eq!(play.count("Failed Error: missing value for EMPTY, NOPE"), 1, "{:?}", play.events);
}

#[test]
fn an_ephemeral_container_cannot_be_made_for_a_target_that_has_ended() {
    let mut play = Play::new(two("OnFailure"));
    play.node.has_image("a");
    play.node.has_image("b");
    play.node.behave("b", vec![Behaviour::ends(0, 0)]);
    play.run(3);
    let late = json!([{"name": "d", "image": "a", "imagePullPolicy": "IfNotPresent", "targetContainerName": "b"}]);
    play.pod.spec.as_mut().unwrap().ephemeral_containers = serde_json::from_value(late).unwrap();
    play.run(1);
    let told = "Failed Error: invalid target container: container \"b\" is not running";
    assert!(play.count(told) >= 1, "{:?}", play.events);
    let status = play.pod.status.as_ref().unwrap().ephemeral_container_statuses.as_ref().unwrap();
    let waiting = status[0].state.as_ref().and_then(|s| s.waiting.as_ref()).unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("CreateContainerError"));
}
