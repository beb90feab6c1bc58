//! Apply, plan, get, roll, undo, delete.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::world::{IMAGES, World};

/// A Deployment whose pods show a ConfigMap, read a Secret and are ready when a file is there.
fn manifest(image: &str) -> String {
    let text = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {index.html: "It works"}
---
apiVersion: v1
kind: Secret
metadata: {name: password}
stringData: {password: change-me}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 1}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: web
        image: IMAGE
        args: ["/program", "on-term:0", "cat:/www/index.html", "say:", "env:PASSWORD", "listen:8080"]
        env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: password, key: password}}}]
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: page, mountPath: /www, readOnly: true}]
      volumes: [{name: page, configMap: {name: page}}]
"#;
    text.replace("IMAGE", image)
}

fn images(pods: &Value) -> BTreeSet<&str> {
    let pods = pods["items"].as_array().expect("a list");
    pods.iter().filter_map(|p| p.pointer("/spec/containers/0/image")?.as_str()).collect()
}

fn names(list: &Value) -> BTreeSet<String> {
    let items = list["items"].as_array().expect("a list");
    items.iter().filter_map(|p| Some(p.pointer("/metadata/name")?.as_str()?.to_owned())).collect()
}

fn ready(pods: &Value) -> usize {
    let is_ready = |pod: &&Value| {
        let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|c| c["type"] == "Ready" && c["status"] == "True")
            && pod.pointer("/metadata/deletionTimestamp").is_none()
    };
    pods["items"].as_array().expect("a list").iter().filter(is_ready).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job() {
    let Some(world) = World::new("main").await else { return };
    let file = world.file("web.yaml", &manifest(IMAGES[0]));
    world.wl(&["plan", "-f", &file]).await.ends(2).says(&["deployment/web", "3 to add"]);
    assert!(!world.state().exists(), "a plan writes nothing");
    world.wl(&["apply", "-f", &file]).await.ends(0).says(&["deployment.apps/web created", "configmap/page created"]);
    let pods = world.json(&["get", "pods"]).await;
    assert_eq!((ready(&pods), images(&pods)), (3, BTreeSet::from([IMAGES[0]])));
    assert_eq!(world.running().await.len(), 3);
    let first = names(&pods);
    let one = first.first().expect("a pod");
    world.wl(&["logs", one]).await.ends(0).says(&["It works", "PASSWORD=change-me"]);
    world.wl(&["get", "deploy,rs,pods"]).await.ends(0).says(&["deployment.apps/web", "3/3", "Running"]);

    // Applied once more, nothing happens.
    world.wl(&["plan", "-f", &file]).await.ends(0).says(&["3 unchanged"]);
    world
        .wl(&["apply", "-f", &file])
        .await
        .ends(0)
        .says(&["deployment.apps/web unchanged", "secret/password unchanged"]);
    assert_eq!(names(&world.json(&["get", "pods"]).await), first);

    // Another image: never fewer than two ready pods, never more than four.
    world.file("web.yaml", &manifest(IMAGES[1]));
    world.wl(&["plan", "-f", &file]).await.ends(2).says(&["rolls 3 pods", "localhost/wl-e2e:1 → localhost/wl-e2e:2"]);
    let apply = world.command(&["apply", "-f", &file]);
    let rolled = watch_while(&world, world.run(apply)).await;
    rolled.ends(0).says(&["deployment.apps/web configured"]);
    let pods = world.json(&["get", "pods"]).await;
    world
        .eventually("the old pods are gone", || async {
            let pods = world.json(&["get", "pods"]).await;
            images(&pods) == BTreeSet::from([IMAGES[1]]) && ready(&pods) == 3
        })
        .await;
    assert!(names(&pods).is_disjoint(&first) || ready(&pods) >= 3);
    let revisions = world.json(&["get", "rs"]).await;
    assert_eq!(names(&revisions).len(), 2);

    world.wl(&["rollout", "history", "deployment/web"]).await.ends(0).says(&["1", "2"]);
    world.wl(&["rollout", "undo", "deployment/web"]).await.ends(0);
    world.wl(&["rollout", "status", "deployment/web"]).await.ends(0).says(&["successfully rolled out"]);
    world
        .eventually("the first image is back", || async {
            let pods = world.json(&["get", "pods"]).await;
            images(&pods) == BTreeSet::from([IMAGES[0]]) && ready(&pods) == 3
        })
        .await;

    world.wl(&["delete", "-f", &file, "--cascade=foreground"]).await.ends(0);
    assert!(names(&world.json(&["get", "pods,rs,deploy"]).await).is_empty());
    assert_eq!(world.sandboxes().await, vec![], "Podman has nothing of it");
    world.end().await;
}

/// Sees, all the while that something runs, that the promises of its strategy are kept.
async fn watch_while<T>(world: &World, running: impl Future<Output = T>) -> T {
    tokio::pin!(running);
    let mut few = 0;
    loop {
        let look = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            world.running().await.len()
        };
        tokio::select! {
            ended = &mut running => return ended,
            alive = look => {
                // A list of Podman's is no snapshot: while it is read, one pod begins and another ends.
                few = if (2..=4).contains(&alive) { 0 } else { few + 1 };
                assert!(few < 2, "{alive} pods run");
                let pods = world.json(&["get", "pods"]).await;
                let ready = ready(&pods);
                assert!((2..=4).contains(&ready), "{ready} pods are ready: {pods:#}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_state_directories_do_not_see_each_other() {
    let Some(one) = World::new("one").await else { return };
    let two = World::new("two").await.expect("Podman is there");
    let (a, b) = (
        one.file("a.yaml", &crate::world::deployment("web", 1, IMAGES[0])),
        two.file("b.yaml", &crate::world::deployment("web", 2, IMAGES[0])),
    );
    let (applied, also) = tokio::join!(one.wl(&["apply", "-f", &a]), two.wl(&["apply", "-f", &b]));
    applied.ends(0);
    also.ends(0);
    let (first, second) = (one.running().await, two.running().await);
    assert_eq!((first.len(), second.len()), (1, 2));
    one.wl(&["delete", "deployment", "web", "--cascade=foreground"]).await.ends(0);
    assert_eq!(one.sandboxes().await, vec![]);
    one.end().await;
    assert_eq!(two.running().await, second, "the other's pods go on");
    two.end().await;
}
