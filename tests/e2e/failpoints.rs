//! kill -9 at every step: whatever dies, wherever, the next command brings everything to its end, nothing lost or doubled.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wl::runtime::{ContainerState, Runtime, Sandbox};
use wl::store::failpoint::Point;

use crate::world::{IMAGES, World};

/// What has to happen for a point to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The command itself dies, on its way through an apply.
    Command,
    /// A Deployment is rolled.
    Roll,
    /// A Deployment is deleted.
    Delete,
    /// An image is fetched, which fails.
    Fetch,
    /// A Pod ends by itself.
    Finish,
    /// A Pod's container is replaced for the second time.
    Replace,
    /// Somebody pauses a container.
    Pause,
    /// A running container is given other resources.
    Resize,
}

fn way(point: Point) -> Way {
    match point {
        Point::ApplyRehearsed | Point::ApplyBetweenObjects | Point::ApplySent => Way::Command,
        Point::StoreCommit
        | Point::StoreCommitted
        | Point::ControllerWrite
        | Point::ControllerWrote
        | Point::Bind
        | Point::Bound
        | Point::Status
        | Point::Inspect
        | Point::Inspected
        | Point::Volume
        | Point::VolumeWritten
        | Point::Sandbox
        | Point::SandboxMade
        | Point::Create
        | Point::Created
        | Point::Start
        | Point::Started
        | Point::Exec
        | Point::Executed => Way::Roll,
        Point::Pull | Point::Pulled => Way::Fetch,
        Point::Signal | Point::Signalled | Point::SandboxRemove | Point::SandboxRemoved | Point::Finalize => {
            Way::Delete
        }
        Point::SandboxStop | Point::SandboxStopped => Way::Finish,
        Point::Remove | Point::Removed => Way::Replace,
        Point::Resume | Point::Resumed => Way::Pause,
        Point::Update | Point::Updated => Way::Resize,
    }
}

/// A Deployment whose pods show their generation, from a ConfigMap and from their environment.
fn manifest(generation: usize) -> String {
    let text = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {generation: "@@"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: localhost/wl-e2e:1
        args: ["/program", "on-term:0", "cat:/page/generation", "say:", "env:GENERATION", "forever"]
        env: [{name: GENERATION, value: "@@"}]
        readinessProbe: {exec: {command: ["/program", "exit:0"]}, periodSeconds: 1}
        volumeMounts: [{name: page, mountPath: /page}]
      volumes: [{name: page, configMap: {name: page}}]
"#;
    text.replace("@@", &generation.to_string())
}

/// A bare Pod.
fn pod(name: &str, image: &str, does: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  \
         terminationGracePeriodSeconds: 1\n  containers:\n  - name: app\n    image: {image}\n    \
         args: [\"/program\", {does}]\n"
    )
}

const STAYS: &str = "\"on-term:0\", \"forever\"";

fn lives(sandbox: &Sandbox) -> usize {
    sandbox.containers.iter().filter(|c| matches!(c.state, ContainerState::Running { .. })).count()
}

struct Rounds {
    world: World,
    generation: usize,
}

impl Rounds {
    /// Runs `wl watch` so that it dies at the point; its process, if it came up at all.
    async fn doomed(&self, point: Point) -> Option<u32> {
        loop {
            self.world.wl(&["watch", "stop"]).await;
            let mut start = self.world.command(&["watch", "--background"]);
            start.env("WL_FAILPOINT", point.name());
            self.world.run(start).await;
            let pid = wl::store::holder(&self.world.state())?.pid;
            // One that an earlier command started may have been quicker: it would not die.
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            if environment.split(|b| *b == 0).any(|variable| variable.starts_with(b"WL_FAILPOINT=")) {
                return Some(pid);
            }
        }
    }

    async fn until_dead(&self, point: Point, pid: Option<u32>) {
        let Some(pid) = pid else { return };
        let died = || async { wl::store::holder(&self.world.state()).is_none_or(|holder| holder.pid != pid) };
        self.world.eventually(&format!("the watch dies at {point}"), died).await;
    }

    async fn round(&mut self, point: Point) {
        self.generation += 1;
        let name = format!("once-{}", self.generation);
        match way(point) {
            Way::Command => {
                let file = self.world.file("web.yaml", &manifest(self.generation));
                let mut apply = self.world.command(&["apply", "-f", &file]);
                apply.env("WL_FAILPOINT", point.name());
                let died = self.world.run(apply).await;
                assert_eq!(died.code, None, "{point} is reached: {}{}", died.out, died.err);
            }
            Way::Roll => {
                let file = self.world.file("web.yaml", &manifest(self.generation));
                let pid = self.doomed(point).await;
                // The watch dies under the command, which goes on with another one.
                self.world.wl(&["apply", "-f", &file]).await.ends(0);
                self.until_dead(point, pid).await;
            }
            Way::Delete => {
                let pid = self.doomed(point).await;
                self.world.wl(&["delete", "deployment/web", "--cascade=foreground", "--wait=false"]).await;
                self.until_dead(point, pid).await;
                self.world
                    .wl(&["delete", "deployment/web", "--cascade=foreground", "--ignore-not-found"])
                    .await
                    .ends(0);
                self.world.eventually("all pods are gone", || async { self.world.sandboxes().await.is_empty() }).await;
                self.world.file("web.yaml", &manifest(self.generation));
            }
            Way::Fetch => {
                let file = self.world.file("once.yaml", &pod(&name, "localhost/wl-none:1", "\"exit:0\""));
                let pid = self.doomed(point).await;
                self.world.wl(&["apply", "--wait=false", "-f", &file]).await;
                self.until_dead(point, pid).await;
                self.world.wl(&["apply", "--wait=false", "-f", &file]).await.ends(0);
                let told = || async { self.world.wl(&["get", "pod", &name]).await.out.contains("ErrImagePull") };
                self.world.eventually(&format!("{point}: the failure is told"), told).await;
                self.world.wl(&["delete", "pod", &name]).await.ends(0);
            }
            Way::Finish => {
                let file = self.world.file("once.yaml", &pod(&name, IMAGES[0], "\"exit:0\""));
                let pid = self.doomed(point).await;
                self.world.wl(&["apply", "--wait=false", "-f", &file]).await;
                self.until_dead(point, pid).await;
                self.world.wl(&["apply", "-f", &file]).await.ends(0);
                let ended = self.world.json(&["get", "pod", &name]).await;
                assert_eq!(ended["status"]["phase"], "Succeeded", "{point}: {ended:#}");
                assert_eq!(ended["status"]["containerStatuses"][0]["restartCount"], 0, "{point}: it ran once");
                self.world.wl(&["delete", "pod", &name]).await.ends(0);
            }
            Way::Replace => self.replace(point, &name).await,
            Way::Pause => {
                let pid = self.doomed(point).await;
                let sandbox = self.world.sandboxes().await.remove(0);
                self.generation -= 1;
                if !self.pause(&sandbox.containers.last().expect("a container").id).await {
                    println!("{point}: this Podman pauses no container of an ordinary user");
                    return;
                }
                self.until_dead(point, pid).await;
                self.world.wl(&["watch", "--background"]).await.ends(0);
                let runs = || async {
                    let sandboxes = self.world.sandboxes().await;
                    let states = sandboxes[0].containers.iter().map(|c| &c.state);
                    states.filter(|s| matches!(s, ContainerState::Running { paused: false, .. })).count() == 1
                };
                self.world.eventually(&format!("{point}: it goes on"), runs).await;
            }
            Way::Resize => self.resize(point, &name).await,
        }
        self.is_whole(point).await;
    }

    /// A new image takes the place of a container without the pod's end.
    async fn replace(&self, point: Point, name: &str) {
        // Of a pod that never restarts a kubelet shows no container running that it has shown ended (`Never`).
        let with = |image| self.world.file("once.yaml", &pod(name, image, STAYS).replace("Never", "Always"));
        let file = with(IMAGES[0]);
        self.world.wl(&["apply", "-f", &file]).await.ends(0);
        with(IMAGES[1]);
        self.world.wl(&["apply", "-f", &file]).await.ends(0);
        let attempts = |number: usize| async move {
            let sandboxes = self.world.sandboxes().await;
            sandboxes.iter().any(|s| s.name == name && lives(s) == 1 && s.containers.len() == number)
        };
        self.world.eventually("the second attempt runs", || attempts(2)).await;
        let pid = self.doomed(point).await;
        with(IMAGES[0]);
        self.world.wl(&["apply", "--wait=false", "-f", &file]).await;
        self.until_dead(point, pid).await;
        self.world.wl(&["apply", "-f", &file]).await.ends(0);
        self.world.eventually(&format!("{point}: one runs, one is kept"), || attempts(2)).await;
        self.world.wl(&["delete", "pod", name]).await.ends(0);
    }

    /// Other resources reach a container without its end.
    async fn resize(&self, point: Point, name: &str) {
        if self.world.hand().await.machine().await.expect("a machine").lacks_controllers {
            println!("{point}: this Podman has no say in the resources of an ordinary user's containers");
            return;
        }
        let with = |cpu| {
            let resources = format!("    resources: {{requests: {{cpu: {cpu}}}, limits: {{cpu: {cpu}}}}}\n");
            self.world.file("once.yaml", &format!("{}{resources}", pod(name, IMAGES[0], STAYS)))
        };
        let file = with("100m");
        self.world.wl(&["apply", "-f", &file]).await.ends(0);
        let pid = self.doomed(point).await;
        let cpu = serde_json::json!({"cpu": "200m"});
        let container = serde_json::json!({"name": "app", "resources": {"requests": cpu, "limits": cpu}});
        let patch = serde_json::json!({"spec": {"containers": [container]}}).to_string();
        self.world.wl(&["patch", "pod", name, "--subresource", "resize", "-p", &patch]).await;
        self.until_dead(point, pid).await;
        self.world.wl(&["watch", "--background"]).await.ends(0);
        let resized = || async {
            let status = self.world.json(&["get", "pod", name]).await["status"].clone();
            let container = &status["containerStatuses"][0];
            let under_way = status["conditions"]
                .as_array()
                .is_some_and(|all| all.iter().any(|c| c["type"] == "PodResizeInProgress"));
            container["resources"]["limits"]["cpu"] == "200m" && container["restartCount"] == 0 && !under_way
        };
        self.world.eventually(&format!("{point}: it runs with more"), resized).await;
        self.world.wl(&["delete", "pod", name]).await.ends(0);
    }

    /// `podman pause`, without that command: the runtime's door has no such action. False: it cannot be done here.
    async fn pause(&self, id: &str) -> bool {
        let socket = self.world.hand().await.socket();
        let mut stream = tokio::net::UnixStream::connect(socket).await.expect("connected");
        let request = format!(
            "POST /v4.0.0/libpod/containers/{id}/pause HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        assert!(
            answer.starts_with("HTTP/1.1 204") || answer.contains("can not pause containers on rootless"),
            "{answer}"
        );
        answer.starts_with("HTTP/1.1 204")
    }

    /// The next apply ends well, and there is exactly what the manifest says.
    async fn is_whole(&self, point: Point) {
        let file = self.world.path("web.yaml").to_string_lossy().into_owned();
        self.world.wl(&["apply", "-f", &file]).await.ends(0);
        let generation = self.generation_of_file();
        let one = || async {
            let sandboxes = self.world.sandboxes().await;
            sandboxes.len() == 1 && lives(&sandboxes[0]) == 1
        };
        self.world.eventually(&format!("{point}: one pod runs in Podman, and nothing else"), one).await;
        let pods = || async { self.world.json(&["get", "pods"]).await["items"].clone() };
        let one = || async { pods().await.as_array().is_some_and(|pods| pods.len() == 1) };
        self.world.eventually(&format!("{point}: the API has one pod"), one).await;
        let pods = pods().await;
        assert_eq!(pods[0]["spec"]["containers"][0]["env"][0]["value"], generation.as_str(), "{point}");
        let name = pods[0]["metadata"]["name"].as_str().expect("a name");
        let page = self.world.json(&["get", "configmap", "page"]).await;
        assert_eq!(page["data"]["generation"], generation.as_str(), "{point}");
        let expected = format!("GENERATION={generation}");
        let says = || async { self.world.wl(&["logs", name]).await.out.contains(&expected) };
        self.world.eventually(&format!("{point}: the pod shows {expected}"), says).await;
    }

    fn generation_of_file(&self) -> String {
        let text = std::fs::read_to_string(self.world.path("web.yaml")).expect("the manifest");
        text.split("value: \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a generation").to_owned()
    }
}

/// Takes every `of`th point, beginning with `from`: several of these run side by side.
async fn rounds(name: &str, from: usize, of: usize) {
    let Some(world) = World::new(name).await else { return };
    let file = world.file("web.yaml", &manifest(0));
    world.wl(&["apply", "-f", &file]).await.ends(0);
    let mut rounds = Rounds { world, generation: 0 };
    // `WL_POINT=removed` takes one point alone.
    let only = std::env::var("WL_POINT").ok();
    let chosen = |point: &&Point| only.as_ref().is_none_or(|name| point.name() == name);
    for point in Point::ALL.iter().skip(from).step_by(of).filter(chosen) {
        let begun = tokio::time::Instant::now();
        rounds.round(*point).await;
        println!("{point}: {:.1} s", begun.elapsed().as_secs_f32());
    }
    rounds.world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_first_quarter() {
    rounds("fail0", 0, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_second_quarter() {
    rounds("fail1", 1, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_third_quarter() {
    rounds("fail2", 2, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_last_quarter() {
    rounds("fail3", 3, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_does_it_itself_can_be_killed_too() {
    let Some(world) = World::new("failself").await else { return };
    let file = world.file("web.yaml", &manifest(0));
    for point in [Point::StoreCommitted, Point::Bound, Point::SandboxMade, Point::Started, Point::ApplySent] {
        let mut apply = world.command(&["apply", "--no-watch", "-f", &file]);
        apply.env("WL_FAILPOINT", point.name());
        assert_eq!(world.run(apply).await.code, None, "{point} is reached");
    }
    world.wl(&["apply", "--no-watch", "-f", &file]).await.ends(0);
    let rounds = Rounds { world, generation: 0 };
    rounds.is_whole(Point::ApplySent).await;
    tokio::time::timeout(Duration::from_secs(60), rounds.world.end()).await.expect("it ends");
}
