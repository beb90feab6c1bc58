//! `wl create configmap`. Source: k8s.io/kubectl/pkg/cmd/create/create_configmap.go.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::config::not_empty;
use super::making::Making;
use super::sources::{Sources, files, name_hash};
use crate::api::JsonMap;
use crate::api::status::quote;
use crate::api::validation::names::config_key;
use crate::cli::{CliError, CliResult, Context};

/// Create a ConfigMap
#[derive(clap::Args)]
pub struct ConfigMap {
    #[command(flatten)]
    making: Making,
    #[command(flatten)]
    sources: Sources,
    /// Append a hash of the contents to the name
    #[arg(long)]
    append_hash: bool,
}

/// Values that are text, and values that are not.
#[derive(Default)]
struct Data {
    texts: JsonMap,
    bytes: JsonMap,
}

impl ConfigMap {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let name = self.making.name()?;
        self.making.check(ctx)?;
        not_empty(name)?;
        self.sources.check()?;
        let mut data = Data::default();
        for (key, bytes) in files(ctx, &self.sources.from_file)?.into_iter().chain(self.sources.literals()?) {
            data.add(name, key, bytes)?;
        }
        for (key, bytes) in self.sources.env_files(ctx, "config")? {
            data.add(name, key, bytes)?;
        }
        let whole = if self.append_hash { format!("{name}-{}", data.hash(name)) } else { name.to_owned() };
        let tree = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": self.making.metadata(ctx, &whole),
            "data": data.texts,
            "binaryData": data.bytes,
        });
        self.making.make(ctx, "configmaps", tree, "failed to create configmap:").await
    }
}

impl Data {
    fn add(&mut self, name: &str, key: String, bytes: Vec<u8>) -> Result<(), CliError> {
        let wrong = config_key(&key);
        if !wrong.is_empty() {
            let text = format!("{} is not a valid key name for a ConfigMap: {}", quote(&key), wrong.join(","));
            return Err(CliError::message(text));
        }
        for (map, held) in [("Data", &self.texts), ("BinaryData", &self.bytes)] {
            if held.contains_key(&key) {
                let (key, name) = (quote(&key), quote(name));
                let text = format!("cannot add key {key}, another key by that name already exists in {map} for ConfigMap {name}");
                return Err(CliError::message(text));
            }
        }
        match String::from_utf8(bytes) {
            Ok(text) => self.texts.insert(key, text.into()),
            Err(error) => self.bytes.insert(key, STANDARD.encode(error.as_bytes()).into()),
        };
        Ok(())
    }

    fn hash(&self, name: &str) -> String {
        let mut tree = json!({"kind": "ConfigMap", "name": name, "data": self.texts});
        if !self.bytes.is_empty() {
            tree["binaryData"] = json!(self.bytes);
        }
        name_hash(&crate::api::go::json::compact(&tree))
    }
}
