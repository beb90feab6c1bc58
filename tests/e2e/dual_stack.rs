//! Both families of addresses: pods, Services, names and the gateway, and a network that keeps what it was made with.

use serde_json::Value;
use wl::network::{Cidr, has_ipv6};
use wl::runtime::{Action, GATEWAY_UID};

use crate::world::{IMAGES, World};

/// A Deployment and a StatefulSet with Services of both families.
fn servers() -> String {
    let text = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: IMAGE
        args: ["/program", "serve:8080"]
        readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1, timeoutSeconds: 30}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, ipFamilyPolicy: PreferDualStack, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
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
      containers: [{name: peer, image: IMAGE, args: ["/program", "on-term:0", "udp:7777"]}]
---
apiVersion: v1
kind: Service
metadata: {name: peers}
spec: {clusterIP: None, ipFamilyPolicy: PreferDualStack, selector: {app: peer}, ports: [{name: echo, port: 7777, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec: {ipFamilyPolicy: PreferDualStack, selector: {app: peer}, ports: [{port: 77, targetPort: 7777, protocol: UDP}]}
---
apiVersion: v1
kind: Pod
metadata: {name: told}
spec:
  restartPolicy: Never
  containers:
  - name: told
    image: IMAGE
    args: ["/program", "cat:/etc/hosts", "env:POD_IPS", "env:WEB_SERVICE_HOST"]
    env: [{name: POD_IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}]
"#;
    text.replace("IMAGE", IMAGES[0])
}

/// A Service of IPv6 alone, on the machine too.
const SIX: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: six}\n\
    spec: {type: NodePort, ipFamilies: [IPv6], selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}\n";

fn texts(object: &Value, path: &str) -> Vec<String> {
    let list = object.pointer(path).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|entry| entry.as_str().or(entry["ip"].as_str()).map(str::to_owned)).collect()
}

/// Whether the kernel lets interfaces have IPv6 addresses at all.
fn kernel_has_ipv6() -> bool {
    let disabled = std::fs::read_to_string("/proc/sys/net/ipv6/conf/default/disable_ipv6");
    disabled.is_ok_and(|text| text.trim() == "0")
}

impl World {
    async fn families_of(&self, service: &str) -> Vec<String> {
        texts(&self.json(&["get", "svc", service]).await, "/spec/clusterIPs")
    }

    async fn pod_ips(&self, pod: &str) -> Vec<String> {
        texts(&self.json(&["get", "pod", pod]).await, "/status/podIPs")
    }

    /// All that a machine without IPv6 has.
    async fn is_single(&self) {
        for service in ["web", "echo"] {
            assert_eq!(self.families_of(service).await.len(), 1, "{service}");
        }
        assert_eq!(self.pod_ips("peer-0").await.len(), 1);
        let slices = self.json(&["get", "endpointslices"]).await;
        let kinds = slices["items"].as_array().into_iter().flatten().map(|slice| slice["addressType"].as_str());
        assert!(kinds.clone().all(|kind| kind == Some("IPv4")), "{:?}", kinds.collect::<Vec<_>>());
        let said = self.client("single", &["lookup:web", "lookup:peers", "fetch:web:80/one"]).await;
        assert!(!said.lines().any(|line| line.starts_with("web: ") && line.contains("fd")), "{said}");
        assert!(said.contains(" /one\n"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_and_services_are_reached_by_both_families() {
    let Some(world) = World::new("dual").await else { return };
    let file = world.file("servers.yaml", &servers());
    if !kernel_has_ipv6() {
        eprintln!("this machine has no IPv6: everything has one family");
        world.wl(&["apply", "-f", &file]).await.ends(0);
        world.is_single().await;
        return world.end().await;
    }
    world.wl(&["apply", "--ip-families=IPv4,IPv6", "-f", &file]).await.ends(0);
    let [web, echo, peer] =
        [world.families_of("web").await, world.families_of("echo").await, world.pod_ips("peer-1").await];
    for both in [&web, &echo, &peer] {
        assert!(both.len() == 2 && !both[0].contains(':') && both[1].contains(':'), "{both:?}");
    }
    let node = world.json(&["get", "nodes"]).await;
    assert_eq!(texts(&node, "/items/0/spec/podCIDRs").len(), 2, "{node}");

    let told = world.said("told").await;
    let own = world.pod_ips("told").await;
    let lines = [
        format!("{}\ttold\n{}\ttold\n", own[0], own[1]),
        format!("POD_IPS={},{}\n", own[0], own[1]),
        format!("WEB_SERVICE_HOST={}\n", web[0]),
    ];
    for line in lines {
        assert!(told.contains(&line), "{line:?} in\n{told}");
    }

    let steps = [
        "lookup:web".to_owned(),
        "lookup:peers".to_owned(),
        "lookup:peer-0.peers".to_owned(),
        format!("fetch:{}:80/four", web[0]),
        format!("fetch:[{}]:80/six", web[1]),
        format!("ask:{}:77=cluster-four", echo[0]),
        format!("ask:[{}]:77=cluster-six", echo[1]),
        format!("ask:[{}]:7777=direct", peer[1]),
    ];
    let said = world.client("client", &steps.each_ref().map(String::as_str)).await;
    for expected in [" /four\n", " /six\n", " cluster-four\n", " cluster-six\n", "peer-1 direct\n"] {
        assert!(said.contains(expected), "{expected:?} in\n{said}");
    }
    for (name, count) in [("web", 2), ("peers", 4), ("peer-0.peers", 2)] {
        let found = said.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap_or_default();
        assert_eq!(found.split_whitespace().count(), count, "{name} in\n{said}");
        assert_eq!(found.split_whitespace().filter(|ip| ip.contains(':')).count(), count / 2, "{name} in\n{said}");
    }
    let port = world.node_port("web").await;
    let answers = || async { world.fetch(port).await.is_ok_and(|text| text.contains("200 OK")) };
    world.eventually("the node port answers", answers).await;

    let six = world.file("six.yaml", SIX);
    world.wl(&["apply", "-f", &six]).await.ends(0);
    assert!(world.families_of("six").await.iter().all(|ip| ip.contains(':')));
    let said = world.client("only", &["lookup:six", "fetch:six:80/only"]).await;
    assert!(said.contains(" /only\n"), "{said}");
    let service = world.json(&["get", "svc", "six"]).await;
    let port = service.pointer("/spec/ports/0/nodePort").and_then(Value::as_u64).and_then(|port| port.try_into().ok());
    let port: u16 = port.expect("a node port");
    let answers = || async { world.fetch(port).await.is_ok_and(|text| text.contains("200 OK")) };
    world.eventually("its node port answers", answers).await;

    // Another gateway has them too, whether the watch was there or not.
    let gateway = world.gateway().await.expect("a gateway");
    world.act(Action::RemoveSandbox { id: gateway.id.clone(), pod_uid: GATEWAY_UID.into(), forget_pod: false }).await;
    let another =
        || async { world.gateway().await.is_some_and(|found| found.id != gateway.id && found.ips.len() == 2) };
    world.eventually("another gateway runs", another).await;
    world.wl(&["watch", "stop"]).await.ends(0);
    world.wl(&["apply", "-f", &file]).await.ends(0);
    let again = format!("fetch:[{}]:80/again", web[1]);
    let reached = || async {
        let name = format!("again-{}", std::time::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_nanos()));
        world.client(&name, &[&again]).await.contains(" /again\n")
    };
    world.eventually("the Service is reached again", reached).await;

    // Back to one family: its address goes, and with it the name's and the slices.
    let single = r#"{"spec": {"ipFamilyPolicy": "SingleStack"}}"#;
    world.wl(&["patch", "svc", "web", "--type=merge", "-p", single]).await.ends(0);
    assert_eq!(world.families_of("web").await, web[..1]);
    let one = || async {
        let name = format!("one-{}", std::time::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_nanos()));
        let said = world.client(&name, &["lookup:web", &again]).await;
        said.contains(&format!("web: {}\n", web[0])) && !said.contains(" /again\n")
    };
    world.eventually("one family is left", one).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_has_the_families_of_its_machine_and_keeps_them() {
    let Some(world) = World::new("families").await else { return };
    let file = world.file("servers.yaml", &servers());
    world.wl(&["apply", "-f", &file]).await.ends(0);
    let networks = world.hand().await.networks().await.expect("a list");
    let ranges: Vec<Cidr> = networks.iter().flat_map(|n| &n.subnets).filter_map(|range| range.parse().ok()).collect();
    let expected = if has_ipv6(&ranges) { 2 } else { 1 };
    eprintln!("families of addresses of this machine: {expected}");
    assert_eq!(world.families_of("web").await.len(), expected);
    assert_eq!(world.pod_ips("peer-0").await.len(), expected);
    world.end().await;

    let Some(world) = World::new("kept").await else { return };
    let file = world.file("servers.yaml", &servers());
    // Where the machine's ports are opened has nothing to do with it.
    let here = if kernel_has_ipv6() { "::1" } else { "127.0.0.1" };
    let publish = format!("--publish-address={here}");
    world.wl(&["apply", "--ip-families=IPv4", &publish, "-f", &file]).await.ends(0);
    world.is_single().await;
    let port = world.node_port("web").await;
    let answers = || async { world.fetch_at(here, port).await.is_ok_and(|text| text.contains("200 OK")) };
    world.eventually("the node port answers", answers).await;
    let before = world.pod_ips("peer-0").await;
    world.wl(&["watch", "stop"]).await.ends(0);
    world.wl(&["apply", "--ip-families=IPv4,IPv6", "-f", &file]).await.ends(0);
    assert_eq!(world.families_of("web").await.len(), 1);
    assert_eq!(world.pod_ips("peer-0").await, before, "no pod is replaced for a second family");
    world.wl(&["delete", "pod", "single"]).await.ends(0);
    world.is_single().await;
    world.end().await;
}
