//! The containers of whatever runs pods.
//! Source: k8s.io/kubectl/pkg/polymorphichelpers/updatepodspec.go, k8s.io/kubectl/pkg/cmd/set/helper.go.

use crate::api::Json;
use crate::cli::resources::Info;

/// The pod's spec in an object, or what the object is instead.
pub fn pod_spec<'a>(info: &Info, tree: &'a mut Json) -> Result<&'a mut Json, String> {
    let path = match (info.found.group.as_str(), info.found.kind.as_str()) {
        ("", "Pod") => "/spec",
        ("batch", "CronJob") => "/spec/jobTemplate/spec/template/spec",
        ("" | "apps" | "batch", "ReplicationController" | "Deployment" | "DaemonSet" | "ReplicaSet" | "StatefulSet" | "Job") => {
            "/spec/template/spec"
        }
        _ => return Err(no_pods(info)),
    };
    tree.pointer_mut(path).ok_or_else(|| no_pods(info))
}

fn no_pods(info: &Info) -> String {
    let (version, kind) = (&info.found.version, &info.found.kind);
    format!("the object is not a pod or does not have a pod template: *{version}.{kind}")
}

/// The containers, then the init containers, whose names a pattern matches.
pub fn select<'a>(spec: &'a mut Json, pattern: &str) -> Vec<&'a mut Json> {
    let (mut containers, mut init) = (Vec::new(), Vec::new());
    let Some(map) = spec.as_object_mut() else { return containers };
    for (key, value) in map.iter_mut() {
        let list = value.as_array_mut().into_iter().flatten();
        let hit = |c: &&mut Json| matches(c.get("name").and_then(Json::as_str).unwrap_or(""), pattern);
        match key.as_str() {
            "containers" => containers.extend(list.filter(hit)),
            "initContainers" => init.extend(list.filter(hit)),
            _ => {}
        }
    }
    containers.extend(init);
    containers
}

/// `*` stands for any text.
fn matches(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_text() {
        for (name, pattern) in [("web", "*"), ("web", "web"), ("web", "w*"), ("web", "*b"), ("a-b-c", "a*b*c"), ("", "*")] {
            assert!(matches(name, pattern), "{name} {pattern}");
        }
        for (name, pattern) in [("web", "we"), ("web", "x*"), ("web", "*x"), ("ab", "a*bb")] {
            assert!(!matches(name, pattern), "{name} {pattern}");
        }
    }
}
