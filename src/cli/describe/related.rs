//! What an object's description needs beside the object: its events, its pods, what it points to.

use std::collections::BTreeMap;

use super::certificate;
use crate::api::selector::LabelSelector;
use crate::api::tree::Tree;
use crate::api::{Json, Object};
use crate::cli::CliError;
use crate::cli::resources::{Info, fetch_all};
use crate::client::{Client, segment};

/// A Service that an Ingress leads to.
pub struct Backend {
    pub service: Json,
    pub slices: Vec<Json>,
}

/// What was found beside the object; empty where a kind has no use for it.
pub struct Related {
    events: Option<Vec<Json>>,
    pub pods: Vec<Json>,
    pub replica_sets: Vec<Json>,
    /// Of a Service.
    pub slices: Vec<Json>,
    /// By name of the Service.
    pub backends: BTreeMap<String, Result<Backend, String>>,
    pub quotas: Vec<Json>,
    pub limits: Vec<Json>,
    /// Of a node.
    pub lease: Result<Json, String>,
    pub devices: Vec<Json>,
    pub request: Option<certificate::Request>,
}

impl Default for Related {
    fn default() -> Self {
        Related {
            events: None,
            pods: Vec::new(),
            replica_sets: Vec::new(),
            slices: Vec::new(),
            backends: BTreeMap::new(),
            quotas: Vec::new(),
            limits: Vec::new(),
            lease: Ok(Json::Null),
            devices: Vec::new(),
            request: None,
        }
    }
}

impl Related {
    /// The events; `None` where they are not to be shown.
    pub fn events(&self) -> Option<&[Json]> {
        self.events.as_deref()
    }
}

/// Asks a server for what belongs to an object.
pub struct Asker<'c> {
    pub client: &'c Client,
    pub show_events: bool,
    /// Objects one answer holds at most; 0: all.
    pub chunk: i64,
}

impl Asker<'_> {
    /// All that a description of the object needs.
    pub async fn related(&self, info: &Info) -> Result<Related, CliError> {
        let object = &info.object;
        let (metadata, spec) = (object.field("metadata"), object.field("spec"));
        let (name, namespace) = (metadata.text("name"), metadata.text("namespace"));
        let pods = format!("/api/v1/namespaces/{}/pods", segment(namespace));
        let mut related = Related::default();
        match (info.found.group.as_str(), info.found.kind.as_str()) {
            ("apps", "Deployment") => {
                let path = format!("/apis/apps/v1/namespaces/{}/replicasets", segment(namespace));
                let selector = LabelSelector::of(Some(spec.field("selector"))).map_err(CliError::message)?;
                // A description without them is better than none.
                let sets = self.list(&path, &[("labelSelector", &selector.to_string())]).await.unwrap_or_default();
                let uid = metadata.text("uid");
                related.replica_sets = sets.into_iter().filter(|s| controller(s) == Some(uid.to_owned())).collect();
            }
            ("apps", "ReplicaSet" | "StatefulSet" | "DaemonSet") => {
                let selector = LabelSelector::of(Some(spec.field("selector"))).map_err(CliError::message)?;
                related.pods = self.list(&pods, &[("labelSelector", &selector.to_string())]).await?;
            }
            ("", "ReplicationController") => {
                let selector = LabelSelector::of_map(Some(spec.field("selector"))).to_string();
                related.pods = self.list(&pods, &[("labelSelector", &selector)]).await?;
            }
            ("", "PersistentVolumeClaim") => related.pods = self.list(&pods, &[]).await?,
            ("", "Service") => related.slices = self.slices(namespace, name).await.unwrap_or_default(),
            ("networking.k8s.io", "Ingress") => self.backends(namespace, spec, &mut related).await,
            ("", "Namespace") => {
                let path = |resource: &str| format!("/api/v1/namespaces/{}/{resource}", segment(name));
                related.quotas = self.list(&path("resourcequotas"), &[]).await?;
                related.limits = self.list(&path("limitranges"), &[]).await?;
            }
            ("certificates.k8s.io", "CertificateSigningRequest") => {
                let read = certificate::Request::parse(object);
                related.request = Some(read.map_err(|e| CliError::message(format!("Error parsing CSR: {e}")))?);
            }
            ("", "Node") => self.of_node(name, &mut related).await?,
            _ => {}
        }
        if self.show_events {
            related.events = Some(self.events(info).await);
        }
        Ok(related)
    }

    async fn of_node(&self, name: &str, related: &mut Related) -> Result<(), CliError> {
        let running = format!("spec.nodeName={name},status.phase!=Succeeded,status.phase!=Failed");
        related.pods = self.list("/api/v1/pods", &[("fieldSelector", &running)]).await?;
        let lease = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{}", segment(name));
        related.lease = self.client.get(&lease).await.map_err(|error| CliError::from(error).text());
        let slices = "/apis/resource.k8s.io/v1/resourceslices";
        let own = format!("spec.nodeName={name}");
        related.devices = self.list(slices, &[("fieldSelector", &own)]).await.unwrap_or_default();
        Ok(())
    }

    async fn slices(&self, namespace: &str, service: &str) -> Result<Vec<Json>, CliError> {
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices", segment(namespace));
        self.list(&path, &[("labelSelector", &format!("kubernetes.io/service-name={service}"))]).await
    }

    async fn backends(&self, namespace: &str, spec: &Json, related: &mut Related) {
        let paths = spec.list("rules").iter().flat_map(|rule| rule.field("http").list("paths"));
        let all = paths.map(|path| path.field("backend")).chain([spec.field("defaultBackend")]);
        for name in all.filter_map(|backend| backend.field("service").opt_text("name")) {
            if !related.backends.contains_key(name) {
                let found = self.backend(namespace, name).await.map_err(|error| error.text());
                related.backends.insert(name.to_owned(), found);
            }
        }
    }

    async fn backend(&self, namespace: &str, name: &str) -> Result<Backend, CliError> {
        let slices = self.slices(namespace, name).await?;
        let path = format!("/api/v1/namespaces/{}/services/{}", segment(namespace), segment(name));
        Ok(Backend { service: self.client.get(&path).await?, slices })
    }

    /// Events about the object. Those of a node may name it by its name instead of its uid, and those of a
    /// static pod name the one its file has.
    async fn events(&self, info: &Info) -> Vec<Json> {
        let metadata = info.object.field("metadata");
        let (name, namespace) = (metadata.text("name"), metadata.text("namespace"));
        let kind = if is_core(info, "Pod") { String::new() } else { format!(",involvedObject.kind={}", info.found.kind) };
        let mirrored = metadata.field("annotations").opt_text("kubernetes.io/config.mirror").filter(|_| kind.is_empty());
        let mut uids = vec![mirrored.unwrap_or(metadata.text("uid"))];
        if is_core(info, "Node") {
            uids.push(name);
        }
        let path = match namespace {
            "" => "/api/v1/events".to_owned(),
            namespace => format!("/api/v1/namespaces/{}/events", segment(namespace)),
        };
        let mut events = Vec::new();
        for uid in uids {
            let uid = if uid.is_empty() { String::new() } else { format!(",involvedObject.uid={uid}") };
            let about = format!("involvedObject.name={name},involvedObject.namespace={namespace}{kind}{uid}");
            // Without its events an object can be described still.
            events.extend(self.list(&path, &[("fieldSelector", &about)]).await.unwrap_or_default());
        }
        events
    }

    async fn list(&self, path: &str, query: &[(&str, &str)]) -> Result<Vec<Json>, CliError> {
        fetch_all(self.client, path, query, self.chunk).await
    }
}

fn is_core(info: &Info, kind: &str) -> bool {
    info.found.group.is_empty() && info.found.kind == kind
}

fn controller(object: &Json) -> Option<String> {
    Object::new(object.clone()).controller_uid().map(str::to_owned)
}
