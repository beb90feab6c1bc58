//! Random workloads, several at once, and random changes of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Numbers by SplitMix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.roll(choices.len() as u64)).expect("a small number")].clone()
    }

    /// From `least` to `most`.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.roll(most - least + 1)
    }
}

/// What the containers run.
#[derive(Clone)]
pub struct Images {
    /// Two that run until they are told to end.
    pub stays: [Value; 2],
    /// One that ends with 0.
    pub ends: Value,
    /// A probe of those that stay, in some pods.
    pub probe: Option<Value>,
}

/// Everything that a user wants at a time, by kind and name.
pub struct Scene {
    images: Images,
    objects: BTreeMap<String, Value>,
    /// How many values and names were made up so far.
    made: u64,
}

/// A Job's pods of these names run until they are deleted.
const ENDLESS: &str = "endless";
/// The annotation by which a workload asks to be rolled when what it reads once has changed.
const ROLLS: &str = "podman.wl/roll-on-config-change";
/// More are not there at a time.
const MOST: usize = 6;

impl Scene {
    pub fn new(images: Images, dice: &mut Dice) -> Self {
        let mut scene = Scene { images, objects: BTreeMap::new(), made: 0 };
        scene.objects.insert("settings".into(), settings(0));
        for _ in 0..dice.between(2, 4) {
            scene.add(dice);
        }
        scene
    }

    /// The manifests.
    pub fn objects(&self) -> Vec<Value> {
        self.objects.values().cloned().collect()
    }

    /// Changes one to three things. Whether one of them cannot be changed in place.
    pub fn change(&mut self, dice: &mut Dice) -> bool {
        let mut replaces = false;
        let is_of_config = dice.one_in(4);
        if is_of_config {
            let value = self.fresh();
            self.objects.insert("settings".into(), settings(value));
        }
        // Who is changed together with what he reads may begin to roll by the one before he hears of the other.
        let free = |object: &Value| !is_of_config || object.pointer("/metadata/annotations").is_none();
        for _ in 0..dice.between(1, 3) {
            let names = self.objects.iter().filter(|(name, object)| *name != "settings" && free(object));
            let names: Vec<String> = names.map(|(name, _)| name.clone()).collect();
            match dice.roll(7) {
                0 if self.objects.len() < MOST && !is_of_config => self.add(dice),
                1 if names.len() > 2 => _ = self.objects.remove(&dice.of(&names)),
                _ if names.is_empty() => {}
                _ => replaces |= self.alter(&dice.of(&names), dice),
            }
        }
        replaces
    }

    fn fresh(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    fn add(&mut self, dice: &mut Dice) {
        let kind =
            dice.of(&["deployment", "deployment", "statefulset", "statefulset", "daemonset", "job", ENDLESS, "pod"]);
        let name = format!("{kind}-{}", self.fresh());
        let object = match kind {
            "deployment" => self.deployment(&name, dice),
            "statefulset" => self.stateful_set(&name, dice),
            "daemonset" => self.daemon_set(&name, dice),
            "pod" => self.pod(&name, dice),
            _ => self.job(&name, dice),
        };
        self.objects.insert(name, object);
    }

    /// A container that stays, and in some pods reads a ConfigMap or is probed.
    fn template(&mut self, name: &str, dice: &mut Dice) -> Value {
        let mut container = dice.of(&self.images.stays);
        container["name"] = json!("app");
        let mark = json!({"name": "MARK", "value": self.fresh().to_string()});
        let source = json!({"configMapKeyRef": {"name": "settings", "key": "level"}});
        let level = json!({"name": "LEVEL", "valueFrom": source});
        container["env"] = if dice.one_in(3) { json!([mark, level]) } else { json!([mark]) };
        if let Some(probe) = self.images.probe.as_ref().filter(|_| dice.one_in(4)) {
            container["readinessProbe"] = probe.clone();
        }
        json!({"metadata": {"labels": {"app": name}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}})
    }

    fn workload(&mut self, kind: &str, name: &str, mut spec: Value, dice: &mut Dice) -> Value {
        spec["selector"] = json!({"matchLabels": {"app": name}});
        spec["template"] = self.template(name, dice);
        let mut object = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        if dice.one_in(2) {
            object["metadata"]["annotations"] = json!({ROLLS: "true"});
        }
        object
    }

    fn deployment(&mut self, name: &str, dice: &mut Dice) -> Value {
        let spec = json!({
            "replicas": dice.roll(5), "minReadySeconds": dice.roll(2), "paused": dice.one_in(8),
            "revisionHistoryLimit": dice.roll(3), "strategy": deployment_strategy(dice),
        });
        self.workload("Deployment", name, spec, dice)
    }

    fn stateful_set(&mut self, name: &str, dice: &mut Dice) -> Value {
        let spec = json!({
            "replicas": dice.roll(5), "minReadySeconds": dice.roll(2), "serviceName": name,
            "podManagementPolicy": dice.of(&["OrderedReady", "Parallel"]), "updateStrategy": stateful_set_strategy(dice),
        });
        self.workload("StatefulSet", name, spec, dice)
    }

    fn daemon_set(&mut self, name: &str, dice: &mut Dice) -> Value {
        let spec = json!({"minReadySeconds": dice.roll(2), "updateStrategy": daemon_set_strategy(dice)});
        self.workload("DaemonSet", name, spec, dice)
    }

    fn job(&mut self, name: &str, dice: &mut Dice) -> Value {
        let mut template = self.template(name, dice);
        template["spec"]["restartPolicy"] = json!("Never");
        let (parallelism, completions) = (dice.between(1, 3), dice.between(1, 4));
        let mut spec = json!({"parallelism": parallelism, "suspend": dice.one_in(3)});
        if name.starts_with(ENDLESS) {
            // Of one that has neither all of its pods at once nor an end a plan says what would be if they ended.
            if dice.one_in(2) {
                spec["completions"] = json!(parallelism);
                spec["completionMode"] = json!("Indexed");
            }
        } else {
            spec["completions"] = json!(completions);
            spec["completionMode"] = json!(dice.of(&["Indexed", "NonIndexed"]));
            let mark = template["spec"]["containers"][0]["env"].clone();
            template["spec"]["containers"][0] = self.images.ends.clone();
            template["spec"]["containers"][0]["name"] = json!("app");
            template["spec"]["containers"][0]["env"] = mark;
        }
        spec["template"] = template;
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec})
    }

    fn pod(&mut self, name: &str, dice: &mut Dice) -> Value {
        let mut pod = self.template(name, dice);
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = json!(name);
        pod
    }

    /// Changes one object. Whether that cannot be done in place.
    fn alter(&mut self, name: &str, dice: &mut Dice) -> bool {
        let mark = json!(self.fresh().to_string());
        let image = dice.of(&self.images.stays)["image"].clone();
        let Some(object) = self.objects.get_mut(name) else { return false };
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let spec = &mut object["spec"];
        match kind.as_str() {
            "Deployment" => alter_deployment(spec, mark, dice),
            "StatefulSet" => alter_stateful_set(spec, mark, dice),
            "DaemonSet" => alter_daemon_set(spec, mark, dice),
            "Job" => alter_job(spec, mark, name.starts_with(ENDLESS), dice),
            "Pod" if dice.one_in(3) => {
                spec["containers"][0]["env"][0]["value"] = mark;
                true
            }
            "Pod" => {
                spec["containers"][0]["image"] = image;
                false
            }
            _ => false,
        }
    }
}

fn settings(value: u64) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
        "data": {"level": value.to_string()}})
}

fn roll(spec: &mut Value, mark: Value) {
    spec["template"]["spec"]["containers"][0]["env"][0]["value"] = mark;
}

fn deployment_strategy(dice: &mut Dice) -> Value {
    if dice.one_in(4) {
        return json!({"type": "Recreate"});
    }
    let (surge, unavailable) = dice.of(&[
        (json!(1), json!(0)),
        (json!(0), json!(1)),
        (json!(1), json!(1)),
        (json!(2), json!(0)),
        (json!(2), json!(1)),
        (json!(0), json!(2)),
        (json!("25%"), json!("25%")),
        (json!("50%"), json!("0%")),
    ]);
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}})
}

fn stateful_set_strategy(dice: &mut Dice) -> Value {
    match dice.roll(6) {
        0 => json!({"type": "OnDelete"}),
        1 => json!({"type": "RollingUpdate", "rollingUpdate": {"partition": dice.between(1, 3)}}),
        2 => json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": dice.between(2, 3)}}),
        _ => json!({"type": "RollingUpdate"}),
    }
}

fn daemon_set_strategy(dice: &mut Dice) -> Value {
    match dice.roll(4) {
        0 => json!({"type": "OnDelete"}),
        1 => json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}),
        _ => json!({"type": "RollingUpdate"}),
    }
}

fn alter_deployment(spec: &mut Value, mark: Value, dice: &mut Dice) -> bool {
    match dice.roll(10) {
        0 | 1 => spec["replicas"] = json!(dice.roll(5)),
        2 | 3 => roll(spec, mark),
        4 => {
            spec["replicas"] = json!(dice.roll(5));
            roll(spec, mark);
        }
        5 => spec["strategy"] = deployment_strategy(dice),
        6 => {
            spec["strategy"] = deployment_strategy(dice);
            roll(spec, mark);
        }
        7 => spec["paused"] = json!(spec["paused"] != true),
        8 => spec["minReadySeconds"] = json!(1 - spec["minReadySeconds"].as_u64().unwrap_or(0)),
        _ => {
            // A selector cannot be changed.
            spec["selector"]["matchLabels"]["of"] = mark.clone();
            spec["template"]["metadata"]["labels"]["of"] = mark;
            return true;
        }
    }
    false
}

fn alter_stateful_set(spec: &mut Value, mark: Value, dice: &mut Dice) -> bool {
    match dice.roll(9) {
        0 | 1 => spec["replicas"] = json!(dice.roll(5)),
        2 | 3 => roll(spec, mark),
        4 => {
            spec["replicas"] = json!(dice.roll(5));
            roll(spec, mark);
        }
        5 => spec["updateStrategy"] = stateful_set_strategy(dice),
        6 => {
            spec["updateStrategy"] = stateful_set_strategy(dice);
            roll(spec, mark);
        }
        7 => spec["minReadySeconds"] = json!(1 - spec["minReadySeconds"].as_u64().unwrap_or(0)),
        _ => {
            let policy = if spec["podManagementPolicy"] == "Parallel" { "OrderedReady" } else { "Parallel" };
            spec["podManagementPolicy"] = json!(policy);
            return true;
        }
    }
    false
}

fn alter_daemon_set(spec: &mut Value, mark: Value, dice: &mut Dice) -> bool {
    match dice.roll(4) {
        0 | 1 => roll(spec, mark),
        2 => spec["updateStrategy"] = daemon_set_strategy(dice),
        _ => {
            spec["updateStrategy"] = daemon_set_strategy(dice);
            roll(spec, mark);
        }
    }
    false
}

fn alter_job(spec: &mut Value, mark: Value, is_endless: bool, dice: &mut Dice) -> bool {
    match dice.roll(4) {
        0 => {
            roll(spec, mark);
            return true;
        }
        1 if is_endless => {
            spec["parallelism"] = json!(dice.between(1, 3));
            if spec["completionMode"] == "Indexed" {
                spec["completions"] = spec["parallelism"].clone();
            }
        }
        _ => spec["suspend"] = json!(spec["suspend"] != true),
    }
    false
}
