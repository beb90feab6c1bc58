//! Ports of Services on the machine: the porter opens them, and what it cannot open is told.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::clock;
use crate::api::{GroupResource, Key, Object};
use crate::controllers::{EventKind, EventNote};
use crate::engine::events::{Extra, Recorder};
use crate::engine::{requests, scheduling};
use crate::network::porter::{self, Refused};
use crate::network::{GatewayConfig, ServiceConfig, proxy};
use crate::store::Store;

const AGENT: &str = "service-controller";

/// Keeps the porter in step with the configuration.
pub(super) struct Publisher {
    store: Store,
    program: PathBuf,
    log: PathBuf,
    recorder: Arc<Recorder>,
    refused: Vec<Refused>,
    running: bool,
}

impl Publisher {
    pub(super) fn new(store: Store, program: PathBuf, log: PathBuf, node: &str) -> Self {
        let recorder = Arc::new(Recorder::new(store.clone(), clock::system(), node));
        Publisher { store, program, log, recorder, refused: Vec::new(), running: false }
    }

    /// Whether some ports could not be opened, so that it is worth asking again.
    pub(super) fn is_lacking(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Has the ports opened that the configuration names, and tells which could not be.
    pub(super) async fn publish(&mut self, config: &GatewayConfig, config_dir: &Path, run_dir: &Path) {
        let needed = !proxy::published(config).is_empty() || config.upstreams.iter().any(|u| u.ip().is_loopback());
        if !needed && !self.running {
            return;
        }
        let report = match porter::load(&self.program, config_dir, run_dir, &self.log).await {
            Ok(report) => report,
            Err(error) => {
                eprintln!("ports of Services are not open on this machine: {error}");
                return;
            }
        };
        self.running = true;
        for service in &config.services {
            self.tell(service, &report.refused).await;
            self.show_balancer(service, &report.refused).await;
        }
        self.tell_of_ingress(config, &report.refused).await;
        self.refused = report.refused;
    }

    /// An Event for each port that is refused now and was not before.
    async fn tell(&self, service: &ServiceConfig, refused: &[Refused]) {
        let own = |r: &&Refused| {
            service.ports.iter().any(|port| port.protocol == r.protocol && port.published.contains(&r.at))
        };
        let new = refused.iter().filter(own).filter(|r| !self.refused.contains(r)).collect();
        if let Some(object) = self.store.snapshot().get(&key(service)) {
            self.warn(object, new).await;
        }
    }

    async fn warn(&self, object: &Object, refused: Vec<&Refused>) {
        let note = |refused: &Refused| EventNote {
            regarding: scheduling::reference(object, ""),
            kind: EventKind::Warning,
            reason: "PortNotOpen".into(),
            message: text(refused),
            component: AGENT,
        };
        let notes: Vec<EventNote> = refused.into_iter().map(note).collect();
        if !notes.is_empty() {
            self.recorder.record_all(&notes, &Extra::default());
        }
    }

    /// All Ingresses share two ports: where one is open, its address is in their status, and where not, an Event says so.
    async fn tell_of_ingress(&self, config: &GatewayConfig, refused: &[Refused]) {
        let Some(http) = config.ingress.http else { return };
        let places: Vec<SocketAddr> = [Some(http), config.ingress.https].into_iter().flatten().collect();
        let own = |r: &&Refused| places.contains(&r.at);
        let new: Vec<&Refused> = refused.iter().filter(own).filter(|r| !self.refused.contains(r)).collect();
        let open = places.iter().filter(|at| !refused.iter().any(|r| r.at == **at));
        let ports: Vec<Value> = open.map(|at| json!({"port": at.port(), "protocol": "TCP"})).collect();
        let mut entry = ingress(http.ip());
        let wanted = if ports.is_empty() {
            json!({})
        } else {
            if let Some(entry) = entry.as_object_mut() {
                entry.remove("ipMode");
                entry.insert("ports".into(), ports.into());
            }
            json!({"ingress": [entry]})
        };
        let state = self.store.snapshot();
        for object in state.all(&GroupResource::new("networking.k8s.io", "ingresses")) {
            self.warn(object, new.clone()).await;
            if object.at("/status/loadBalancer").unwrap_or(&json!({})) == &wanted {
                continue;
            }
            let tree = with_balancer(object, wanted.clone());
            if let Some(request) = requests::on_status("networking.k8s.io", "ingresses", object, tree, AGENT) {
                // Who has changed it meanwhile wakes this again.
                let _ = self.store.write(request).await;
            }
        }
    }

    /// What a balancer is reached by, in its status.
    async fn show_balancer(&self, service: &ServiceConfig, refused: &[Refused]) {
        let state = self.store.snapshot();
        let Some(object) = state.get(&key(service)) else { return };
        if object.str_at("/spec/type") != Some("LoadBalancer") || object.at("/spec/loadBalancerClass").is_some() {
            return;
        }
        let open = |at: &SocketAddr| !refused.iter().any(|r| r.at == *at);
        let number = |port: &crate::network::ServicePort| port.published.iter().find(|at| at.port() == port.port).copied();
        let places: Vec<SocketAddr> = service.ports.iter().filter_map(number).collect();
        let wanted = match places.first() {
            Some(first) if places.iter().all(open) => json!({"ingress": [ingress(first.ip())]}),
            _ => json!({}),
        };
        if object.at("/status/loadBalancer").unwrap_or(&json!({})) == &wanted {
            return;
        }
        let tree = with_balancer(object, wanted);
        if let Some(request) = requests::on_status("", "services", object, tree, AGENT) {
            // Who has changed it meanwhile wakes this again.
            let _ = self.store.write(request).await;
        }
    }
}

fn key(service: &ServiceConfig) -> Key {
    Key::new(GroupResource::new("", "services"), &service.namespace, &service.name)
}

fn with_balancer(object: &Object, status: Value) -> Value {
    let mut tree = object.json().clone();
    tree["status"]["loadBalancer"] = status;
    tree
}

/// How clients on this machine name an address of it.
fn ingress(address: IpAddr) -> Value {
    match address {
        local if local.is_loopback() || local.is_unspecified() => json!({"hostname": "localhost"}),
        other => json!({"ip": other.to_string(), "ipMode": "Proxy"}),
    }
}

fn text(refused: &Refused) -> String {
    let Refused { at, why, holder, .. } = refused;
    match holder {
        Some(holder) => format!("{at} cannot be opened on this machine: {holder} has it"),
        None => format!("{at} cannot be opened on this machine: {why}"),
    }
}
