//! Names of kinds and resources, and what the server knows of each resource.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Deserialize;

/// Group and resource (`apps`, `deployments`): what objects are kept under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupResource {
    pub group: Arc<str>,
    pub resource: Arc<str>,
}

impl GroupResource {
    /// Equal names are one: every key of every object holds them.
    pub fn new(group: &str, resource: &str) -> Self {
        GroupResource { group: shared(group), resource: shared(resource) }
    }
}

/// Names of groups and resources that are about; those that nobody holds any more are forgotten when there are many.
static NAMES: RwLock<BTreeSet<Arc<str>>> = RwLock::new(BTreeSet::new());
const MANY_NAMES: usize = 1_000;

fn shared(name: &str) -> Arc<str> {
    let names = NAMES.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known.clone();
    }
    drop(names);
    let mut names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known.clone();
    }
    if names.len() >= MANY_NAMES {
        names.retain(|name| Arc::strong_count(name) > 1);
    }
    let new: Arc<str> = name.into();
    names.insert(new.clone());
    new
}

impl fmt::Display for GroupResource {
    /// As in messages of the API: `pods`, `deployments.apps`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(&self.resource) } else { write!(f, "{}.{}", self.resource, self.group) }
    }
}

/// Group, version and kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gvk {
    pub group: String,
    pub version: String,
    pub kind: String,
}

impl Gvk {
    /// From `apiVersion` (`v1`, `apps/v1`) and `kind`.
    pub fn of(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Gvk { group: group.into(), version: version.into(), kind: kind.into() }
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// One resource that the server offers, from the schema data or from a CustomResourceDefinition.
#[derive(Clone, Debug, Deserialize)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub resource: String,
    pub kind: String,
    pub namespaced: bool,
    pub singular: String,
    #[serde(rename = "shortNames")]
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub verbs: Vec<String>,
    pub subresources: Vec<Json>,
    #[serde(default)]
    pub columns: Vec<Column>,
    /// Whether a CustomResourceDefinition makes it.
    #[serde(default)]
    pub custom: bool,
    /// Fields of a custom resource that may be selected, as `spec.color`.
    #[serde(default)]
    pub selectable: Vec<String>,
}

use super::Json;

/// A column of the resource's Table.
#[derive(Clone, Debug, Deserialize)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub format: String,
    /// 0: always; 1: only with `-o wide`.
    #[serde(default)]
    pub priority: i64,
    /// Where a custom resource's value is.
    #[serde(default, rename = "jsonPath")]
    pub json_path: String,
}

impl Resource {
    pub fn gvk(&self) -> Gvk {
        Gvk { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() }
    }

    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(&self.group, &self.resource)
    }

    pub fn api_version(&self) -> String {
        self.gvk().api_version()
    }
}
