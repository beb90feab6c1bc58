//! Pods find each other by names, Services carry their traffic, and the machine gets in.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use wl::runtime::{Action, ContainerState, GATEWAY_UID, Runtime, Sandbox};

use crate::world::{IMAGES, World};

/// A Deployment that serves HTTP behind a Service, a StatefulSet behind a headless one, and one that echoes datagrams.
pub fn servers() -> String {
    let text = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
      - name: web
        image: IMAGE
        args: ["/program", "serve:8080"]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 1, timeoutSeconds: 30}
        livenessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1, timeoutSeconds: 30, failureThreshold: 2}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: peer}
spec:
  serviceName: peers
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: peer}}
  template:
    metadata: {labels: {app: peer}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: peer
        image: IMAGE
        args: ["/program", "on-term:0", "udp:7777"]
        ports: [{name: echo, containerPort: 7777, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: peers}
spec:
  clusterIP: None
  selector: {app: peer}
  ports: [{name: echo, port: 7777, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  selector: {app: peer}
  ports: [{port: 77, targetPort: echo, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: other}
spec: {type: ExternalName, externalName: web.default.svc.cluster.local}
"#;
    text.replace("IMAGE", IMAGES[0])
}

/// A pod that does these things once.
pub fn client(name: &str, steps: &[&str]) -> String {
    let steps: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  terminationGracePeriodSeconds: 1\n  \
         containers:\n  - {{name: app, image: \"{}\", args: [/program, {}]}}\n",
        IMAGES[0],
        steps.join(", ")
    )
}

impl World {
    /// Runs a client to its end; what it said.
    pub async fn client(&self, name: &str, steps: &[&str]) -> String {
        let file = self.file(&format!("{name}.yaml"), &client(name, steps));
        self.wl(&["apply", "--wait=false", "-f", &file]).await.ends(0);
        self.said(name).await
    }

    /// What a client has said when it has ended.
    pub async fn said(&self, name: &str) -> String {
        let ended = || async {
            let pod = self.json(&["get", "pod", name]).await;
            matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed"))
        };
        self.eventually(&format!("{name} ends"), ended).await;
        self.wl(&["logs", name]).await.ends(0).out
    }

    pub async fn gateway(&self) -> Option<Sandbox> {
        let hand = self.hand().await;
        // Containers that another process makes are seen by a list of all.
        hand.observe().await.expect("a list");
        hand.observe_pod(GATEWAY_UID).await.expect("looked")
    }

    /// The first node port of a Service.
    pub async fn node_port(&self, service: &str) -> u16 {
        let service = self.json(&["get", "svc", service]).await;
        let port = service.pointer("/spec/ports/0/nodePort").and_then(Value::as_u64).expect("a node port");
        u16::try_from(port).expect("a port")
    }

    /// An answer by HTTP from the machine itself.
    pub async fn fetch(&self, port: u16) -> std::io::Result<String> {
        self.fetch_at("127.0.0.1", port).await
    }

    /// The same at another address.
    pub async fn fetch_at(&self, address: &str, port: u16) -> std::io::Result<String> {
        let mut stream = TcpStream::connect((address, port)).await?;
        stream.write_all(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
        let mut text = String::new();
        tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut text)).await??;
        Ok(text)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_find_each_other_and_the_machine_gets_in() {
    let Some(world) = World::new("services").await else { return };
    let file = world.file("servers.yaml", &servers());
    world.wl(&["apply", "-f", &file]).await.ends(0);
    let steps = [
        "cat:/etc/resolv.conf",
        "lookup:web",
        "lookup:web.default.svc.cluster.local",
        "lookup:peers",
        "lookup:peer-0.peers",
        "lookup:peer-1.peers.default",
        "lookup:gone",
        "fetch:web:80/one",
        "fetch:other:80/two",
        "ask:echo:77=three",
        "ask:peer-1.peers:7777=four",
        "env:WEB_SERVICE_PORT",
    ];
    let said = world.client("client", &steps).await;
    let web = world.json(&["get", "svc", "web"]).await;
    let address = web.pointer("/spec/clusterIP").and_then(Value::as_str).expect("an address").to_owned();
    for expected in [
        "search default.svc.cluster.local svc.cluster.local cluster.local",
        &format!("web: {address}\n"),
        &format!("web.default.svc.cluster.local: {address}\n"),
        " /one\n",
        " /two\n",
        " three\n",
        "peer-1 four\n",
        "WEB_SERVICE_PORT=80\n",
        "lookup:gone: failed to lookup address information",
    ] {
        assert!(said.contains(expected), "{expected:?} in\n{said}");
    }
    let peers = said.lines().find(|l| l.starts_with("peers: ")).unwrap_or_default();
    assert_eq!(peers.split_whitespace().count(), 3, "{said}");

    // From the machine, also where the watch is dead, and after the gateway was killed.
    let port = world.node_port("web").await;
    let answers = || async { world.fetch(port).await.is_ok_and(|text| text.contains("200 OK")) };
    world.eventually("the node port answers", answers).await;
    world.wl(&["open", "svc/web"]).await.ends(0).says(&[&format!("http://localhost:{port}/")]);
    world.wl(&["watch", "stop"]).await.ends(0);
    assert!(answers().await, "the watch is not needed");
    world.wl(&["apply", "-f", &file]).await.ends(0);
    let gateway = world.gateway().await.expect("a gateway");
    let old = gateway.containers.first().expect("a container").id.clone();
    world.act(Action::SignalContainer { id: old.clone(), pod_uid: GATEWAY_UID.into(), signal: 9 }).await;
    let another = || async {
        let runs =
            |s: &Sandbox| s.containers.iter().any(|c| c.id != old && matches!(c.state, ContainerState::Running { .. }));
        world.gateway().await.is_some_and(|s| runs(&s))
    };
    world.eventually("another gateway runs", another).await;
    world.eventually("the node port answers again", answers).await;
    let said = world.client("again", &["fetch:web:80/again"]).await;
    assert!(said.contains(" /again"), "{said}");

    // Deleted, a Service is neither found nor reached.
    world.wl(&["delete", "svc", "web"]).await.ends(0);
    let refused =
        || async { world.fetch(port).await.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused) };
    world.eventually("the node port is closed", refused).await;
    world.end().await;
    let closed = TcpStream::connect(("127.0.0.1", port)).await;
    assert!(closed.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_told_and_opened_when_it_is_free() {
    let Some(world) = World::new("taken").await else { return };
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let balancer = format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: balancer}}\nspec:\n  type: LoadBalancer\n  selector: {{app: web}}\n  \
         ports: [{{port: {port}, targetPort: http}}]\n"
    );
    let file = world.file("servers.yaml", &(servers() + &balancer));
    let warned = format!("port {port} of this machine cannot be opened for now: ");
    let holder = format!("(process {}) has it", std::process::id());
    world.wl(&["plan", "-f", &file]).await.ends(2).says(&[&warned, &holder]);
    world.wl(&["apply", "--wait=false", "-f", &file]).await.ends(0).says(&[&warned, &holder]);
    let told = || async {
        let events = world.json(&["get", "events"]).await;
        let items = events["items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .any(|e| e["reason"] == "PortNotOpen" && e["message"].as_str().is_some_and(|m| m.ends_with(&holder)))
    };
    world.eventually("the holder is named", told).await;
    let status =
        || async { world.json(&["get", "svc", "balancer"]).await.pointer("/status/loadBalancer/ingress").cloned() };
    assert_eq!(status().await, None);
    drop(taken);
    let open = || async { world.fetch(port).await.is_ok_and(|text| text.contains("200 OK")) };
    world.eventually("the balancer answers", open).await;
    let shown = || async { status().await.is_some_and(|s| s[0]["hostname"] == "localhost") };
    world.eventually("its status says so", shown).await;
    world.end().await;
}
