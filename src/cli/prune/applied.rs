//! Pruning without an apply set: objects with the annotation of client-side apply.
//! Source: k8s.io/kubectl/pkg/cmd/apply/prune.go, k8s.io/kubectl/pkg/util/prune/prune.go.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::api::Json;
use crate::apply::managed::LAST_APPLIED;
use crate::cli::CliError;
use crate::cli::declare::Target;
use crate::cli::resources::Info;
use crate::client::{Client, Discovery, Found};


/// Kinds that are pruned unless others are named: group and kind; whether they live in namespaces.
const KINDS: &[(&str, &str, bool)] = &[
    ("", "ConfigMap", true),
    ("", "Endpoints", true),
    ("", "PersistentVolumeClaim", true),
    ("", "Pod", true),
    ("", "ReplicationController", true),
    ("", "Secret", true),
    ("", "Service", true),
    ("batch", "Job", true),
    ("batch", "CronJob", true),
    ("networking.k8s.io", "Ingress", true),
    ("apps", "DaemonSet", true),
    ("apps", "Deployment", true),
    ("apps", "ReplicaSet", true),
    ("apps", "StatefulSet", true),
    ("", "Namespace", false),
    ("", "PersistentVolume", false),
];

/// Which kinds, and with which labels.
pub struct Applied {
    kinds: Vec<Arc<Found>>,
    selector: String,
}

impl Applied {
    /// `narrow`: a namespace was named, so that kinds outside of namespaces are left alone.
    pub fn of(discovery: &Discovery, allowlist: &[String], selector: &str, narrow: bool) -> Result<Self, CliError> {
        let mut kinds = Vec::new();
        for text in allowlist {
            let [group, version, kind] = text.split('/').collect::<Vec<_>>()[..] else {
                let text = format!("invalid GroupVersionKind format: {text}, please follow <group/version/kind>");
                return Err(CliError::message(text));
            };
            let group = if group == "core" { "" } else { group };
            let gvk = crate::api::Gvk { group: group.into(), version: version.into(), kind: kind.into() };
            let Some(found) = discovery.of_gvk(&gvk) else {
                let version = gvk.api_version();
                return Err(CliError::message(format!("no matches for kind \"{kind}\" in version \"{version}\"")));
            };
            kinds.push(found.clone());
        }
        if allowlist.is_empty() {
            let wanted = KINDS.iter().filter(|(_, _, namespaced)| *namespaced || !narrow);
            kinds.extend(wanted.filter_map(|(group, kind, _)| discovery.preferred_kind(group, kind)).cloned());
        }
        Ok(Applied { kinds, selector: selector.into() })
    }

    /// All that was applied in the namespaces of the files.
    pub async fn objects(&self, client: &Client, targets: &[Target]) -> Result<Vec<Info>, CliError> {
        let namespaces: BTreeSet<&str> = targets.iter().map(|t| t.namespace.as_str()).filter(|n| !n.is_empty()).collect();
        let mut all = Vec::new();
        for found in &self.kinds {
            if found.namespaced {
                for namespace in &namespaces {
                    all.extend(super::list(client, found, namespace, &self.selector).await?);
                }
            } else {
                all.extend(super::list(client, found, "", &self.selector).await?);
            }
        }
        all.retain(|info| {
            let annotations = info.object.pointer("/metadata/annotations").and_then(Json::as_object);
            annotations.is_some_and(|a| a.contains_key(LAST_APPLIED))
        });
        Ok(all)
    }
}
