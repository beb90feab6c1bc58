//! What a machine has to say about Services: its ports, and where the API itself is.

use serde_json::json;

use super::Api;
use crate::registry::Settings;

const SERVICES: &str = "/api/v1/namespaces/default/services";

/// A machine on which others have every port but two.
async fn crowded() -> Api {
    let taken = |port: u16| (!matches!(port, 80 | 31_000)).then(|| "nginx (process 7) has it".to_owned());
    Api::with(Settings { port_is_taken: taken, ..Settings::default() }).await
}

#[tokio::test]
async fn node_ports_that_are_given_out_are_free_on_the_machine() {
    let api = crowded().await;
    let service = |name: &str| json!({"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    let first = api.post(SERVICES, service("first")).await;
    assert_eq!((first.code, &first.body["spec"]["ports"][0]["nodePort"]), (201, &json!(31_000)), "{}", first.text);
    assert!(first.warnings.is_empty(), "{:?}", first.warnings);
    let second = api.post(SERVICES, service("second")).await;
    assert_eq!(second.code, 201, "where none is free, one is given out all the same: {}", second.text);
}

#[tokio::test]
async fn ports_that_are_asked_for_and_taken_are_warned_of_once() {
    let api = crowded().await;
    let ports = json!([{"name": "a", "port": 80, "nodePort": 31_000}, {"name": "b", "port": 443, "nodePort": 31_001}]);
    let tree = json!({"metadata": {"name": "web"}, "spec": {"type": "LoadBalancer", "ports": ports}});
    let made = api.post(SERVICES, tree).await;
    assert_eq!(made.code, 201, "{}", made.text);
    let warned = made.warnings.join("\n");
    for place in ["spec.ports[1].port: port 443", "spec.ports[1].nodePort: port 31001"] {
        assert!(warned.contains(&format!("{place} of this machine cannot be opened for now: nginx (process 7) has it")), "{warned}");
    }
    assert_eq!(made.warnings.len(), 2, "{warned}");
    let changed = api.merge(&format!("{SERVICES}/web"), json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!((changed.code, changed.warnings.len()), (200, 0), "{:?}", changed.warnings);
}

#[tokio::test]
async fn the_api_is_behind_its_own_service_and_comes_back_there() {
    let api = Api::with(Settings { api_address: Some([10, 1, 0, 2].into()), ..Settings::default() }).await;
    let slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    let endpoints = "/api/v1/namespaces/default/endpoints/kubernetes";
    for _ in 0..2 {
        let found = api.get(slice).await.body;
        assert_eq!(found["endpoints"][0]["addresses"], json!(["10.1.0.2"]), "{found}");
        assert_eq!(found["ports"][0]["port"], 6443);
        assert_eq!(api.get(endpoints).await.body["subsets"][0]["addresses"], json!([{"ip": "10.1.0.2"}]));
        for path in [slice, endpoints] {
            assert_eq!(api.delete(path).await.code, 200);
        }
        assert!(!crate::registry::bootstrap::api_is_reached(&api.server.store.snapshot()));
        api.server.store.bootstrap().await.expect("made anew");
    }
    assert!(crate::registry::bootstrap::api_is_reached(&api.server.store.snapshot()));
}
