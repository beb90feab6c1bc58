//! ConfigMaps and Secrets that a kustomization makes.
//! Source: sigs.k8s.io/kustomize/api/internal/generators, api/kv, api/hasher.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::Resource;
use super::file::{Generated, Kustomization};
use crate::api::status::quote;
use crate::api::validation::names::{config_key, env_name};
use crate::api::{Json, JsonMap};
use crate::cli::create::name_hash;
use crate::cli::print::flags::go_error;
use crate::cli::CliError;

/// Base64 of values is broken into lines of this length.
const LINE: usize = 70;

type Pairs = BTreeMap<String, Vec<u8>>;

/// Adds what is generated, or merges it into what is there.
pub fn add(root: &Path, kustomization: &Kustomization, resources: &mut Vec<Resource>) -> Result<(), CliError> {
    for generated in &kustomization.config_maps {
        let tree = config_map(generated, &pairs(root, generated)?);
        absorb(resources, tree, generated)?;
    }
    for generated in &kustomization.secrets {
        let tree = secret(generated, &pairs(root, generated)?);
        absorb(resources, tree, generated)?;
    }
    Ok(())
}

fn pairs(root: &Path, generated: &Generated) -> Result<Pairs, CliError> {
    if generated.name.is_empty() {
        return Err(CliError::message("a configmap must have a name"));
    }
    let fail = |why: String| CliError::message(format!("loading KV pairs: {why}"));
    let read = |file: &str| {
        std::fs::read(root.join(file)).map_err(|e| fail(format!("file sources: [{file}]: {}", go_error(&e))))
    };
    let mut all = Pairs::new();
    let mut add = |key: String, value: Vec<u8>| {
        let wrong = config_key(&key);
        if !wrong.is_empty() {
            return Err(CliError::message(format!("{} is not a valid key name: {}", quote(&key), wrong.join(";"))));
        }
        if all.insert(key.clone(), value).is_some() {
            return Err(CliError::message(format!("configmap {} illegally repeats the key `{key}`", generated.name)));
        }
        Ok(())
    };
    for file in &generated.envs {
        let bytes = read(file)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for line in text.trim_start_matches('\u{feff}').lines().map(str::trim_start) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            let wrong = env_name(key);
            if !wrong.is_empty() {
                return Err(CliError::message(format!("{} is not a valid key name: {}", quote(key), wrong.join(";"))));
            }
            add(key.to_owned(), value.as_bytes().to_vec())?;
        }
    }
    for literal in &generated.literals {
        let Some((key, value)) = literal.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(fail(format!("literal sources [{}]: invalid literal source {literal}, expected key=value", generated.literals.join(" "))));
        };
        add(key.to_owned(), value.trim_matches(['"', '\'']).as_bytes().to_vec())?;
    }
    for source in &generated.files {
        let (key, file) = match source.split('=').collect::<Vec<_>>()[..] {
            [file] => (file.rsplit('/').next().unwrap_or(file), file),
            ["", file] => return Err(fail(format!("missing key name for file path {} in source {}", quote(file), quote(source)))),
            [key, ""] => return Err(fail(format!("missing file path for key name {} in source {}", quote(key), quote(source)))),
            [key, file] => (key, file),
            _ => return Err(fail(format!("source {} key name or file path contains '='", quote(source)))),
        };
        add(key.to_owned(), read(file)?)?;
    }
    Ok(all)
}

fn base(generated: &Generated, kind: &str) -> Json {
    let mut metadata = json!({"name": generated.name});
    if !generated.namespace.is_empty() {
        metadata["namespace"] = generated.namespace.as_str().into();
    }
    for (field, texts) in [("labels", &generated.options.labels), ("annotations", &generated.options.annotations)] {
        if !texts.is_empty() {
            metadata[field] = json!(texts);
        }
    }
    let mut tree = json!({"apiVersion": "v1", "kind": kind, "metadata": metadata});
    if generated.options.immutable {
        tree["immutable"] = true.into();
    }
    tree
}

fn config_map(generated: &Generated, pairs: &Pairs) -> Json {
    let mut tree = base(generated, "ConfigMap");
    let (mut texts, mut bytes) = (JsonMap::new(), JsonMap::new());
    for (key, value) in pairs {
        match std::str::from_utf8(value) {
            Ok(text) => texts.insert(key.clone(), text.into()),
            Err(_) => bytes.insert(key.clone(), encode(value).into()),
        };
    }
    for (field, map) in [("data", texts), ("binaryData", bytes)] {
        if !map.is_empty() {
            tree[field] = Json::Object(map);
        }
    }
    tree
}

fn secret(generated: &Generated, pairs: &Pairs) -> Json {
    let mut tree = base(generated, "Secret");
    tree["type"] = if generated.kind.is_empty() { "Opaque" } else { &generated.kind }.into();
    if !pairs.is_empty() {
        tree["data"] = pairs.iter().map(|(key, value)| (key.clone(), Json::from(encode(value)))).collect::<JsonMap>().into();
    }
    tree
}

fn encode(bytes: &[u8]) -> String {
    let whole = STANDARD.encode(bytes);
    if whole.len() < LINE {
        return whole;
    }
    let lines = whole.as_bytes().chunks(LINE).map(|line| String::from_utf8_lossy(line).into_owned() + "\n");
    lines.collect()
}

/// Makes it a resource of its own, or changes the one that is there.
fn absorb(resources: &mut Vec<Resource>, tree: Json, generated: &Generated) -> Result<(), CliError> {
    let hash = !generated.options.no_hash;
    let kind = tree["kind"].clone();
    let found = resources.iter_mut().find(|r| {
        r.tree["kind"] == kind && r.first_name() == generated.name && r.first_namespace() == generated.namespace
    });
    let id = format!("{}.v1.[noGrp]/{}.[noNs]", kind.as_str().unwrap_or(""), generated.name);
    match (found, generated.behavior.as_str()) {
        (None, "" | "create") => {
            resources.push(Resource { hash, ..Resource::new(tree) });
            Ok(())
        }
        (None, behavior) => Err(CliError::message(format!(
            "merging from generator: id {id} does not exist; cannot merge or replace: behavior is {behavior}"
        ))),
        (Some(_), "" | "create") => {
            Err(CliError::message(format!("merging from generator: id {id} exists; behavior must be merge or replace")))
        }
        (Some(resource), behavior) => {
            let mut new = tree;
            for field in ["data", "binaryData"] {
                if behavior == "merge" && let Some(old) = resource.tree.get(field).and_then(Json::as_object) {
                    let mut all = old.clone();
                    all.extend(new.get(field).and_then(Json::as_object).cloned().unwrap_or_default());
                    new[field] = Json::Object(all);
                }
            }
            for field in ["labels", "annotations"] {
                let mut all = resource.tree["metadata"].get(field).and_then(Json::as_object).cloned().unwrap_or_default();
                all.extend(new["metadata"].get(field).and_then(Json::as_object).cloned().unwrap_or_default());
                if !all.is_empty() {
                    new["metadata"][field] = Json::Object(all);
                }
            }
            for field in ["name", "namespace"] {
                if let Some(value) = resource.tree["metadata"].get(field) {
                    new["metadata"][field] = value.clone();
                }
            }
            // Whether its name ends in a hash is as it was: what stood in a file keeps its name.
            resource.tree = new;
            Ok(())
        }
    }
}

/// The hash behind the name of a generated object. The name itself is not in it: kustomize looks it up under a key that no
/// object has, and hashes an empty one.
pub fn hash(tree: &Json) -> String {
    let part = |key: &str| tree.get(key).cloned().unwrap_or_else(|| "".into());
    let mut hashed = json!({"kind": part("kind"), "name": "", "data": part("data")});
    let more = if part("kind") == "Secret" {
        hashed["type"] = part("type");
        "stringData"
    } else {
        "binaryData"
    };
    if let Some(map) = tree.get(more).filter(|m| m.is_object()) {
        hashed[more] = map.clone();
    }
    name_hash(&crate::api::go::json::compact(&hashed))
}
