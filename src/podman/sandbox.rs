//! Sandboxes: a Podman pod with its infra container.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Deserialize;

use super::dirs::{PodDir, SandboxFile, file_error, write_file, write_in_place};
use super::fault::Fault;
use super::http::encode;
use super::index::Record;
use super::inspect::Inspected;
use super::{Inner, naming, spec, volume};
use crate::runtime::{DnsConfig, Outcome, RuntimeError, RuntimeErrorKind, SandboxConfig};

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "Id")]
    id: String,
}

#[derive(Deserialize)]
pub(super) struct InspectedPod {
    #[serde(rename = "Id")]
    id: String,
    #[serde(rename = "CgroupPath", default)]
    pub cgroup_path: String,
    #[serde(rename = "Labels", default)]
    labels: Option<std::collections::BTreeMap<String, String>>,
}

impl Inner {
    /// Makes the pod and starts its infra container. Made twice, it is the same pod.
    pub async fn run_sandbox(self: &Arc<Self>, config: &SandboxConfig) -> Result<Outcome, RuntimeError> {
        let dir = self.dirs.pod(&config.uid)?;
        write_files(&dir, config)?;
        let mut body = spec::pod(&self.instance, config);
        let limits = match self.writes_pod_limits.load(Ordering::Acquire) {
            true => body.resource_limits.take().map(|_| &config.resources),
            false => None,
        };
        let id = self.create_pod(&body, config).await?;
        if let Some(limits) = limits
            && let Err(refusal) = self.limit_new_pod(&id, limits).await
        {
            self.remove_half_made(&id).await;
            return Err(refusal);
        }
        let started = self.http.post(format!("/containers/{}/start", encode(&body.infra_name, false))).ok().await;
        if let Err(fault) = started {
            if !fault.uncertain {
                self.remove_half_made(&id).await;
            }
            self.doubt(&fault);
            return Err(fault.into_error());
        }
        let inspected: Inspected = match self.http.get(format!("/containers/{}/json", encode(&body.infra_name, false))).read().await {
            Ok(inspected) => inspected,
            Err(fault) => {
                self.index().uncertain = true;
                return Err(fault.into_error());
            }
        };
        let ips = self.add_infra(&inspected, &id, config);
        // In cgroup v2 a controller may be there only now.
        if let Some(Err(refusal)) = limits.map(|limits| self.update_sandbox(&id, limits)) {
            self.remove_half_made(&id).await;
            return Err(refusal);
        }
        Ok(Outcome::Sandbox { id, ips })
    }

    fn add_infra(self: &Arc<Self>, inspected: &Inspected, id: &str, config: &SandboxConfig) -> Vec<IpAddr> {
        let labels = naming::pod_labels(&self.instance, config);
        let Some(mut record) = Record::from_labels(&inspected.id, &labels, true, inspected.created) else { return Vec::new() };
        record.sandbox_id = id.to_owned();
        record.annotations.extend(config.annotations.clone());
        self.index().add(record);
        self.take_over(inspected);
        self.index().records.get(&inspected.id).map(|r| r.ips.clone()).unwrap_or_default()
    }

    async fn create_pod(&self, body: &spec::PodSpec, config: &SandboxConfig) -> Result<String, RuntimeError> {
        // The first pod of a Podman builds its pause image: one at a time until that is there.
        let first = match self.has_pause_image.load(Ordering::Acquire) {
            true => None,
            false => Some(self.first_pod.lock().await),
        };
        let created = self.http.post("/pods/create").json(body).read::<Created>().await;
        let result = match created {
            Ok(created) => Ok(created.id),
            Err(fault) if fault.is_conflict() => self.adopt_pod(&body.name, config, fault).await,
            Err(fault) => {
                // 4.3 may leave half a pod.
                if !fault.uncertain {
                    self.remove_half_made(&body.name).await;
                }
                self.doubt(&fault);
                Err(fault.into_error())
            }
        };
        if result.is_ok() {
            self.has_pause_image.store(true, Ordering::Release);
        }
        drop(first);
        result
    }

    /// The pod may be there from a try whose answer was lost.
    async fn adopt_pod(&self, name: &str, config: &SandboxConfig, conflict: Fault) -> Result<String, RuntimeError> {
        let found = self.http.get(format!("/pods/{}/json", encode(name, false))).read::<InspectedPod>().await;
        let labels = naming::pod_labels(&self.instance, config);
        match found {
            Ok(pod) if pod.labels.as_ref() == Some(&labels) => Ok(pod.id),
            _ => Err(conflict.into_error()),
        }
    }

    async fn remove_half_made(&self, pod: &str) {
        // If it stays, the next list shows it.
        if self.delete_pod(pod).await.is_err() {
            self.index().uncertain = true;
        }
    }

    async fn delete_pod(&self, pod: &str) -> Result<(), Fault> {
        match self.delete_pod_once(pod).await {
            // A container ended by itself just when Podman was about to kill it; now it has ended.
            Err(fault) if fault.is_improper_state() => self.delete_pod_once(pod).await,
            answer => answer,
        }
    }

    async fn delete_pod_once(&self, pod: &str) -> Result<(), Fault> {
        // Without a timeout, each container would be waited for in turn.
        let call = self.http.delete(format!("/pods/{}", encode(pod, false))).query("force", "true").query("timeout", "0");
        match call.ok().await {
            Ok(_) => Ok(()),
            Err(fault) if fault.is_not_found() => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Ends the infra container, and with it the pod's namespaces.
    pub async fn stop_sandbox(self: &Arc<Self>, id: &str) -> Result<Outcome, RuntimeError> {
        let infra = self.index().records.values().find(|r| r.is_infra && r.sandbox_id == id).map(|r| r.id.clone());
        let Some(infra) = infra else { return Err(not_found(id)) };
        self.signal(&infra, 9).await?;
        Ok(Outcome::Done)
    }

    /// Removes the pod and, if nothing of it is to stay, its files.
    pub async fn remove_sandbox(self: &Arc<Self>, id: &str, uid: &str, forget_pod: bool) -> Result<Outcome, RuntimeError> {
        if !id.is_empty() {
            self.set_leaving(id, true);
            let deleted = self.delete_pod(id).await;
            self.set_leaving(id, false);
            deleted.inspect_err(|fault| self.doubt(fault))?;
            self.index().records.retain(|_, record| record.sandbox_id != id);
        }
        if forget_pod {
            self.forget_pod(uid).await?;
        }
        Ok(Outcome::Done)
    }

    /// While a sandbox is being removed, the ends of its processes are no news. Where it stays, all of it is looked at anew.
    fn set_leaving(&self, sandbox_id: &str, leaving: bool) {
        for record in self.index().records.values_mut().filter(|record| record.sandbox_id == sandbox_id) {
            record.leaving = leaving;
            record.stale |= !leaving;
            record.watch = None;
        }
    }

    async fn forget_pod(self: &Arc<Self>, uid: &str) -> Result<(), RuntimeError> {
        let dir = self.dirs.pod(uid)?;
        for name in volume::memory_volumes(&dir) {
            let removed = self.http.delete(format!("/volumes/{}", encode(&name, false))).query("force", "true").ok().await;
            if let Err(fault) = removed.or_else(|fault| if fault.is_not_found() { Ok(empty()) } else { Err(fault) }) {
                return Err(fault.into_error());
            }
        }
        for folder in [Some(dir.path()), dir.memory()].into_iter().flatten() {
            volume::remove_tree(self, folder).await?;
        }
        Ok(())
    }
}

fn empty() -> super::http::Answer {
    super::http::Answer { status: hyper::StatusCode::OK, headers: hyper::HeaderMap::new(), body: bytes::Bytes::new() }
}

fn not_found(id: &str) -> RuntimeError {
    RuntimeError::new(RuntimeErrorKind::NotFound, format!("there is no sandbox {id}"))
}

fn write_files(dir: &PodDir, config: &SandboxConfig) -> Result<(), RuntimeError> {
    let write = |path: std::path::PathBuf, content: &[u8]| {
        write_in_place(&path, content, 0o644).map_err(|e| file_error("cannot write", &path, &e))
    };
    write(dir.hosts(), config.hosts.as_bytes())?;
    write(dir.resolv_conf(), resolv_conf(&config.dns).as_bytes())?;
    let kept = SandboxFile { annotations: config.annotations.clone(), host_pid: config.host_pid, host_ipc: config.host_ipc };
    let json = serde_json::to_vec(&kept).unwrap_or_default();
    let path = dir.sandbox_file();
    write_file(&path, &json, 0o600).map_err(|e| file_error("cannot write", &path, &e))
}

/// As the resolver reads it (resolv.conf(5)).
fn resolv_conf(dns: &DnsConfig) -> String {
    let mut text = String::new();
    if !dns.searches.is_empty() {
        let _ = writeln!(text, "search {}", dns.searches.join(" "));
    }
    for server in &dns.servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    if !dns.options.is_empty() {
        let _ = writeln!(text, "options {}", dns.options.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_written_as_the_resolver_reads_it() {
        let dns = DnsConfig {
            servers: vec!["10.0.0.1".into(), "10.0.0.2".into()],
            searches: vec!["default.svc.cluster.local".into(), "svc.cluster.local".into()],
            options: vec!["ndots:5".into()],
        };
        let text = "search default.svc.cluster.local svc.cluster.local\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions ndots:5\n";
        assert_eq!(resolv_conf(&dns), text);
        assert_eq!(resolv_conf(&DnsConfig::default()), "");
    }
}
