//! Who reads a ConfigMap or a Secret, and whether a change reaches them without a restart.

use std::collections::BTreeMap;

use crate::api::{GroupResource, Json, Object};
use crate::state::State;

use super::pretend::Reference;

/// A workload (or bare pod) that reads an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reader {
    /// `deployment/web`.
    pub name: String,
    pub ways: Ways,
}

/// How it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ways {
    /// As files: changes arrive by themselves.
    pub files: bool,
    /// As environment or by subPath: changes arrive with the next start of the container.
    pub fixed: bool,
}

const WORKLOADS: &[(&str, &str, &str)] = &[
    ("apps", "deployments", "/spec/template/spec"),
    ("apps", "statefulsets", "/spec/template/spec"),
    ("apps", "daemonsets", "/spec/template/spec"),
    ("batch", "jobs", "/spec/template/spec"),
    ("batch", "cronjobs", "/spec/jobTemplate/spec/template/spec"),
    ("", "replicationcontrollers", "/spec/template/spec"),
    ("", "pods", "/spec"),
];

/// All who read `name` in `namespace`, sorted; what a workload controls is left to the workload.
pub fn readers(state: &State, kind: Reference, namespace: &str, name: &str) -> Vec<Reader> {
    let mut found: BTreeMap<String, Ways> = BTreeMap::new();
    for (group, resource, pointer) in WORKLOADS {
        for object in state.in_namespace(&GroupResource::new(group, resource), namespace) {
            if object.controller_ref().is_some() {
                continue;
            }
            let ways = object.at(pointer).map(|spec| ways(spec, kind, name)).unwrap_or_default();
            if ways.files || ways.fixed {
                found.insert(label(object), ways);
            }
        }
    }
    found.into_iter().map(|(name, ways)| Reader { name, ways }).collect()
}

/// `deployment/web`.
pub fn label(object: &Object) -> String {
    format!("{}/{}", object.kind().to_lowercase(), object.name())
}

fn list<'j>(tree: &'j Json, key: &str) -> impl Iterator<Item = &'j Json> {
    tree.get(key).and_then(Json::as_array).into_iter().flatten()
}

fn text<'j>(tree: &'j Json, pointer: &str) -> Option<&'j str> {
    tree.pointer(pointer)?.as_str()
}

fn ways(spec: &Json, kind: Reference, name: &str) -> Ways {
    let (source, from, key_ref) = match kind {
        Reference::ConfigMap => ("/configMap/name", "/configMapRef/name", "/valueFrom/configMapKeyRef/name"),
        Reference::Secret => ("/secret/secretName", "/secretRef/name", "/valueFrom/secretKeyRef/name"),
        Reference::Claim => return Ways::default(),
    };
    let projected = if kind == Reference::ConfigMap { "/configMap/name" } else { "/secret/name" };
    let volumes: Vec<&str> = list(spec, "volumes")
        .filter(|volume| {
            let parts = volume.pointer("/projected/sources").and_then(Json::as_array);
            text(volume, source) == Some(name) || parts.into_iter().flatten().any(|s| text(s, projected) == Some(name))
        })
        .filter_map(|volume| text(volume, "/name"))
        .collect();
    let mut ways = Ways::default();
    for container in list(spec, "initContainers").chain(list(spec, "containers")) {
        ways.fixed |= list(container, "envFrom").any(|e| text(e, from) == Some(name))
            || list(container, "env").any(|e| text(e, key_ref) == Some(name));
        for mount in list(container, "volumeMounts").filter(|m| text(m, "/name").is_some_and(|n| volumes.contains(&n))) {
            let part = ["/subPath", "/subPathExpr"].iter().any(|p| text(mount, p).is_some_and(|t| !t.is_empty()));
            ways.fixed |= part;
            ways.files |= !part;
        }
    }
    ways
}
