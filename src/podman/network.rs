//! The network of an instance on Podman: a bridge without Podman's DNS, so that all versions write the same resolv.conf.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{API_DEADLINE, Inner, Podman, naming};
use crate::runtime::{RuntimeError, RuntimeErrorKind};

/// A network of Podman.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkInfo {
    pub name: String,
    /// `10.1.2.0/24`.
    pub subnets: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

/// A range of a network that is to be made: `10.1.2.0/24`, its bridge's address, and the dynamic addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSubnet {
    pub range: String,
    pub gateway: IpAddr,
    pub first: IpAddr,
    pub last: IpAddr,
}

#[derive(Serialize)]
struct Create {
    name: String,
    driver: &'static str,
    dns_enabled: bool,
    internal: bool,
    ipv6_enabled: bool,
    labels: BTreeMap<String, String>,
    subnets: Vec<Subnet>,
}

#[derive(Serialize)]
struct Subnet {
    subnet: String,
    gateway: IpAddr,
    lease_range: Range,
}

#[derive(Serialize)]
struct Range {
    start_ip: IpAddr,
    end_ip: IpAddr,
}

/// What `networks` answers with, beside what `podman-api` knows of it.
#[derive(Deserialize)]
struct Created {
    name: String,
}

impl Podman {
    /// All networks of this Podman, whoever made them.
    pub async fn networks(&self) -> Result<Vec<NetworkInfo>, RuntimeError> {
        self.inner.networks().await
    }

    /// The network of this instance, if it was made.
    pub async fn own_network(&self) -> Result<Option<NetworkInfo>, RuntimeError> {
        let name = self.inner.instance.network();
        Ok(self.networks().await?.into_iter().find(|n| n.name == name))
    }

    /// Makes this instance's network, if it is not there, with these ranges.
    pub async fn make_network(&self, subnets: &[NewSubnet]) -> Result<(), RuntimeError> {
        let instance = &self.inner.instance;
        let subnet = |new: &NewSubnet| Subnet {
            subnet: new.range.clone(),
            gateway: new.gateway,
            lease_range: Range { start_ip: new.first, end_ip: new.last },
        };
        let body = Create {
            name: instance.network(),
            driver: "bridge",
            dns_enabled: false,
            internal: false,
            ipv6_enabled: subnets.iter().any(|new| new.gateway.is_ipv6()),
            labels: [(naming::INSTANCE.to_owned(), instance.as_str().to_owned())].into(),
            subnets: subnets.iter().map(subnet).collect(),
        };
        match self.inner.http.post("/networks/create").json(&body).read::<Created>().await {
            Ok(created) if created.name == body.name => Ok(()),
            Ok(created) => {
                let message = format!("Podman made network {:?} instead of {:?}", created.name, body.name);
                Err(RuntimeError::new(RuntimeErrorKind::Refused, message))
            }
            Err(fault) if fault.is_conflict() => Ok(()),
            Err(fault) => Err(fault.into_error()),
        }
    }

    /// Removes this instance's network (`wl reset`); no pod may be in it.
    pub async fn remove_network(&self) -> Result<(), RuntimeError> {
        match self.inner.http.delete(format!("/networks/{}", self.inner.instance.network())).ok().await {
            Ok(_) => Ok(()),
            Err(fault) if fault.is_not_found() => Ok(()),
            Err(fault) => Err(fault.into_error()),
        }
    }
}

impl Inner {
    async fn networks(&self) -> Result<Vec<NetworkInfo>, RuntimeError> {
        let networks = self.api().await.networks();
        let options = podman_api::opts::NetworkListOpts::default();
        let listed = tokio::time::timeout(API_DEADLINE, networks.list(&options)).await;
        let unavailable = |why: String| RuntimeError::new(RuntimeErrorKind::Unavailable, format!("Podman does not list its networks: {why}"));
        let listed = listed.map_err(|_| unavailable("no answer".to_owned()))?.map_err(|e| unavailable(e.to_string()))?;
        let mut networks: Vec<NetworkInfo> = listed
            .into_iter()
            .map(|network| NetworkInfo {
                name: network.name.unwrap_or_default(),
                subnets: network.subnets.unwrap_or_default().into_iter().filter_map(|s| s.subnet).collect(),
                labels: network.labels.unwrap_or_default().into_iter().collect(),
            })
            .collect();
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(networks)
    }
}
