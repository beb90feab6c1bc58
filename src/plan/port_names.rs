//! Probes and hooks that name a port which their container has not. They would fail for ever.
//! Source: pkg/probe/util.go (ResolveContainerPort).

use super::notes::Note;
use crate::api::tree::Tree;
use crate::api::{Json, Object};

/// Where pod specs are in the objects that have one.
const SPECS: [&str; 3] = ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec", "/spec"];
const WHO_ASKS: [&str; 5] = ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle/postStart", "lifecycle/preStop"];
const HOW: [&str; 2] = ["httpGet", "tcpSocket"];

/// A warning for each.
pub(super) fn missing(object: &Object) -> Vec<Note> {
    let spec = SPECS.iter().filter_map(|place| object.at(place)).find(|spec| spec.has("containers"));
    let Some(spec) = spec else { return Vec::new() };
    let containers = ["initContainers", "containers"].into_iter().flat_map(|list| spec.list(list));
    containers.flat_map(of_container).map(|text| ("warning".to_owned(), text)).collect()
}

fn of_container(container: &Json) -> Vec<String> {
    let names: Vec<&str> = container.list("ports").iter().map(|port| port.text("name")).filter(|name| !name.is_empty()).collect();
    let has = if names.is_empty() { "its ports have no names".to_owned() } else { format!("it has {}", names.join(", ")) };
    let asked = WHO_ASKS.iter().flat_map(|who| HOW.map(|how| (who, container.pointer(&format!("/{who}/{how}/port")))));
    let wanted = asked.filter_map(|(who, port)| Some((who, port?.as_str()?)));
    let missing = wanted.filter(|(_, port)| port.parse::<u16>().is_err() && !names.contains(port));
    let text = |(who, port): (&&str, &str)| {
        format!("{} asks port {port:?}, which container {:?} has not: {has}", who.replace('/', "."), container.text("name"))
    };
    missing.map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(container: Json) -> Vec<String> {
        let pod = json!({"containers": [container]});
        let trees = [
            json!({"kind": "Pod", "spec": pod}),
            json!({"kind": "Deployment", "spec": {"template": {"spec": pod}}}),
            json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}),
        ];
        let said = trees.map(|tree| missing(&Object::new(tree)).into_iter().map(|(_, text)| text).collect::<Vec<_>>());
        assert!(said.windows(2).all(|pair| pair[0] == pair[1]), "{said:?}");
        said.into_iter().next().unwrap_or_default()
    }

    #[test]
    fn names_that_the_container_has_not_are_told_with_those_that_it_has() {
        let probe = |port: Json| json!({"httpGet": {"port": port}});
        let ports = json!([{"name": "http", "containerPort": 80}, {"containerPort": 81}]);
        let wrong = json!({"name": "web", "ports": ports, "readinessProbe": probe(json!("htpp")), "livenessProbe": probe(json!("http"))});
        assert_eq!(said(wrong), ["readinessProbe asks port \"htpp\", which container \"web\" has not: it has http"]);
        let hook = json!({"name": "web", "lifecycle": {"preStop": {"httpGet": {"port": "bye"}}}});
        assert_eq!(said(hook), ["lifecycle.preStop asks port \"bye\", which container \"web\" has not: its ports have no names"]);
        assert_eq!(said(json!({"name": "web", "startupProbe": probe(json!(8080))})), [""; 0]);
        assert_eq!(said(json!({"name": "web", "livenessProbe": {"tcpSocket": {"port": "8080"}}})), [""; 0]);
    }
}
