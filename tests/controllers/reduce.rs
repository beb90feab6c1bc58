//! Objects as the recordings have them, and names that compare across runs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};
use wl::api::Object;

/// What this run's own names stand for.
#[derive(Default)]
pub struct Names {
    pub started_at: Option<Timestamp>,
    hashes: Vec<String>,
    /// Generated name → its base.
    pods: BTreeMap<String, String>,
    order: Vec<String>,
    /// EndpointSlices in order of their creation.
    slices: Vec<String>,
    uids: BTreeMap<String, String>,
    pub minute: Option<i64>,
}

impl Names {
    pub fn learn(&mut self, object: &Object) {
        if self.uids.contains_key(object.uid()) {
            return;
        }
        self.uids.insert(object.uid().into(), format!("{}/{}", object.kind(), object.name()));
        if matches!(object.kind(), "ReplicaSet" | "ControllerRevision") && object.controller_ref().is_some() {
            let hash = object.name().rsplit('-').next().unwrap().to_owned();
            if !self.hashes.contains(&hash) {
                self.hashes.push(hash);
            }
        }
        // A StatefulSet's pods have names of their own.
        let has_own_name = object.controller_ref().is_some_and(|r| r["kind"] == "StatefulSet");
        if let Some(base) = object.str_at("/metadata/generateName").filter(|_| !has_own_name)
            && object.name().starts_with(base)
        {
            self.pods.insert(object.name().into(), base.into());
            match object.kind() {
                "Pod" => self.order.push(object.name().into()),
                "EndpointSlice" => self.slices.push(object.name().into()),
                _ => (),
            }
        }
    }

    /// A recorded name in this run's terms; `None` while there is no such thing.
    pub fn actual(&self, recorded: &str) -> Option<String> {
        let mut name = recorded.to_owned();
        for (n, hash) in self.hashes.iter().enumerate() {
            name = name.replace(&format!("<hash{}>", n + 1), hash);
        }
        for (sign, made) in [("p", &self.order), ("es", &self.slices)] {
            for (n, actual) in made.iter().enumerate() {
                if name.contains(&format!("<{sign}{}>", n + 1)) {
                    name = actual.clone();
                }
            }
        }
        if let (Some(minute), Some(at)) = (self.minute, name.find("<minute+")) {
            let end = name[at..].find('>').map(|e| at + e)?;
            let plus: i64 = name[at + 8..end].parse().ok()?;
            name = format!("{}{}{}", &name[..at], minute + plus, &name[end + 1..]);
        }
        (!name.contains('<')).then_some(name)
    }

    /// A recorded tree with this run's minutes in its names.
    pub fn of_this_run(&self, tree: &Json) -> Json {
        map_text(tree, &|text| {
            if text.contains("<minute+") {
                self.actual(text).unwrap_or_else(|| text.to_owned())
            } else {
                text.to_owned()
            }
        })
    }

    /// Text in the recordings' terms.
    pub fn show(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (uid, name) in &self.uids {
            if text.contains(uid.as_str()) {
                text = text.replace(uid.as_str(), &format!("<uid:{name}>"));
            }
        }
        for (name, base) in &self.pods {
            if text.contains(name.as_str()) {
                text = text.replace(name.as_str(), &format!("{base}<p>"));
            }
        }
        for (n, hash) in self.hashes.iter().enumerate() {
            text = text.replace(hash.as_str(), &format!("<hash{}>", n + 1));
        }
        if let Some(minute) = self.minute {
            for plus in 0..30 {
                text = text.replace(&(minute + plus).to_string(), &format!("<minute+{plus}>"));
            }
        }
        if let (Some(start), Ok(at)) = (self.started_at, text.parse::<Timestamp>()) {
            return format!("T+{}", at.as_second() - start.as_second());
        }
        text
    }

    /// A recorded tree with times instead of seconds since the start.
    pub fn timed(&self, tree: &Json) -> Json {
        map_text(tree, &|text| {
            let seconds = text.strip_prefix("T+").or(text.strip_prefix('T')).and_then(|s| s.parse::<i64>().ok());
            let Some((seconds, start)) = seconds.zip(self.started_at) else { return text.to_owned() };
            Timestamp::from_second(start.as_second() + seconds).unwrap().to_string()
        })
    }

    /// A tree in the recordings' terms.
    pub fn shown(&self, tree: &Json) -> Json {
        map_text(tree, &|text| self.show(text))
    }
}

/// A recorded tree without the numbers of pods and slices.
pub fn unnumbered(tree: &Json) -> Json {
    map_text(tree, &|text| {
        let mut out = String::new();
        let mut rest = text;
        while let Some((at, sign)) = ["<p", "<es"].iter().filter_map(|sign| Some((rest.find(sign)?, sign.len()))).min()
        {
            let digits = rest[at + sign..].bytes().take_while(u8::is_ascii_digit).count();
            let end = at + sign + digits;
            if digits > 0 && rest[end..].starts_with('>') {
                out.push_str(&rest[..at]);
                out.push_str("<p>");
                rest = &rest[end + 1..];
            } else {
                out.push_str(&rest[..at + sign]);
                rest = &rest[at + sign..];
            }
        }
        out.push_str(rest);
        out
    })
}

fn map_text(tree: &Json, change: &dyn Fn(&str) -> String) -> Json {
    match tree {
        Json::String(text) => Json::String(change(text)),
        Json::Array(list) => Json::Array(list.iter().map(|item| map_text(item, change)).collect()),
        Json::Object(map) => Json::Object(map.iter().map(|(k, v)| (change(k), map_text(v, change))).collect()),
        Json::Null | Json::Bool(_) | Json::Number(_) => tree.clone(),
    }
}

/// The fields that the recordings keep of an object.
pub fn object(object: &Object) -> Json {
    let tree = object.json();
    let mut out = Map::new();
    for (name, value) in tree.as_object().unwrap() {
        match name.as_str() {
            "apiVersion" | "kind" => (),
            "metadata" => {
                out.insert(name.clone(), metadata(value));
            }
            "status" if object.kind() == "Pod" => {
                out.insert(name.clone(), pod_status(value));
            }
            "status" => {
                let status = without_condition_times(value);
                if status.as_object().is_none_or(|s| !s.is_empty()) {
                    out.insert(name.clone(), status);
                }
            }
            // A list of none is left out.
            "endpoints" | "ports" if value.as_array().is_some_and(Vec::is_empty) => (),
            "endpoints" | "subsets" => {
                out.insert(name.clone(), without_uids(value));
            }
            _ => {
                out.insert(name.clone(), value.clone());
            }
        }
    }
    Json::Object(out)
}

fn without_uids(tree: &Json) -> Json {
    match tree {
        Json::Array(list) => list.iter().map(without_uids).collect(),
        Json::Object(map) => {
            let kept = map.iter().filter(|(name, _)| *name != "uid");
            kept.map(|(name, value)| (name.clone(), without_uids(value))).collect()
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => tree.clone(),
    }
}

fn metadata(metadata: &Json) -> Json {
    let mut out = Map::new();
    for name in ["name", "generateName", "labels", "annotations", "generation", "finalizers"] {
        if let Some(value) = metadata.get(name) {
            out.insert(name.into(), value.clone());
        }
    }
    if let Some(list) = metadata.get("ownerReferences").and_then(Json::as_array) {
        let list: Vec<Json> = list
            .iter()
            .map(|r| {
                let mut r = r.clone();
                r.as_object_mut().unwrap().remove("uid");
                r.as_object_mut().unwrap().remove("apiVersion");
                r
            })
            .collect();
        out.insert("ownerReferences".into(), json!(list));
    }
    Json::Object(out)
}

fn without_condition_times(status: &Json) -> Json {
    let mut status = status.clone();
    for condition in status.get_mut("conditions").and_then(Json::as_array_mut).into_iter().flatten() {
        let keep = ["type", "status", "reason", "message"];
        condition.as_object_mut().unwrap().retain(|name, value| keep.contains(&name.as_str()) && value != "");
    }
    for active in status.get_mut("active").and_then(Json::as_array_mut).into_iter().flatten() {
        active.as_object_mut().unwrap().retain(|name, _| matches!(name.as_str(), "kind" | "name"));
    }
    status
}

fn pod_status(status: &Json) -> Json {
    let mut out = Map::new();
    for name in ["phase", "reason", "message"] {
        if let Some(value) = status.get(name) {
            out.insert(name.into(), value.clone());
        }
    }
    let mut conditions = Map::new();
    for c in status.get("conditions").and_then(Json::as_array).into_iter().flatten() {
        let reason = c.get("reason").and_then(Json::as_str).map(|r| format!(":{r}")).unwrap_or_default();
        conditions
            .insert(c["type"].as_str().unwrap().into(), json!(format!("{}{reason}", c["status"].as_str().unwrap())));
    }
    if !conditions.is_empty() {
        out.insert("conditions".into(), Json::Object(conditions));
    }
    Json::Object(out)
}
