//! Services on a server with ranges of both families. Source: pkg/registry/core/service/storage/{alloc.go,storage_test.go}.

use serde_json::{Value as Json, json};

use super::{Answer, Api};
use crate::registry::Settings;

const SERVICES: &str = "/api/v1/namespaces/default/services";
const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";

async fn both() -> Api {
    Api::with(Settings { service_cidrs: vec!["10.96.0.0/16".into(), "fd00:1::8000/113".into()], ..Settings::default() }).await
}

fn service(name: &str, spec: &Json) -> Json {
    let mut tree = json!({"metadata": {"name": name}, "spec": {"selector": {"app": "a"}, "ports": [{"port": 80}]}});
    for (field, value) in spec.as_object().into_iter().flatten() {
        tree["spec"][field] = value.clone();
    }
    tree
}

/// Policy, families and the families of the addresses.
fn shown(answer: &Answer) -> String {
    let spec = &answer.body["spec"];
    let texts = |field: &str| -> Vec<String> {
        spec[field].as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let kinds = texts("clusterIPs").iter().map(|ip| if ip.contains(':') { "6" } else { "4" }).collect::<String>();
    assert_eq!(spec["clusterIP"].as_str(), texts("clusterIPs").first().map(String::as_str), "{}", answer.text);
    format!("{} {} {kinds}", spec["ipFamilyPolicy"].as_str().unwrap_or("-"), texts("ipFamilies").join(","))
}

impl Api {
    async fn given_out(&self) -> Vec<String> {
        let list = self.get(ADDRESSES).await.body;
        list["items"].as_array().into_iter().flatten().filter_map(|i| i["metadata"]["name"].as_str().map(str::to_owned)).collect()
    }
}

#[tokio::test]
async fn the_policy_says_how_many_addresses_there_are() {
    let api = both().await;
    let cases = [
        (json!({}), "SingleStack IPv4 4"),
        (json!({"ipFamilies": ["IPv6"]}), "SingleStack IPv6 6"),
        (json!({"ipFamilyPolicy": "PreferDualStack"}), "PreferDualStack IPv4,IPv6 46"),
        (json!({"ipFamilyPolicy": "RequireDualStack"}), "RequireDualStack IPv4,IPv6 46"),
        (json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}), "RequireDualStack IPv6,IPv4 64"),
        (json!({"ipFamilies": ["IPv6", "IPv4"]}), "RequireDualStack IPv6,IPv4 64"),
        (json!({"clusterIP": "fd00:1::8005"}), "SingleStack IPv6 6"),
        (json!({"clusterIP": "fd00:1::8006", "ipFamilyPolicy": "PreferDualStack"}), "PreferDualStack IPv6,IPv4 64"),
        (json!({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "fd00:1::8007"]}), "RequireDualStack IPv4,IPv6 46"),
    ];
    for (n, (spec, expected)) in cases.into_iter().enumerate() {
        let made = api.post(SERVICES, service(&format!("s{n}"), &spec)).await;
        assert_eq!((made.code, shown(&made).as_str()), (201, expected), "{spec}: {}", made.text);
    }
    let address = api.get(&format!("{ADDRESSES}/fd00:1::8007")).await.body;
    assert_eq!(address["metadata"]["labels"]["ipaddress.kubernetes.io/ip-family"], "IPv6", "{address}");
    let own = api.get(&format!("{SERVICES}/kubernetes")).await;
    assert_eq!(shown(&own), "SingleStack IPv4 4", "the API's own Service has one address");
    let cidr = api.get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes").await.body;
    assert_eq!(cidr["spec"]["cidrs"], json!(["10.96.0.0/16", "fd00:1::8000/113"]));
}

#[tokio::test]
async fn headless_services_name_families_without_addresses() {
    let api = both().await;
    let plain = json!({"clusterIP": "None"});
    let selects = api.post(SERVICES, service("selects", &plain)).await;
    let prefers = api.post(SERVICES, service("prefers", &json!({"clusterIP": "None", "ipFamilyPolicy": "PreferDualStack"}))).await;
    let mut tree = service("bare", &plain);
    tree["spec"].as_object_mut().expect("a spec").remove("selector");
    let bare = api.post(SERVICES, tree).await;
    let families = |answer: &Answer| (answer.body["spec"]["ipFamilyPolicy"].clone(), answer.body["spec"]["ipFamilies"].clone());
    assert_eq!(families(&selects), (json!("SingleStack"), json!(["IPv4"])), "{}", selects.text);
    assert_eq!(families(&prefers), (json!("PreferDualStack"), json!(["IPv4", "IPv6"])), "{}", prefers.text);
    assert_eq!(families(&bare), (json!("RequireDualStack"), json!(["IPv4", "IPv6"])), "{}", bare.text);
}

#[tokio::test]
async fn a_second_address_comes_and_goes_with_the_policy() {
    let api = both().await;
    let made = api.post(SERVICES, service("web", &json!({}))).await;
    let first = made.body["spec"]["clusterIP"].clone();
    let path = format!("{SERVICES}/web");
    let before = api.given_out().await.len();
    let up = api.merge(&path, json!({"spec": {"ipFamilyPolicy": "PreferDualStack"}})).await;
    assert_eq!((up.code, shown(&up).as_str()), (200, "PreferDualStack IPv4,IPv6 46"), "{}", up.text);
    assert_eq!(up.body["spec"]["clusterIP"], first);
    assert_eq!(api.given_out().await.len(), before + 1);
    // Sent again as it was written, nothing changes.
    let again = api.put(&path, service("web", &json!({"ipFamilyPolicy": "PreferDualStack"}))).await;
    assert_eq!(again.body["spec"]["clusterIPs"], up.body["spec"]["clusterIPs"], "{}", again.text);
    let down = api.merge(&path, json!({"spec": {"ipFamilyPolicy": "SingleStack"}})).await;
    assert_eq!((down.code, shown(&down).as_str()), (200, "SingleStack IPv4 4"), "{}", down.text);
    assert_eq!(down.body["spec"]["clusterIP"], first);
    assert_eq!(api.given_out().await.len(), before);
    // The other way round the second one is that of IPv4, and may be asked for.
    let six = api.post(SERVICES, service("six", &json!({"ipFamilies": ["IPv6"]}))).await.body["spec"]["clusterIP"].clone();
    let wish = json!({"spec": {"ipFamilyPolicy": "RequireDualStack", "clusterIPs": [six, "10.96.0.77"]}});
    let up = api.merge(&format!("{SERVICES}/six"), wish).await;
    assert_eq!((up.code, &up.body["spec"]["clusterIPs"]), (200, &json!([six, "10.96.0.77"])), "{}", up.text);
    assert!(api.given_out().await.contains(&"10.96.0.77".to_owned()));
}

#[tokio::test]
async fn all_addresses_are_released_with_the_service_or_its_type() {
    let api = both().await;
    let before = api.given_out().await;
    let dual = json!({"ipFamilyPolicy": "RequireDualStack"});
    for name in ["deleted", "renamed"] {
        assert_eq!(api.post(SERVICES, service(name, &dual)).await.code, 201);
    }
    assert_eq!(api.given_out().await.len(), before.len() + 4);
    assert_eq!(api.delete(&format!("{SERVICES}/deleted")).await.code, 200);
    let external = json!({"spec": {"type": "ExternalName", "externalName": "example.org"}});
    let changed = api.merge(&format!("{SERVICES}/renamed"), external).await;
    assert_eq!(changed.code, 200, "{}", changed.text);
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        assert!(changed.body["spec"].get(field).is_none(), "{field}: {}", changed.text);
    }
    assert_eq!(api.given_out().await, before);
    let back = api.merge(&format!("{SERVICES}/renamed"), json!({"spec": {"type": "ClusterIP", "externalName": null, "ipFamilyPolicy": "PreferDualStack"}})).await;
    assert_eq!((back.code, shown(&back).as_str()), (200, "PreferDualStack IPv4,IPv6 46"), "{}", back.text);
    // What is only tried takes nothing.
    let held = api.given_out().await;
    assert_eq!(api.post(&format!("{SERVICES}?dryRun=All"), service("tried", &dual)).await.code, 201);
    assert_eq!(api.given_out().await, held);
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused_in_kubernetes_words() {
    let api = both().await;
    let refused = [
        (
            json!({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4", "IPv6"]}),
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
        ),
        (
            json!({"ipFamilyPolicy": "SingleStack", "clusterIP": "10.96.0.8", "clusterIPs": ["10.96.0.8", "fd00:1::8008"]}),
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified",
        ),
        (json!({"clusterIP": "fd00:2::1"}), "failed to allocate IP fd00:2::1: the provided network does not match the current range"),
        (json!({"clusterIP": "10.96.0.1"}), "failed to allocate IP 10.96.0.1: provided IP is already allocated"),
        (json!({"clusterIP": "10.96.0.8", "ipFamilies": ["IPv6"]}), "expected an IPv6 value as indicated by `ipFamilies[0]`"),
    ];
    for (spec, why) in refused {
        let answer = api.post(SERVICES, service("bad", &spec)).await;
        assert!(answer.code == 422 && answer.message().contains(why), "{spec}: {}", answer.text);
    }
    let made = api.post(SERVICES, service("web", &json!({"ipFamilyPolicy": "RequireDualStack"}))).await;
    let [first, second] = [0, 1].map(|n| made.body["spec"]["clusterIPs"][n].clone());
    let changes = [
        (json!({"clusterIPs": [first]}), "must be 'SingleStack' to release the secondary cluster IP"),
        (json!({"ipFamilies": ["IPv4"]}), "must be 'SingleStack' to release the secondary IP family"),
        (json!({"clusterIPs": [first, "fd00:1::8099"]}), "may not change once set"),
        (json!({"clusterIP": second, "clusterIPs": [second, first], "ipFamilies": ["IPv6", "IPv4"]}), "may not change once set"),
    ];
    for (spec, why) in changes {
        let answer = api.merge(&format!("{SERVICES}/web"), json!({"spec": spec})).await;
        assert!(answer.code == 422 && answer.message().contains(why), "{spec}: {}", answer.text);
    }
    assert_eq!(api.get(&format!("{SERVICES}/web")).await.body["spec"], made.body["spec"]);
}

#[tokio::test]
async fn with_one_range_there_is_one_family() {
    let api = Api::new().await;
    let require = api.post(SERVICES, service("a", &json!({"ipFamilyPolicy": "RequireDualStack"}))).await;
    assert!(require.message().contains("this cluster is not configured for dual-stack services"), "{}", require.text);
    let prefer = api.post(SERVICES, service("b", &json!({"ipFamilyPolicy": "PreferDualStack"}))).await;
    assert_eq!(shown(&prefer), "PreferDualStack IPv4 4");
    let six = api.post(SERVICES, service("c", &json!({"ipFamilies": ["IPv6"]}))).await;
    assert!(six.message().contains("not configured on this cluster"), "{}", six.text);
}

#[tokio::test]
async fn a_second_range_that_comes_leaves_all_services_as_they_are() {
    let store = crate::store::Store::in_memory(Settings { admission: Vec::new(), ..Settings::default() });
    store.bootstrap().await.expect("made");
    let api = Api { server: super::Server::new(store.clone()) };
    let own = api.get(&format!("{SERVICES}/kubernetes")).await.body;
    let prefers = api.post(SERVICES, service("web", &json!({"ipFamilyPolicy": "PreferDualStack"}))).await.body;
    let ranges = vec!["10.96.0.0/16".to_owned(), "fd00:1::8000/113".to_owned()];
    let store = store.with_service_cidrs(ranges.clone());
    store.bootstrap().await.expect("made");
    let api = Api { server: super::Server::new(store) };
    let cidr = api.get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes").await.body;
    assert_eq!(cidr["spec"]["cidrs"], json!(ranges));
    assert_eq!(api.get(&format!("{SERVICES}/kubernetes")).await.body["metadata"]["uid"], own["metadata"]["uid"]);
    // Not by itself: only where its policy changes (isMatchingPreferDualStackClusterIPFields).
    let touched = api.merge(&format!("{SERVICES}/web"), json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!(touched.body["spec"]["clusterIPs"], prefers["spec"]["clusterIPs"], "{}", touched.text);
    let up = api.merge(&format!("{SERVICES}/web"), json!({"spec": {"ipFamilyPolicy": "RequireDualStack"}})).await;
    assert_eq!(shown(&up), "RequireDualStack IPv4,IPv6 46", "{}", up.text);
}
