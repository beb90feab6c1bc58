//! Who reads a ConfigMap or Secret, and whether a change reaches them without a restart.

use std::collections::BTreeMap;

use crate::api::{GroupResource, Object};
use crate::controllers::reads;
use crate::state::State;

use super::pretend::Reference;

/// A workload (or bare pod) that reads an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reader {
    /// `deployment/web`.
    pub name: String,
    pub uid: String,
    pub ways: Ways,
    /// Pods that are rolled because of the change.
    pub rolled: usize,
}

/// How it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ways {
    /// As files: changes arrive by themselves.
    pub files: bool,
    /// As environment or by subPath: changes arrive with the next start of the container.
    pub fixed: bool,
    /// The workload asked to be rolled when what it reads in a fixed way changes.
    pub rolls: bool,
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
    let kind = match kind {
        Reference::ConfigMap => reads::Kind::ConfigMap,
        Reference::Secret => reads::Kind::Secret,
        Reference::Claim => return Vec::new(),
    };
    let mut found: BTreeMap<String, Reader> = BTreeMap::new();
    for (group, resource, pointer) in WORKLOADS {
        for object in state.in_namespace(&GroupResource::new(group, resource), namespace) {
            if object.controller_ref().is_some() {
                continue;
            }
            let all = object.at(pointer).map(reads::of).unwrap_or_default();
            let mut ways = Ways::default();
            for read in all.iter().filter(|read| read.kind == kind && read.name == name) {
                ways.fixed |= read.is_fixed;
                ways.files |= !read.is_fixed;
            }
            if ways.files || ways.fixed {
                ways.rolls = *group == "apps" && crate::controllers::rolls_on_config_change(object);
                let reader = Reader { name: label(object), uid: object.uid().to_owned(), ways, rolled: 0 };
                found.insert(reader.name.clone(), reader);
            }
        }
    }
    found.into_values().collect()
}

/// `deployment/web`.
pub fn label(object: &Object) -> String {
    format!("{}/{}", object.kind().to_lowercase(), object.name())
}
