//! Plays the steps of a recorded scenario on a node of ours.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value as Json, json};
use wl::client::Ask;
use wl::podman::Podman;
use wl::runtime::{ContainerState, Runtime};

use crate::history::History;
use crate::live::Live;
use crate::world::{World, ask, lock};

/// What came of a scenario here.
pub struct Played {
    pub history: History,
    /// What steps answered: their place among the steps, and the answer.
    pub results: Vec<(usize, Json)>,
    /// Conditions that were not met.
    pub problems: Vec<String>,
}

pub struct Player<'w> {
    world: &'w World,
    namespace: String,
    record: &'w Json,
    begun: bool,
}

/// Other machines may take this much longer.
const SLOWER: f64 = 2.0;
/// Between the end of a scenario's condition and the end of its record, at most.
const LONGEST_AFTER: f64 = 12.0;

pub async fn play(world: &World, record: &Json) -> Played {
    let id = record["id"].as_str().unwrap_or_default();
    let namespace = format!("k-{id}");
    let mut player = Player { world, namespace, record, begun: false };
    player.play().await
}

impl Player<'_> {
    async fn play(&mut self) -> Played {
        let (mut results, mut problems) = (Vec::new(), Vec::new());
        lock(&self.world.seen).insert(self.namespace.clone(), Live::new());
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}});
        self.send(Method::POST, "/api/v1/namespaces", Some(&namespace)).await;
        self.world.until_ok(&format!("/api/v1/namespaces/{}/serviceaccounts/default", self.namespace)).await;
        for object in self.record["setup"].as_array().into_iter().flatten() {
            let step =
                if object.get("do").is_some() { object.clone() } else { json!({"do": "create", "object": object}) };
            if let Some(result) = self.step(&step).await
                && result["code"].as_u64().is_some_and(|code| code >= 400)
            {
                problems.push(format!("set-up: {result}"));
            }
        }
        for (index, step) in self.record["steps"].as_array().into_iter().flatten().enumerate() {
            if step.get("wait").is_some() {
                problems.extend(self.wait(&step["wait"], step["limit"].as_f64().unwrap_or(60.0)).await);
            } else if let Some(result) = self.step(step).await {
                results.push((index, result));
            }
        }
        self.until_the_end(&mut problems).await;
        let history = {
            let mut seen = lock(&self.world.seen);
            let live = seen.get_mut(&self.namespace).expect("it is played");
            let srv = self.world.srv();
            crate::normalise::history(live, &self.namespace, &srv.to_string_lossy(), &self.world.api_ip, &mut results)
        };
        self.clean_up().await;
        Played { history, results, problems }
    }

    /// As long after its last condition as the record goes on.
    async fn until_the_end(&self, problems: &mut Vec<String>) {
        let recorded = History::recorded(self.record);
        let ended = self.record["ended_at"].as_f64().unwrap_or(0.0);
        let over = |s: &Json| Some(s["at"].as_f64()? + s["took"].as_f64().unwrap_or(0.0));
        let last_step = self.record["steps"].as_array().into_iter().flatten().filter_map(over).fold(0.0, f64::max);
        let until = &self.record["until"];
        let after = if until.is_null() {
            ended - last_step
        } else {
            let took = recorded.first(until).map_or(0.0, |at| (at - last_step).max(0.0));
            problems.extend(self.wait(until, 60.0f64.max(took * SLOWER + 20.0)).await);
            recorded.first(until).map_or(2.0, |at| ended - at.max(last_step))
        };
        tokio::time::sleep(Duration::from_secs_f64((after + 0.2).clamp(1.0, LONGEST_AFTER.max(after.min(ended)))))
            .await;
    }

    fn path(&self, kind: &str, namespace: &str) -> String {
        let (root, plural, namespaced) = match kind {
            "ConfigMap" => ("/api/v1", "configmaps", true),
            "Secret" => ("/api/v1", "secrets", true),
            "Service" => ("/api/v1", "services", true),
            "LimitRange" => ("/api/v1", "limitranges", true),
            "PersistentVolumeClaim" => ("/api/v1", "persistentvolumeclaims", true),
            "PodDisruptionBudget" => ("/apis/policy/v1", "poddisruptionbudgets", true),
            "PriorityClass" => ("/apis/scheduling.k8s.io/v1", "priorityclasses", false),
            "RuntimeClass" => ("/apis/node.k8s.io/v1", "runtimeclasses", false),
            "Node" => ("/api/v1", "nodes", false),
            _ => ("/api/v1", "pods", true),
        };
        if namespaced { format!("{root}/namespaces/{namespace}/{plural}") } else { format!("{root}/{plural}") }
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Json>) -> (u16, Json) {
        let mut request = Ask::new(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        ask(&self.world.client, request).await
    }

    /// The scenario's placeholders, filled in.
    fn fill(&self, tree: &Json) -> Json {
        let host_ip =
            lock(&self.world.seen).values().map(|l| l.host_ip.clone()).find(|ip| !ip.is_empty()).unwrap_or_default();
        let text = tree.to_string();
        let srv = self.world.srv().to_string_lossy().into_owned();
        let text =
            text.replace("<ns>", &self.namespace).replace("<hostIP>", &host_ip).replace("/srv/", &format!("{srv}/"));
        serde_json::from_str(&text).expect("still JSON")
    }

    /// Does one thing; what it answered, where a record has answers.
    async fn step(&mut self, step: &Json) -> Option<Json> {
        let step = &self.fill(step);
        let name = step["name"].as_str().unwrap_or("p");
        let kind = step["kind"].as_str().unwrap_or("Pod");
        match step["do"].as_str().unwrap_or_default() {
            "create" => {
                let object = &step["object"];
                let path = self.path(object["kind"].as_str().unwrap_or_default(), &self.namespace);
                self.begin();
                let (code, answer) = self.send(Method::POST, &path, Some(object)).await;
                if let Some(ip) = answer.pointer("/spec/clusterIP").and_then(Json::as_str)
                    && let Some(live) = lock(&self.world.seen).get_mut(&self.namespace)
                {
                    live.service_ips.push(ip.to_owned());
                }
                Some(json!({"code": code, "answer": answer}))
            }
            "delete" => {
                let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
                if let Some(grace) = step["grace"].as_i64() {
                    options["gracePeriodSeconds"] = json!(grace);
                }
                let path = format!("{}/{name}", self.path(kind, &self.namespace));
                let (code, answer) = self.send(Method::DELETE, &path, Some(&options)).await;
                Some(json!({"code": code, "answer": answer}))
            }
            "patch" => {
                let media = match step["type"].as_str().unwrap_or("strategic") {
                    "merge" => "application/merge-patch+json",
                    "json" => "application/json-patch+json",
                    _ => "application/strategic-merge-patch+json",
                };
                let sub = step["sub"].as_str().map(|s| format!("/{s}")).unwrap_or_default();
                let path = format!("{}/{name}{sub}", self.path(kind, &self.namespace));
                let request = Ask::new(Method::PATCH, path).bytes(media, step["body"].to_string());
                let (code, answer) = ask(&self.world.client, request).await;
                Some(json!({"code": code, "answer": answer}))
            }
            "api" => {
                let method = step["verb"].as_str().unwrap_or("GET").parse().expect("a method");
                let path = step["path"].as_str().unwrap_or_default();
                let (code, answer) = self.send(method, path, step.get("body")).await;
                Some(json!({"code": code, "answer": answer}))
            }
            "kill" => {
                self.kill(name, step["container"].as_str(), step["signal"].as_str().unwrap_or("SIGKILL")).await;
                None
            }
            "host" => {
                let command = step["cmd"].as_str().unwrap_or_default();
                let output = tokio::process::Command::new("sh").arg("-c").arg(command).output().await.expect("a shell");
                let out = String::from_utf8_lossy(&output.stdout).into_owned();
                Some(json!({"rc": output.status.code(), "out": out}))
            }
            "static" => {
                self.begin();
                let path = self.world.manifests().join(step["file"].as_str().unwrap_or_default());
                match &step["object"] {
                    Json::Null => drop(std::fs::remove_file(path)),
                    Json::String(text) => std::fs::write(path, text).expect("written"),
                    object => std::fs::write(path, object.to_string()).expect("written"),
                }
                None
            }
            "kubelet-stop" => {
                self.world.stop_agent().await;
                None
            }
            "kubelet-start" => {
                self.world.start_agent().await;
                None
            }
            "kubelet-restart" => {
                self.world.stop_agent().await;
                self.world.start_agent().await;
                None
            }
            "exec" => Some(self.exec(name, step).await),
            other => Some(json!({"unknown": other})),
        }
    }

    fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            lock(&self.world.seen).get_mut(&self.namespace).expect("it is played").begin();
        }
    }

    async fn container(&self, podman: &Podman, pod: &str, name: Option<&str>) -> Option<(String, u32)> {
        let sandboxes = podman.observe().await.ok()?;
        let sandbox = sandboxes.into_iter().find(|s| s.namespace == self.namespace && s.name == pod)?;
        let Some(name) = name else { return Some((sandbox.id.clone(), sandbox.pid?)) };
        sandbox.containers.iter().filter(|c| c.name == name).find_map(|c| match c.state {
            ContainerState::Running { pid, .. } => Some((c.id.clone(), pid)),
            _ => None,
        })
    }

    async fn kill(&self, pod: &str, container: Option<&str>, signal: &str) {
        let Some((_, pid)) = self.container(&self.world.hand, pod, container).await else { return };
        let signal = signal.trim_start_matches("SIG");
        let _ = tokio::process::Command::new("kill").args(["-s", signal, &pid.to_string()]).output().await;
    }

    async fn exec(&self, pod: &str, step: &Json) -> Json {
        let command: Vec<String> = serde_json::from_value(step["cmd"].clone()).unwrap_or_default();
        let Some((id, _)) =
            self.container(&self.world.hand, pod, Some(step["container"].as_str().unwrap_or("c"))).await
        else {
            return json!({"rc": 1});
        };
        let action = wl::runtime::Action::ExecSync { id, pod_uid: String::new(), command, timeout: None };
        match self.world.hand.execute(&action).await {
            Ok(wl::runtime::Outcome::Exec { exit_code, .. }) => json!({"rc": exit_code}),
            _ => json!({"rc": 1}),
        }
    }

    /// Waits for a condition; what to say if it does not come.
    async fn wait(&self, condition: &Json, limit: f64) -> Option<String> {
        if let Some(seconds) = condition["secs"].as_f64() {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            return None;
        }
        let condition = self.fill(condition);
        let until = Instant::now() + Duration::from_secs_f64(limit);
        while Instant::now() < until {
            if lock(&self.world.seen).get(&self.namespace).is_some_and(|l| l.history.holds(&condition, f64::INFINITY)) {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(format!("never: {condition}"))
    }

    /// Nothing of it disturbs the next.
    async fn clean_up(&self) {
        for file in std::fs::read_dir(self.world.manifests()).into_iter().flatten().flatten() {
            if file.file_name().to_string_lossy().starts_with(&self.namespace) {
                let _ = std::fs::remove_file(file.path());
            }
        }
        let pods = self.path("Pod", &self.namespace);
        let now = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        if let Ok(list) = self.world.client.get(&pods).await {
            for pod in list["items"].as_array().into_iter().flatten() {
                let path = format!("{pods}/{}", pod["metadata"]["name"].as_str().unwrap_or_default());
                let free = json!({"metadata": {"finalizers": null}});
                let request =
                    Ask::new(Method::PATCH, path.clone()).bytes("application/merge-patch+json", free.to_string());
                ask(&self.world.client, request).await;
                self.send(Method::DELETE, &path, Some(&now)).await;
            }
        }
        lock(&self.world.seen).remove(&self.namespace);
    }
}
