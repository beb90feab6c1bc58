//! Plans of the examples and of changes to them, as a user reads them.

use std::sync::Arc;

use jiff::Timestamp;

use super::fork::SplitMix;
use super::summary::Verdict;
use super::{Fork, Inputs, Intent, Plan, make, render};
use crate::api::schema::Schema;
use crate::api::{GroupResource, Json, Key};
use crate::controllers::{self, Controller};
use crate::registry::{self, Body, Env, FieldValidation, Options, PatchKind, Request, Settings, User, Verb};
use crate::state::State;

const STATEFUL_SET: &str = include_str!("../../examples/statefulset/db.yaml");
const JOB: &str = include_str!("../../examples/job/parts.yaml");
const CRON_JOB: &str = include_str!("../../examples/cronjob/minute.yaml");
const DAEMON_SET: &str = include_str!("../../examples/daemonset/agent.yaml");
const QUICKSTART: &str = include_str!("../../examples/quickstart/web.yaml");

struct World {
    state: State,
    controllers: Vec<Box<dyn Controller>>,
    settings: Settings,
    now: Timestamp,
}

fn intents(text: &str) -> Vec<Intent> {
    let parsed = crate::manifest::parse("example.yaml", text.as_bytes());
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
    let of_one = |document: &crate::manifest::Document| {
        let mut tree = document.json();
        let resource = Schema::get().resource_of(&document.gvk()).expect("a kind of Kubernetes").clone();
        if resource.namespaced {
            tree["metadata"]["namespace"] = "default".into();
        }
        let options = Options {
            field_manager: Some("wl".into()),
            field_validation: FieldValidation::Strict,
            force: Some(true),
            user: User { name: "wl".into(), groups: vec!["system:masters".into()], ..User::default() },
            ..Options::default()
        };
        let request = Request {
            verb: Verb::Patch,
            subresource: None,
            namespace: if resource.namespaced { "default".into() } else { String::new() },
            name: tree["metadata"]["name"].as_str().expect("a name").into(),
            body: Body::Patch { kind: PatchKind::Apply, tree },
            options,
            resource: Arc::new(resource),
        };
        Intent { request, gvk: document.gvk(), place: document.place_of("metadata.name") }
    };
    parsed.documents.iter().map(of_one).collect()
}

impl World {
    fn new() -> Self {
        let mut world = World {
            state: State::new(),
            controllers: controllers::of_a_plan(),
            settings: Settings::default(),
            now: "2026-03-01T10:00:30Z".parse().unwrap(),
        };
        let mut random = SplitMix(1);
        for request in registry::bootstrap::requests(&world.state.clone(), &world.settings) {
            let mut env = Env { now: world.now, random: &mut random, settings: &world.settings };
            registry::execute(&mut world.state, &request, &mut env).unwrap();
        }
        world
    }

    fn plan(&self, text: &str, replace: bool, prune: Vec<Key>) -> Plan {
        let inputs = Inputs {
            state: &self.state,
            controllers: &self.controllers,
            settings: &self.settings,
            now: self.now,
            prune,
            replace,
        };
        make(&intents(text), &inputs)
    }

    /// The plan as it is printed, without its last lines.
    fn shown(&self, text: &str, replace: bool) -> String {
        let plan = self.plan(text, replace, Vec::new());
        assert_eq!(plan.refused().map(|(o, s)| format!("{}: {}", o.name, s.message)).collect::<Vec<_>>(), [""; 0]);
        let shown = render::text(&plan, "-f x");
        shown.split("\n\n").next().unwrap().trim_end().to_owned()
    }

    /// Applies, and waits until nothing moves.
    fn apply(&mut self, text: &str) {
        let mut fork = Fork::new(self.state.clone(), &self.controllers, &self.settings, self.now);
        for intent in intents(text) {
            fork.submit(&intent.request).unwrap();
        }
        fork.settle(jiff::SignedDuration::from_hours(1));
        self.state = fork.state;
        self.state.take_changes();
    }

    fn names(&self, resource: &str) -> Vec<String> {
        let all = self.state.in_namespace(&GroupResource::new("", resource), "default");
        all.map(|object| object.name().to_owned()).collect()
    }
}

#[test]
fn every_example_is_planned_and_applied_twice_is_unchanged() {
    for text in [STATEFUL_SET, JOB, CRON_JOB, DAEMON_SET, QUICKSTART] {
        let mut world = World::new();
        let plan = world.plan(text, false, Vec::new());
        assert_eq!(plan.refused().count(), 0);
        world.apply(text);
        let again = world.plan(text, false, Vec::new());
        assert!(!again.changes_anything(), "{}", render::text(&again, ""));
    }
}

#[test]
fn a_stateful_set_tells_its_order_and_its_claims() {
    let mut world = World::new();
    let shown = world.shown(STATEFUL_SET, false);
    assert!(shown.contains("starts 3 pods\n      order                   db-0, db-1, db-2"), "{shown}");
    assert!(shown.contains("claims made             data-db-0, data-db-1, data-db-2"), "{shown}");
    world.apply(STATEFUL_SET);
    assert_eq!(world.names("pods"), ["db-0", "db-1", "db-2"]);
    let shown = world.shown(&STATEFUL_SET.replace("value: first", "value: second"), false);
    assert!(shown.contains("order                   db-2, db-1, db-0"), "{shown}");
    assert!(!shown.contains("claims"), "{shown}");
    let fewer = STATEFUL_SET.replace("replicas: 3", "replicas: 1");
    let shown = world.shown(&fewer, false);
    assert!(shown.contains("ends 2 pods"), "{shown}");
    assert!(shown.contains("order                   db-2, db-1\n      claims kept             data-db-1, data-db-2"), "{shown}");
    let deleted = world.shown(&fewer.replace("whenScaled: Retain", "whenScaled: Delete"), false);
    assert!(deleted.contains("claims deleted          data-db-1, data-db-2"), "{deleted}");
    let key = Key::new(GroupResource::new("apps", "statefulsets"), "default", "db");
    let pruned = render::text(&world.plan(DAEMON_SET, false, vec![key]), "");
    assert!(pruned.contains("  - statefulset/db") && pruned.contains("claims kept             data-db-0, data-db-1, data-db-2"), "{pruned}");
}

#[test]
fn a_job_is_replaced_only_when_asked() {
    let mut world = World::new();
    world.apply(JOB);
    let changed = JOB.replace("echo part", "echo piece").replace("parallelism: 3", "parallelism: 5");
    let plan = world.plan(&changed, false, Vec::new());
    let refused: Vec<_> = plan.refused().map(|(_, status)| status.message.clone()).collect();
    assert!(refused[0].contains("field is immutable"), "{refused:?}");
    let shown = world.shown(&changed, true);
    assert!(shown.starts_with("-/+ job/parts"), "{shown}");
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines.iter().any(|line| line.contains("command") && line.ends_with("forces replacement")), "{shown}");
    assert!(lines.iter().any(|line| line.contains("parallelism") && !line.contains("forces")), "{shown}");
}

#[test]
fn a_pod_is_replaced_only_when_asked() {
    let pod = |value: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers:\n  - {{name: a, image: x:1, env: [{{name: V, \
             value: {value}}}]}}\n"
        )
    };
    let mut world = World::new();
    world.apply(&pod("one"));
    let plan = world.plan(&pod("two"), false, Vec::new());
    let refused: Vec<_> = plan.refused().map(|(_, status)| status.message.clone()).collect();
    assert!(refused[0].contains("pod updates may not change fields"), "{refused:?}");
    let shown = world.shown(&pod("two"), true);
    assert!(shown.starts_with("-/+ pod/p") && shown.contains("replaced, ends 1 pod, starts 1 pod"), "{shown}");
}

#[test]
fn all_else_is_applied_before_what_is_replaced_is_gone() {
    let pod = |value: &str| {
        let env = format!("env: [{{name: V, value: {value}}}]");
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers: [{{name: a, image: x:1, {env}}}]\n")
    };
    let asked = r#", annotations: {podman.wl/roll-on-config-change: "true"}"#;
    let (old, new) = (readers(asked, "a", "x"), readers(asked, "b", "x"));
    let (old_config, _) = old.split_once("---").unwrap();
    let (new_config, rest) = new.split_once("---").unwrap();
    let mut world = World::new();
    world.apply(&format!("{old_config}---\n{}", pod("one")));
    // The new workload never sees the old configuration, so that nothing of it is rolled.
    let plan = world.plan(&format!("{rest}---\n{}---{new_config}", pod("two")), true, Vec::new());
    let moved: Vec<_> = plan.objects.iter().map(|o| (o.name.as_str(), o.moves.created(), o.moves.deleted())).collect();
    let expected = [("configmap/page", 0, 0), ("deployment/web", 2, 0), ("pod/p", 1, 1), ("configmap/settings", 0, 0)];
    assert_eq!(moved, expected);
}

#[test]
fn whom_a_step_wakes_acts_before_the_next_step_as_in_the_engine() {
    let recreated = QUICKSTART.replace("replicas: 3", "replicas: 3\n  strategy: {type: Recreate}");
    let mut world = World::new();
    world.apply(&recreated);
    // A Deployment is scaled first, with the pods that it has: its ReplicaSet acts on that before it hears that all have to go.
    let changed = recreated.replace("replicas: 3", "replicas: 4").replace("limits:\n            memory: 32Mi", "limits:\n            memory: 48Mi");
    let plan = world.plan(&changed, false, Vec::new());
    let moves = &plan.objects.iter().find(|o| o.name == "deployment/web").unwrap().moves;
    assert_eq!((moves.created(), moves.deleted()), (5, 4));
}

#[test]
fn a_cron_job_tells_its_next_run() {
    let world = World::new();
    let shown = world.shown(CRON_JOB, false);
    assert!(shown.contains("next run                2026-03-01 10:01 UTC"), "{shown}");
    let zoned = CRON_JOB.replace("* * * * *", "30 2 * * *").replace("Etc/UTC", "Europe/Berlin");
    assert!(world.shown(&zoned, false).contains("next run                2026-03-02 02:30 CET"));
    let suspended = CRON_JOB.replace("concurrencyPolicy", "suspend: true\n  concurrencyPolicy");
    assert!(world.shown(&suspended, false).contains("none while it is suspended"));
}

#[test]
fn a_daemon_set_is_rolled_in_place() {
    let mut world = World::new();
    world.state.put(
        Key::new(GroupResource::new("", "nodes"), "", "here"),
        crate::api::Object::new(serde_json::json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "here", "uid": "here"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}},
        })),
    );
    world.apply(DAEMON_SET);
    assert_eq!(world.names("pods").len(), 1);
    let shown = world.shown(&DAEMON_SET.replace("quiet", "loud"), false);
    assert!(shown.contains("rolls 1 pod (1 extra, 0 missing), no downtime"), "{shown}");
}

/// A Deployment that reads one key of a ConfigMap by environment, and another object as files.
fn readers(more: &str, value: &str, page: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings}}
data: {{level: "{value}", other: "1"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: page}}
data: {{index.html: "{page}"}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web{more}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
      - name: web
        image: web:1
        env: [{{name: LEVEL, valueFrom: {{configMapKeyRef: {{name: settings, key: level}}}}}}]
        volumeMounts: [{{name: page, mountPath: /www}}]
      volumes: [{{name: page, configMap: {{name: page}}}}]
"#
    )
}

#[test]
fn a_plan_says_who_reads_what_and_what_changes_for_them() {
    let mut world = World::new();
    world.apply(&readers("", "a", "x"));
    let shown = world.shown(&readers("", "b", "y"), false);
    assert!(shown.contains("used by deployment/web → seen at the next restart of its containers"), "{shown}");
    assert!(shown.contains("used by deployment/web → files change in place"), "{shown}");
    assert!(!shown.contains("rolls"), "{shown}");
}

#[test]
fn a_workload_that_asked_is_rolled_when_what_it_reads_once_changes() {
    let asked = r#", annotations: {podman.wl/roll-on-config-change: "true"}"#;
    let mut world = World::new();
    world.apply(&readers(asked, "a", "x"));
    assert_eq!(world.names("pods").len(), 2, "nothing is rolled at first");
    let sets = |world: &World| {
        world.state.in_namespace(&GroupResource::new("apps", "replicasets"), "default").count()
    };
    assert_eq!(sets(&world), 1);
    let shown = world.shown(&readers(asked, "b", "x"), false);
    assert!(shown.contains("used by deployment/web → rolls 2 pods"), "{shown}");
    let shown = world.shown(&readers(asked, "a", "y"), false);
    assert!(shown.contains("files change in place") && !shown.contains("rolls"), "{shown}");
    let before = world.names("pods");
    world.apply(&readers(asked, "b", "y"));
    assert_eq!(sets(&world), 2);
    assert!(world.names("pods").iter().all(|pod| !before.contains(pod)));
    let again: Json = render::json(&world.plan(&readers(asked, "b", "y"), false, Vec::new()));
    assert_eq!(again["changes"], false, "{again:#}");
}

/// So many pods that threads look at them.
fn many(changed: &[usize]) -> String {
    let one = |n: usize| {
        let value = if changed.contains(&n) { "new" } else { "old" };
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p{n:03}, labels: {{is: {value}}}}}\nspec:\n  containers:\n  - {{name: a, image: x:1}}\n  \
             nodeSelector: {{beta.kubernetes.io/os: linux}}\n"
        )
    };
    (0..2 * super::summary::MANY + 1).map(one).collect::<Vec<_>>().join("---\n")
}

#[test]
fn many_objects_are_planned_as_few_are() {
    let mut world = World::new();
    world.apply(&many(&[]));
    for changed in [&[][..], &[0], &[70], &[3, 40, 99, 100]] {
        let plan = world.plan(&many(changed), false, Vec::new());
        let verdicts: Vec<_> = plan.objects.iter().map(|object| (object.name.clone(), object.verdict.clone())).collect();
        // One at a time: no threads.
        let text = many(changed);
        let alone: Vec<Plan> = text.split("---\n").map(|text| world.plan(text, false, Vec::new())).collect();
        let expected: Vec<_> =
            alone.iter().flat_map(|plan| &plan.objects).map(|object| (object.name.clone(), object.verdict.clone())).collect();
        assert_eq!(verdicts, expected);
        let texts = |warnings: &[(String, String)]| warnings.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&plan.warnings), alone.iter().flat_map(|plan| texts(&plan.warnings)).collect::<Vec<_>>());
        let count = verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Change).count();
        assert_eq!((verdicts.len(), count), (2 * super::summary::MANY + 1, changed.len()));
    }
}
