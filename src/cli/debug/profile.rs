//! What a debug container may do. Source: k8s.io/kubectl/pkg/cmd/debug/profiles.go.

use serde_json::{Value, json};

use crate::api::Json;
use crate::cli::CliError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Legacy,
    General,
    Baseline,
    Restricted,
    Netadmin,
    Sysadmin,
}

/// The way of debugging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Ephemeral,
    Copy,
    Node,
}

/// What a copy keeps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keep {
    pub labels: bool,
    pub annotations: bool,
    pub liveness: bool,
    pub readiness: bool,
    pub startup: bool,
    pub init_containers: bool,
}

impl Profile {
    pub fn parse(name: &str) -> Result<Self, CliError> {
        Ok(match name {
            "legacy" => Profile::Legacy,
            "general" => Profile::General,
            "baseline" => Profile::Baseline,
            "restricted" => Profile::Restricted,
            "netadmin" => Profile::Netadmin,
            "sysadmin" => Profile::Sysadmin,
            _ => return Err(CliError::message(format!("unknown profile: {name}"))),
        })
    }

    /// Changes a pod, and in it the container at `container` (a JSON pointer), to what the profile wants.
    pub fn apply(self, pod: &mut Json, container: &str, style: Style, keep: Keep) {
        let security = format!("{container}/securityContext");
        match self {
            Profile::Legacy => {}
            Profile::General if style == Style::Node => clear(pod, container),
            Profile::General => add_capabilities(pod, container, &["SYS_PTRACE"]),
            Profile::Baseline => clear(pod, container),
            Profile::Restricted => {
                clear(pod, container);
                let wanted = json!({
                    "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": false,
                    "seccompProfile": {"type": "RuntimeDefault"},
                });
                if let Some(container) = pod.pointer_mut(container) {
                    container["securityContext"] = wanted;
                }
            }
            Profile::Netadmin => add_capabilities(pod, container, &["NET_ADMIN", "NET_RAW"]),
            Profile::Sysadmin => {
                if let Some(container) = pod.pointer_mut(container)
                    && !container["securityContext"].is_object()
                {
                    container["securityContext"] = json!({});
                }
                if let Some(security) = pod.pointer_mut(&security) {
                    security["privileged"] = true.into();
                }
            }
        }
        match style {
            Style::Ephemeral => {}
            Style::Copy => self.trim(pod, keep),
            Style::Node => self.open(pod, container),
        }
    }

    fn trim(self, pod: &mut Json, keep: Keep) {
        if self == Profile::Legacy {
            remove(&mut pod["metadata"], "labels");
            return;
        }
        for (field, kept) in [("labels", keep.labels), ("annotations", keep.annotations)] {
            if !kept {
                remove(&mut pod["metadata"], field);
            }
        }
        let probes = [("livenessProbe", keep.liveness), ("readinessProbe", keep.readiness), ("startupProbe", keep.startup)];
        for container in pod["spec"]["containers"].as_array_mut().into_iter().flatten() {
            probes.iter().filter(|(_, kept)| !kept).for_each(|(field, _)| remove(container, field));
        }
        if !keep.init_containers {
            remove(&mut pod["spec"], "initContainers");
        }
        if pod["spec"].get("shareProcessNamespace").is_none_or(Value::is_null) {
            pod["spec"]["shareProcessNamespace"] = true.into();
        }
    }

    /// The machine's namespaces, and its files at /host.
    fn open(self, pod: &mut Json, container: &str) {
        let (files, namespaces) = match self {
            Profile::Legacy | Profile::General | Profile::Sysadmin => (true, true),
            Profile::Netadmin => (false, true),
            Profile::Baseline | Profile::Restricted => (false, false),
        };
        if files {
            push(&mut pod["spec"]["volumes"], json!({"name": "host-root", "hostPath": {"path": "/"}}));
            if let Some(container) = pod.pointer_mut(container) {
                push(&mut container["volumeMounts"], json!({"name": "host-root", "mountPath": "/host"}));
            }
        }
        if namespaces {
            for field in ["hostNetwork", "hostPID", "hostIPC"] {
                pod["spec"][field] = true.into();
            }
        }
    }
}

fn remove(tree: &mut Json, field: &str) {
    if let Some(map) = tree.as_object_mut() {
        map.remove(field);
    }
}

fn push(list: &mut Json, item: Json) {
    match list.as_array_mut() {
        Some(list) => list.push(item),
        None => *list = json!([item]),
    }
}

fn clear(pod: &mut Json, container: &str) {
    if let Some(container) = pod.pointer_mut(container) {
        remove(container, "securityContext");
    }
}

fn add_capabilities(pod: &mut Json, container: &str, names: &[&str]) {
    let Some(container) = pod.pointer_mut(container) else { return };
    if !container["securityContext"].is_object() {
        container["securityContext"] = json!({});
    }
    if !container["securityContext"]["capabilities"].is_object() {
        container["securityContext"]["capabilities"] = json!({});
    }
    names.iter().for_each(|name| push(&mut container["securityContext"]["capabilities"]["add"], json!(name)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(profile: &str, style: Style, keep: Keep) -> Json {
        let mut pod = json!({
            "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
            "spec": {"initContainers": [{"name": "i"}], "containers": [
                {"name": "app", "livenessProbe": {}, "readinessProbe": {}, "startupProbe": {}, "securityContext": {"privileged": true}}]},
        });
        Profile::parse(profile).expect("a profile").apply(&mut pod, "/spec/containers/0", style, keep);
        pod
    }

    #[test]
    fn profiles_give_what_they_promise() {
        let security = |profile: &str, style| applied(profile, style, Keep::default())["spec"]["containers"][0]["securityContext"].clone();
        assert_eq!(security("general", Style::Ephemeral), json!({"privileged": true, "capabilities": {"add": ["SYS_PTRACE"]}}));
        assert_eq!(security("general", Style::Node), Json::Null);
        assert_eq!(security("baseline", Style::Copy), Json::Null);
        assert_eq!(security("netadmin", Style::Node)["capabilities"]["add"], json!(["NET_ADMIN", "NET_RAW"]));
        assert_eq!(security("sysadmin", Style::Ephemeral)["privileged"], json!(true));
        let restricted = security("restricted", Style::Ephemeral);
        assert_eq!((&restricted["runAsNonRoot"], &restricted["capabilities"]), (&json!(true), &json!({"drop": ["ALL"]})));
        assert!(Profile::parse("x").is_err());
    }

    #[test]
    fn copies_keep_what_they_are_told_to() {
        let bare = applied("general", Style::Copy, Keep::default());
        assert_eq!((&bare["metadata"], bare["spec"].get("initContainers")), (&json!({}), None));
        assert_eq!(bare["spec"]["shareProcessNamespace"], json!(true));
        assert!(bare["spec"]["containers"][0].get("livenessProbe").is_none());
        let keep = Keep { labels: true, liveness: true, init_containers: true, ..Keep::default() };
        let kept = applied("general", Style::Copy, keep);
        assert_eq!(kept["metadata"], json!({"labels": {"a": "b"}}));
        assert!(kept["spec"]["containers"][0].get("livenessProbe").is_some() && kept["spec"].get("initContainers").is_some());
        let ephemeral = applied("general", Style::Ephemeral, Keep::default());
        assert_eq!(ephemeral["metadata"]["labels"], json!({"a": "b"}), "a running pod stays what it is");
    }

    #[test]
    fn nodes_are_opened_as_far_as_the_profile_says() {
        let general = applied("general", Style::Node, Keep::default());
        assert_eq!((&general["spec"]["hostPID"], &general["spec"]["volumes"][0]["hostPath"]["path"]), (&json!(true), &json!("/")));
        assert_eq!(general["spec"]["containers"][0]["volumeMounts"][0]["mountPath"], json!("/host"));
        assert!(applied("restricted", Style::Node, Keep::default())["spec"].get("hostPID").is_none());
        assert!(applied("netadmin", Style::Node, Keep::default())["spec"].get("volumes").is_none());
    }
}
