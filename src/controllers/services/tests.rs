//! Rules of slices that the recordings do not show.

use jiff::Timestamp;
use serde_json::json;

use super::packing::endpoints;
use super::slices::slice_ports;
use super::*;
use crate::api::GroupResource;
use crate::controllers::resources::{ENDPOINT_SLICES, ENDPOINTS, NODES};
use crate::controllers::{Context, Controller, Write};

struct Counting(u64);

impl crate::api::Random for Counting {
    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

struct World {
    state: State,
    random: Counting,
    uids: u64,
    writes: usize,
}

impl World {
    fn new() -> Self {
        let mut world = World { state: State::new(), random: Counting(0), uids: 0, writes: 0 };
        world.put(&NODES, json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}));
        world
    }

    fn put(&mut self, resource: &GroupResource, mut tree: Json) -> Key {
        self.uids += 1;
        if tree["metadata"]["uid"].is_null() {
            tree["metadata"]["uid"] = json!(format!("uid-{}", self.uids));
        }
        let object = Object::new(tree);
        let key = key_of(resource, &object);
        self.state.put(key.clone(), object);
        key
    }

    fn service(&mut self, selector: Json) -> Key {
        self.put(&SERVICES, json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default", "uid": "service"},
            "spec": {"selector": selector, "clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"],
                "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]},
        }))
    }

    fn pod(&mut self, n: usize, ready: bool) -> Key {
        let ip = format!("10.1.{}.{}", n / 250, n % 250);
        self.put(&PODS, json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("web-{n:04}"), "namespace": "default", "labels": {"app": "web"}},
            "spec": {"nodeName": "n", "containers": []},
            "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
        }))
    }

    /// Looks until nothing is left to write.
    fn settle(&mut self, controller: &dyn Controller, key: &Key) {
        for _ in 0..20 {
            let mut context = Context { now: Timestamp::UNIX_EPOCH, random: &mut self.random };
            let decision = controller.reconcile(&self.state, key, &mut context);
            if decision.writes.is_empty() {
                return;
            }
            for write in decision.writes {
                self.writes += 1;
                match write {
                    Write::Create { object } | Write::Update { object } => {
                        let resource = if object.kind() == "Endpoints" { &*ENDPOINTS } else { &*ENDPOINT_SLICES };
                        self.put(resource, object.json().clone());
                    }
                    Write::Delete { key, .. } => drop(self.state.remove(&key)),
                    Write::Event(_) => (),
                    other => panic!("{other:?}"),
                }
            }
        }
        panic!("never settles");
    }

    fn slices(&self) -> Vec<&Object> {
        self.state.in_namespace(&ENDPOINT_SLICES, "default").map(AsRef::as_ref).collect()
    }

    fn sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<usize> = self.slices().iter().map(|slice| endpoints(slice).len()).collect();
        sizes.sort_unstable();
        sizes
    }
}

#[test]
fn a_slice_holds_a_hundred_and_the_fullest_are_filled_first() {
    let mut world = World::new();
    let controller = EndpointSliceController::default();
    let service = world.service(json!({"app": "web"}));
    world.settle(&controller, &service);
    assert_eq!(world.sizes(), [0], "a Service without pods has one slice of nothing");
    let pods: Vec<Key> = (0..250).map(|n| world.pod(n, true)).collect();
    world.settle(&controller, &service);
    assert_eq!(world.sizes(), [50, 100, 100]);
    world.state.remove(&pods[3]);
    world.settle(&controller, &service);
    assert_eq!(world.sizes(), [50, 99, 100], "what is there stays where it is");
    world.pod(300, true);
    world.settle(&controller, &service);
    assert_eq!(world.sizes(), [50, 100, 100]);
    pods.iter().for_each(|pod| drop(world.state.remove(pod)));
    world.settle(&controller, &service);
    assert_eq!(world.sizes(), [1]);
    let writes = world.writes;
    world.settle(&controller, &service);
    assert_eq!(world.writes, writes);
}

#[test]
fn each_family_of_a_service_has_slices_of_its_own_and_endpoints_have_the_first() {
    let mut world = World::new();
    let key = world.put(&SERVICES, json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default", "uid": "service"},
        "spec": {"selector": {"app": "web"}, "clusterIP": "fd00::8001", "clusterIPs": ["fd00::8001", "10.0.0.1"],
            "ipFamilies": ["IPv6", "IPv4"], "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]},
    }));
    let pod = world.pod(1, true);
    let mut tree = world.state.get(&pod).expect("a pod").json().clone();
    tree["status"]["podIPs"] = json!([{"ip": "10.1.0.1"}, {"ip": "fd00::1"}]);
    world.put(&PODS, tree);
    world.settle(&EndpointSliceController::default(), &key);
    let mut told: Vec<String> = world
        .slices()
        .iter()
        .map(|slice| format!("{} {}", text(slice, &["addressType"]), dig(slice.json(), &["endpoints"])[0]["addresses"]))
        .collect();
    told.sort();
    assert_eq!(told, ["IPv4 [\"10.1.0.1\"]", "IPv6 [\"fd00::1\"]"]);
    world.settle(&EndpointsController::default(), &key);
    let endpoints = world.state.get(&Key::new(ENDPOINTS.clone(), "default", "web")).expect("endpoints");
    assert_eq!(dig(endpoints.json(), &["subsets"])[0]["addresses"][0]["ip"], "fd00::1");
    // One family less: its slices go.
    let mut tree = world.state.get(&key).expect("a service").json().clone();
    tree["spec"]["ipFamilies"] = json!(["IPv6"]);
    world.put(&SERVICES, tree);
    world.settle(&EndpointSliceController::default(), &key);
    assert_eq!(world.slices().len(), 1);
}

#[test]
fn slices_of_another_service_of_the_name_are_not_used_on() {
    let mut world = World::new();
    let controller = EndpointSliceController::default();
    let service = world.service(json!({"app": "web"}));
    world.pod(1, true);
    world.settle(&controller, &service);
    let old = world.slices()[0].name().to_owned();
    let mut again = world.state.get(&service).unwrap().json().clone();
    again["metadata"]["uid"] = json!("another");
    world.put(&SERVICES, again);
    world.settle(&controller, &service);
    assert_eq!(world.sizes(), [1]);
    assert_ne!(world.slices()[0].name(), old);
    assert_eq!(world.slices()[0].controller_uid(), Some("another"));
}

#[test]
fn labels_of_a_service_are_those_of_its_slices() {
    let mut world = World::new();
    let controller = EndpointSliceController::default();
    let service = world.service(json!({"app": "web"}));
    world.pod(1, true);
    world.settle(&controller, &service);
    let mut relabeled = world.state.get(&service).unwrap().json().clone();
    relabeled["metadata"]["labels"] = json!({"tier": "front", SERVICE_NAME: "mine"});
    world.put(&SERVICES, relabeled);
    world.settle(&controller, &service);
    let labels = dig(world.slices()[0].json(), &["metadata", "labels"]).clone();
    assert_eq!(labels, json!({
        "tier": "front", SERVICE_NAME: "web", MANAGED_BY: "endpointslice-controller.k8s.io",
    }));
}

#[test]
fn endpoints_go_with_their_service() {
    let mut world = World::new();
    let controller = EndpointsController::default();
    let service = world.service(json!({"app": "web"}));
    world.pod(1, false);
    world.settle(&controller, &service);
    assert_eq!(world.state.count(&ENDPOINTS), 1);
    world.state.remove(&service);
    world.settle(&controller, &service);
    assert_eq!(world.state.count(&ENDPOINTS), 0);
}

#[test]
fn a_named_port_is_found_in_containers_and_sidecars_only() {
    let pod = |restart: &str, protocol: &str| {
        Object::new(json!({"spec": {
            "containers": [{"ports": [{"name": "other", "containerPort": 1}]}],
            "initContainers": [
                {"ports": [{"name": "http", "containerPort": 2}]},
                {"restartPolicy": restart, "ports": [{"name": "http", "containerPort": 8080, "protocol": protocol}]},
            ],
        }}))
    };
    let port = json!({"port": 80, "targetPort": "http"});
    assert_eq!(port_in(&pod("Always", "TCP"), &port), Some(8080));
    assert_eq!(port_in(&pod("Never", "TCP"), &port), None);
    assert_eq!(port_in(&pod("Always", "UDP"), &port), None);
    assert_eq!(port_in(&pod("Always", "TCP"), &json!({"port": 80, "targetPort": 81})), Some(81));
}

#[test]
fn endpoints_made_by_hand_are_mirrored() {
    let mut world = World::new();
    let controller = MirroringController;
    world.service(Json::Null);
    let mut tree = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "web", "namespace": "default", "labels": {"l": "1"}, "uid": "endpoints",
            "annotations": {"a": "b", "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
        "subsets": [{
            "addresses": [{"ip": "192.168.0.1"}, {"ip": "fd00::1"}],
            "notReadyAddresses": [{"ip": "192.168.0.2", "hostname": "db"}],
            "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
        }],
    });
    let key = world.put(&ENDPOINTS, tree.clone());
    world.settle(&controller, &key);
    assert_eq!(world.sizes(), [1, 2], "one slice for each family");
    for slice in world.slices() {
        let metadata = dig(slice.json(), &["metadata"]);
        assert_eq!(dig(metadata, &["annotations"]), &json!({"a": "b"}));
        assert_eq!(dig(metadata, &["labels"]), &json!({
            "l": "1", SERVICE_NAME: "web", MANAGED_BY: "endpointslicemirroring-controller.k8s.io",
        }));
        assert_eq!(slice_ports(slice), [json!({"name": "sql", "port": 5432, "protocol": "TCP"})]);
    }
    let ready = |slice: &&Object| endpoints(slice).iter().map(|e| dig(e, &["conditions", "ready"]).clone()).collect::<Vec<_>>();
    let of_v4 = world.slices().into_iter().find(|slice| dig(slice.json(), &["addressType"]) == "IPv4").unwrap();
    assert_eq!(ready(&of_v4), [json!(true), json!(false)]);
    let names: Vec<String> = world.slices().iter().map(|slice| slice.name().to_owned()).collect();
    let writes = world.writes;
    world.settle(&controller, &key);
    assert_eq!(world.writes, writes);
    // A change keeps the slice, a label that forbids it takes all of them away.
    tree["subsets"][0]["addresses"][0]["ip"] = json!("192.168.0.9");
    world.put(&ENDPOINTS, tree.clone());
    world.settle(&controller, &key);
    assert_eq!(world.slices().iter().map(|slice| slice.name().to_owned()).collect::<Vec<_>>(), names);
    tree["metadata"]["labels"][SKIP_MIRROR] = json!("true");
    world.put(&ENDPOINTS, tree);
    world.settle(&controller, &key);
    assert_eq!(world.sizes(), [0usize; 0]);
}

#[test]
fn a_service_that_gets_a_selector_is_no_longer_mirrored() {
    let mut world = World::new();
    let controller = MirroringController;
    world.service(Json::Null);
    let key = world.put(&ENDPOINTS, json!({
        "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "web", "namespace": "default"},
        "subsets": [{"addresses": [{"ip": "192.168.0.1"}]}],
    }));
    world.settle(&controller, &key);
    assert_eq!(world.sizes(), [1]);
    world.service(json!({"app": "web"}));
    world.settle(&controller, &key);
    assert_eq!(world.sizes(), [0usize; 0]);
}
