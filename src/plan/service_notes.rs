//! What a plan says of a Service: whom it selects, and where it will reach nobody.

use std::collections::{BTreeMap, BTreeSet};

use super::notes::Note;
use crate::api::{GroupResource, Json, Object};
use crate::state::State;

/// What is said of a Service as it will be, in the state as it will be.
pub fn of_service(service: &Object, after: &State) -> Vec<Note> {
    let selector = texts(service.at("/spec/selector"));
    let mut notes = Vec::new();
    if !selector.is_empty() && service.str_at("/spec/type") != Some("ExternalName") {
        let pods: Vec<&Object> = pods(service, after);
        let selected: Vec<&Object> = pods.iter().copied().filter(|pod| fits(&selector, pod)).collect();
        if selected.is_empty() {
            notes.push(("warning".to_owned(), nobody(&selector, &pods, after)));
        } else {
            notes.push(("selects".to_owned(), owners(&selected, after)));
            notes.extend(missing_ports(service, &selected).map(|text| ("warning".to_owned(), text)));
        }
    }
    let families = service.at("/spec/ipFamilies").and_then(Json::as_array).map_or(0, Vec::len);
    if service.str_at("/spec/ipFamilyPolicy") == Some("PreferDualStack") && families == 1 {
        notes.push(("families".to_owned(), "one: it keeps the one that it has, or the pods' network has no IPv6".to_owned()));
    }
    notes.extend(clashes(service, after).map(|text| ("warning".to_owned(), text)));
    notes
}

fn texts(map: Option<&Json>) -> BTreeMap<&str, &str> {
    let map = map.and_then(Json::as_object).into_iter().flatten();
    map.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect()
}

/// The namespace's pods that have not ended.
fn pods<'s>(service: &Object, state: &'s State) -> Vec<&'s Object> {
    let ended = |pod: &&Object| matches!(pod.str_at("/status/phase"), Some("Succeeded" | "Failed"));
    let resource = GroupResource::new("", "pods");
    let all = state.all(&resource).map(AsRef::as_ref);
    all.filter(|pod: &&Object| pod.namespace() == service.namespace() && !ended(pod)).collect()
}

fn fits(selector: &BTreeMap<&str, &str>, pod: &Object) -> bool {
    let labels = texts(pod.at("/metadata/labels"));
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// `deployment/web`, or the pod itself where nobody controls it.
fn owner(pod: &Object, state: &State) -> String {
    let mut object = pod;
    // A pod's ReplicaSet belongs to a Deployment, a Job to a CronJob: no chain is longer.
    for _ in 0..3 {
        match object.controller_uid().and_then(|uid| state.with_uid(uid)) {
            Some(above) => object = above,
            None => break,
        }
    }
    format!("{}/{}", object.kind().to_lowercase(), object.name())
}

/// `3 pods of deployment/web, pod/one`.
fn owners(pods: &[&Object], state: &State) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for pod in pods {
        *counts.entry(owner(pod, state)).or_default() += 1;
    }
    let shown = counts.iter().map(|(owner, count)| match (owner.starts_with("pod/"), count) {
        (true, _) => owner.clone(),
        (false, 1) => format!("1 pod of {owner}"),
        (false, count) => format!("{count} pods of {owner}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Why a selector selects nobody, with the pods that come nearest.
fn nobody(selector: &BTreeMap<&str, &str>, pods: &[&Object], state: &State) -> String {
    let wanted: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let head = format!("no pod has the labels {}", wanted.join(","));
    let near = |pod: &&&Object| {
        let labels = texts(pod.at("/metadata/labels"));
        let same = selector.iter().filter(|(key, value)| labels.get(*key) == Some(*value)).count();
        let alike = selector.iter().filter_map(|(key, value)| {
            let there = labels.get(key)?;
            Some((strsim::jaro_winkler(value, there) * 100.0) as u64)
        });
        (same, alike.max().unwrap_or(0))
    };
    let Some(nearest) = pods.iter().max_by_key(near).filter(|pod| near(pod) > (0, 0)) else { return head };
    let labels = texts(nearest.at("/metadata/labels"));
    let differs = selector.iter().filter(|(key, value)| labels.get(*key) != Some(*value));
    let differs: Vec<String> = differs
        .map(|(key, _)| match labels.get(key) {
            Some(there) => format!("{key}={there}"),
            None => format!("no {key}"),
        })
        .collect();
    format!("{head}; the pods of {} have {}", owner(nearest, state), differs.join(","))
}

/// Target ports by a name that no selected pod gives to a port.
fn missing_ports(service: &Object, pods: &[&Object]) -> impl Iterator<Item = String> {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for pod in pods {
        let containers = ["/spec/containers", "/spec/initContainers"].map(|list| pod.at(list).and_then(Json::as_array));
        let ports = containers.into_iter().flatten().flatten().filter_map(|c| c.get("ports")?.as_array()).flatten();
        names.extend(ports.filter_map(|port| port.get("name")?.as_str()));
    }
    let there: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let wanted = service.at("/spec/ports").and_then(Json::as_array).into_iter().flatten();
    let missing = wanted.filter_map(|port| port.get("targetPort")?.as_str()).filter(|name| !names.contains(name));
    let text = |name: &str| match there.is_empty() {
        true => format!("targetPort {name:?} is no port of the pods: their ports have no names"),
        false => format!("targetPort {name:?} is no port of the pods: they have {}", there.join(", ")),
    };
    missing.map(text).collect::<Vec<_>>().into_iter()
}

/// Ports of this machine that another balancer opens too.
fn clashes(service: &Object, state: &State) -> impl Iterator<Item = String> {
    let is_balancer = |s: &Object| s.str_at("/spec/type") == Some("LoadBalancer") && s.at("/spec/loadBalancerClass").is_none();
    let ports = |s: &Object| -> BTreeSet<(i64, String)> {
        let all = s.at("/spec/ports").and_then(Json::as_array).into_iter().flatten();
        let protocol = |port: &Json| port.get("protocol").and_then(Json::as_str).unwrap_or("TCP").to_owned();
        all.filter_map(|port| Some((port.get("port")?.as_i64()?, protocol(port)))).collect()
    };
    let own = if is_balancer(service) { ports(service) } else { BTreeSet::new() };
    let services = GroupResource::new("", "services");
    let others = state.all(&services).filter(|other| is_balancer(other) && other.uid() != service.uid());
    let mut found = Vec::new();
    for other in others {
        for (port, _) in ports(other).intersection(&own) {
            let name = format!("{}/{}", other.namespace(), other.name());
            found.push(format!("port {port} of this machine is opened by service {name} too: only one of them can have it"));
        }
    }
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Key;
    use serde_json::{Value, json};

    fn pod(name: &str, labels: Value) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "a", "name": name, "uid": name, "labels": labels,
                "ownerReferences": [{"controller": true, "uid": "rs"}]},
            "spec": {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 80}]}]},
        })
    }

    fn state(services: &[Value], pods: &[Value]) -> State {
        let mut state = State::new();
        let mut put = |group: &str, resource: &str, tree: &Value| {
            let object = Object::new(tree.clone());
            state.put(Key::new(GroupResource::new(group, resource), object.namespace(), object.name()), object);
        };
        let owner = |uid: &str| json!([{"controller": true, "uid": uid}]);
        let set = |kind: &str, name: &str, uid: &str, owners: Value| {
            json!({"kind": kind, "metadata": {"namespace": "a", "name": name, "uid": uid, "ownerReferences": owners}})
        };
        put("apps", "deployments", &set("Deployment", "web", "d", json!([])));
        put("apps", "replicasets", &set("ReplicaSet", "web-1", "rs", owner("d")));
        pods.iter().for_each(|tree| put("", "pods", tree));
        services.iter().for_each(|tree| put("", "services", tree));
        state
    }

    fn service(name: &str, spec: Value) -> Value {
        json!({"kind": "Service", "metadata": {"namespace": "a", "name": name, "uid": name}, "spec": spec})
    }

    fn said(spec: Value, others: &[Value]) -> Vec<String> {
        let service = service("own", spec);
        let pods = [pod("web-1-x", json!({"app": "web", "tier": "front"})), pod("web-1-y", json!({"app": "web"}))];
        let all: Vec<Value> = others.iter().cloned().chain([service.clone()]).collect();
        let notes = of_service(&Object::new(service), &state(&all, &pods));
        notes.into_iter().map(|(about, text)| format!("{about}: {text}")).collect()
    }

    #[test]
    fn it_names_whom_it_selects() {
        assert_eq!(said(json!({"selector": {"app": "web"}}), &[]), ["selects: 2 pods of deployment/web"]);
        assert_eq!(said(json!({"selector": {"tier": "front"}}), &[]), ["selects: 1 pod of deployment/web"]);
        assert_eq!(said(json!({}), &[]), [""; 0]);
        assert_eq!(said(json!({"type": "ExternalName", "selector": {"app": "x"}}), &[]), [""; 0]);
    }

    #[test]
    fn a_selector_that_selects_nothing_is_warned_of_with_the_near_miss() {
        let near = "warning: no pod has the labels app=wep; the pods of deployment/web have app=web";
        assert_eq!(said(json!({"selector": {"app": "wep"}}), &[]), [near]);
        let part = "warning: no pod has the labels app=web,zone=b; the pods of deployment/web have no zone";
        assert_eq!(said(json!({"selector": {"app": "web", "zone": "b"}}), &[]), [part]);
        assert_eq!(said(json!({"selector": {"zone": "b"}}), &[]), ["warning: no pod has the labels zone=b"]);
    }

    #[test]
    fn names_of_ports_that_do_not_exist_are_warned_of() {
        let spec = json!({"selector": {"app": "web"}, "ports": [{"port": 1, "targetPort": "htpp"}, {"port": 2, "targetPort": "http"}]});
        let expected = ["selects: 2 pods of deployment/web", "warning: targetPort \"htpp\" is no port of the pods: they have http"];
        assert_eq!(said(spec, &[]), expected);
    }

    #[test]
    fn it_tells_that_the_second_family_is_not_to_be_had() {
        let prefers = |families: Value| said(json!({"ipFamilyPolicy": "PreferDualStack", "ipFamilies": families}), &[]);
        let one = "families: one: it keeps the one that it has, or the pods' network has no IPv6";
        assert_eq!(prefers(json!(["IPv4"])), [one]);
        assert_eq!(prefers(json!(["IPv4", "IPv6"])), [""; 0]);
    }

    #[test]
    fn balancers_that_want_one_port_are_warned_of() {
        let balancer = json!({"type": "LoadBalancer", "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}]});
        let other = service("other", json!({"type": "LoadBalancer", "ports": [{"port": 80}, {"port": 53}]}));
        let expected = "warning: port 80 of this machine is opened by service a/other too: only one of them can have it";
        assert_eq!(said(balancer.clone(), &[other]), [expected]);
        let another = service("other", json!({"type": "NodePort", "ports": [{"port": 80}]}));
        assert_eq!(said(balancer, &[another]), [""; 0]);
    }
}
