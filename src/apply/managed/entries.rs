//! `metadata.managedFields` read and written.
//! Source: managedfields.go of k8s.io/apimachinery/pkg/util/managedfields/internal.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use crate::api::Json;
use crate::apply::fields::{self, FieldSet};
use crate::api::go;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    Update,
}

/// Who owns fields: one entry of `managedFields` has one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagerId {
    pub manager: String,
    pub operation: Operation,
    /// Empty for an applier: it has one entry, whatever version it uses.
    pub api_version: String,
    pub subresource: String,
}

impl ManagerId {
    /// The identifier that Kubernetes sorts managers by.
    fn text(&self) -> String {
        let mut text = format!("{{\"manager\":{}", go::json::compact(&json!(self.manager)));
        text += match self.operation {
            Operation::Apply => ",\"operation\":\"Apply\"",
            Operation::Update => ",\"operation\":\"Update\"",
        };
        for (name, value) in [("apiVersion", &self.api_version), ("subresource", &self.subresource)] {
            if !value.is_empty() {
                text += &format!(",\"{name}\":{}", go::json::compact(&json!(value)));
            }
        }
        text + "}"
    }
}

impl Ord for ManagerId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text().cmp(&other.text())
    }
}

impl PartialOrd for ManagerId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What a manager owns, at which version, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    pub set: FieldSet,
    pub api_version: String,
    pub time: Option<Timestamp>,
}

/// The managers of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managed(pub BTreeMap<ManagerId, Owned>);

impl Managed {
    /// Reads the entries of an object. `None`: one of them is broken, and then none counts.
    pub fn of(object: &Json) -> Option<Managed> {
        match object.pointer("/metadata/managedFields") {
            None | Some(Json::Null) => Some(Managed::default()),
            Some(Json::Array(entries)) => Managed::parse(entries),
            Some(_) => None,
        }
    }

    /// `None`: an entry is broken.
    pub fn parse(entries: &[Json]) -> Option<Managed> {
        let read = entries.iter().map(|entry| Some((id_of(entry)?, owned_of(entry)?)));
        read.collect::<Option<_>>().map(Managed)
    }

    /// What one manager of an object owns. `None`: nothing, or its entry is broken.
    pub fn one_of(object: &Json, id: &ManagerId) -> Option<Owned> {
        let entries = object.pointer("/metadata/managedFields")?.as_array()?;
        owned_of(entries.iter().find(|entry| id_of(entry).as_ref() == Some(id))?)
    }

    /// The entries in Kubernetes' order: appliers first, then by time, name, version, subresource.
    pub fn print(&self) -> Vec<Json> {
        let mut entries: Vec<_> = self.0.iter().collect();
        entries.sort_by_key(|(id, owned)| {
            let seconds = owned.time.map_or(0, Timestamp::as_second);
            let operation = id.operation;
            (operation, seconds, id.manager.clone(), owned.api_version.clone(), id.subresource.clone())
        });
        entries.into_iter().map(|(id, owned)| entry(id, owned)).collect()
    }

    /// Writes the entries into an object; none leave no trace.
    pub fn write(&self, object: &mut Json) {
        let Some(root) = object.as_object_mut() else { return };
        let metadata = root.entry("metadata").or_insert_with(|| json!({}));
        let Some(metadata) = metadata.as_object_mut() else { return };
        if self.0.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".into(), Json::Array(self.print()));
        }
    }
}

fn text_of<'a>(entry: &'a Json, key: &str) -> &'a str {
    entry.get(key).and_then(Json::as_str).unwrap_or("")
}

fn id_of(entry: &Json) -> Option<ManagerId> {
    let text = |key: &str| text_of(entry, key).to_owned();
    let (operation, api_version) = match text_of(entry, "operation") {
        "Apply" => (Operation::Apply, String::new()),
        "Update" => (Operation::Update, text("apiVersion")),
        _ => return None,
    };
    Some(ManagerId { manager: text("manager"), operation, api_version, subresource: text("subresource") })
}

fn owned_of(entry: &Json) -> Option<Owned> {
    let api_version = text_of(entry, "apiVersion").to_owned();
    if api_version.is_empty() || text_of(entry, "fieldsType") != "FieldsV1" {
        return None;
    }
    let set = fields::parse(entry.get("fieldsV1").unwrap_or(&Json::Null)).ok()?;
    Some(Owned { set, api_version, time: text_of(entry, "time").parse().ok() })
}

fn entry(id: &ManagerId, owned: &Owned) -> Json {
    let operation = match id.operation {
        Operation::Apply => "Apply",
        Operation::Update => "Update",
    };
    let mut entry = json!({
        "manager": id.manager, "operation": operation, "apiVersion": owned.api_version,
        "fieldsType": "FieldsV1", "fieldsV1": fields::print(&owned.set),
    });
    if let Some(time) = owned.time {
        entry["time"] = whole_seconds(time).into();
    }
    if !id.subresource.is_empty() {
        entry["subresource"] = id.subresource.as_str().into();
    }
    entry
}

fn whole_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// Whether the entries sent ask to forget all managers: an empty list, or a list of one empty entry.
pub fn asks_reset(object: &Json) -> bool {
    match object.pointer("/metadata/managedFields") {
        Some(Json::Array(entries)) => match entries.as_slice() {
            [] => true,
            [Json::Object(entry)] => entry.is_empty(),
            _ => false,
        },
        _ => false,
    }
}
