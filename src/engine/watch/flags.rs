//! How a watch is started: its flags, and what they come to.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use crate::api::{GroupResource, Json};
use crate::apiserver;
use crate::engine::node_object;
use crate::network::{Publish, porter};
use crate::node::NodeConfig;
use crate::node::pressure::{PressureConfig, PressureFlags};
use crate::registry::{PodSecurityLevel, Settings};
use crate::runtime::DnsConfig;
use crate::state::State;

/// Ports that an ordinary user may open.
const INGRESS_HTTP: u16 = 8080;
const INGRESS_HTTPS: u16 = 8443;

/// Flags of `wl watch`; whatever starts a watch or runs the engine inside itself takes them too.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchFlags {
    /// Serve the API on another unix socket too (unix:PATH)
    #[arg(long, value_name = "unix:PATH")]
    pub api: Vec<String>,
    /// Run no controllers and no scheduler
    #[arg(long)]
    pub no_controllers: bool,
    /// Run no node agent: no pod is started here
    #[arg(long)]
    pub no_node: bool,
    /// Name of the node
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// What pods may use of the machine (cpu=2,memory=4Gi,pods=50)
    #[arg(long, value_name = "NAME=QUANTITY", value_delimiter = ',')]
    pub node_allocatable: Vec<String>,
    /// Name servers that pods are told
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    pub cluster_dns: Vec<String>,
    /// Domain of Services
    #[arg(long, value_name = "DOMAIN")]
    pub cluster_domain: Option<String>,
    /// Resolver file for pods with dnsPolicy Default
    #[arg(long, value_name = "FILE")]
    pub resolv_conf: Option<PathBuf>,
    /// Addresses of Services: a range of IPv4, or one of IPv4 and one of IPv6
    #[arg(long, value_name = "CIDR[,CIDR]")]
    pub service_cidr: Option<String>,
    /// Addresses of pods, likewise; chosen beside the machine's networks if not given
    #[arg(long, value_name = "CIDR[,CIDR]")]
    pub pod_cidr: Option<String>,
    /// Families of addresses of a network that is made; both where the machine has IPv6, if not given
    #[arg(long, value_name = "FAMILIES", value_parser = ["IPv4", "IPv4,IPv6"])]
    pub ip_families: Option<String>,
    /// Where ports of Services are opened on this machine; 127.0.0.1 if not given
    #[arg(long, value_name = "IP")]
    pub publish_address: Option<IpAddr>,
    /// Port of Ingress on this machine; 8080 if not given
    #[arg(long, value_name = "PORT")]
    pub ingress_http: Option<u16>,
    /// Port of Ingress over TLS on this machine; 8443 if not given
    #[arg(long, value_name = "PORT")]
    pub ingress_https: Option<u16>,
    /// Admission plugins, in place of the default ones
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub admission: Option<Vec<String>>,
    /// Pod Security Standard for namespaces that name none (baseline, restricted)
    #[arg(long, value_name = "LEVEL", value_parser = ["privileged", "baseline", "restricted"])]
    pub restrict: Option<String>,
    /// Folder, file or URL of manifests of static pods: a file added starts its pod, one removed ends it
    #[arg(long, value_name = "DIR|URL")]
    pub manifests: Option<OsString>,
    /// Sysctls that pods may set besides the safe ones (kernel.msg*)
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub allowed_unsafe_sysctls: Vec<String>,
    /// What the machine may not run short of: pods go at once (nodefs.available<10%,imagefs.available<1Gi); memory.available<100Mi
    /// if not given
    #[arg(long, value_name = "SIGNAL<AMOUNT", value_delimiter = ',')]
    pub eviction_hard: Option<Vec<String>>,
    /// What it may be short of for a while only (memory.available<1Gi)
    #[arg(long, value_name = "SIGNAL<AMOUNT", value_delimiter = ',')]
    pub eviction_soft: Vec<String>,
    /// How long (memory.available=1m30s)
    #[arg(long, value_name = "SIGNAL=DURATION", value_delimiter = ',')]
    pub eviction_soft_grace_period: Vec<String>,
    /// Seconds that a pod gets at most to end when it goes for --eviction-soft; its own if not given
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub eviction_max_pod_grace_period: Option<i32>,
    /// How much more has to be there before no more pods go (nodefs.available=500Mi)
    #[arg(long, value_name = "SIGNAL=AMOUNT", value_delimiter = ',')]
    pub eviction_minimum_reclaim: Vec<String>,
    /// How long the node shows pressure after it was last seen; 5m if not given
    #[arg(long, value_name = "DURATION")]
    pub eviction_pressure_transition_period: Option<String>,
}

/// A flag that says nothing that can be done.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    #[error("--api {0:?} is no address: write it as unix:PATH")]
    Api(String),
    #[error("--node-allocatable {0:?} is no amount: write it as cpu=2,memory=4Gi")]
    Allocatable(String),
    #[error("cannot read --resolv-conf {}", path.display())]
    ResolvConf {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("--pod-cidr {0:?} names a range of IPv6, but --ip-families names IPv4 alone")]
    Families(String),
    #[error("{}", .0.join("\n"))]
    Pressure(Vec<String>),
    #[error("--node-name {0:?} is no name of a node: lower-case letters, digits, '-' and '.' only")]
    NodeName(String),
}

impl WatchFlags {
    /// The same flags, for another process.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> = Vec::new();
        let mut add = |name: &str, value: &std::ffi::OsStr| {
            let mut text = OsString::from(format!("--{name}="));
            text.push(value);
            all.push(text);
        };
        let mut list = |name: &str, values: &[String]| values.iter().for_each(|v| add(name, v.as_ref()));
        list("api", &self.api);
        list("node-allocatable", &self.node_allocatable);
        list("cluster-dns", &self.cluster_dns);
        list("allowed-unsafe-sysctls", &self.allowed_unsafe_sysctls);
        list("eviction-hard", self.eviction_hard.as_deref().unwrap_or_default());
        list("eviction-soft", &self.eviction_soft);
        list("eviction-soft-grace-period", &self.eviction_soft_grace_period);
        list("eviction-minimum-reclaim", &self.eviction_minimum_reclaim);
        list("eviction-max-pod-grace-period", self.eviction_max_pod_grace_period.map(|s| s.to_string()).as_slice());
        let single = [
            ("node-name", &self.node_name),
            ("cluster-domain", &self.cluster_domain),
            ("service-cidr", &self.service_cidr),
            ("pod-cidr", &self.pod_cidr),
            ("ip-families", &self.ip_families),
            ("restrict", &self.restrict),
            ("eviction-pressure-transition-period", &self.eviction_pressure_transition_period),
        ];
        for (name, value) in single {
            list(name, value.as_slice());
        }
        if let Some(admission) = &self.admission {
            list("admission", &[admission.join(",")]);
        }
        list("publish-address", self.publish_address.map(|ip| ip.to_string()).as_slice());
        list("ingress-http", self.ingress_http.map(|port| port.to_string()).as_slice());
        list("ingress-https", self.ingress_https.map(|port| port.to_string()).as_slice());
        if let Some(path) = &self.resolv_conf {
            add("resolv-conf", path.as_os_str());
        }
        if let Some(path) = &self.manifests {
            add("manifests", path.as_os_str());
        }
        let switches = [("--no-controllers", self.no_controllers), ("--no-node", self.no_node)];
        all.extend(switches.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.into()));
        all
    }

    /// Whether a network that is made has IPv6 too; `None`: where the machine has. One range says one family, unless both are
    /// asked for.
    pub fn both_families(&self) -> Option<bool> {
        let asked = self.ip_families.as_deref().map(|families| families == "IPv4,IPv6");
        asked.or_else(|| self.pod_cidr.as_ref().map(|ranges| ranges.contains(',')))
    }

    /// What of Services is opened on this machine.
    pub fn publish(&self) -> Publish {
        Publish {
            address: self.publish_address.unwrap_or(Ipv4Addr::LOCALHOST.into()),
            http: self.ingress_http.unwrap_or(INGRESS_HTTP),
            https: self.ingress_https.unwrap_or(INGRESS_HTTPS),
        }
    }

    /// The sockets besides the state directory's own.
    pub fn sockets(&self) -> Result<Vec<PathBuf>, FlagError> {
        let path = |text: &String| {
            let path = text.strip_prefix("unix:").map(|p| p.strip_prefix("//").unwrap_or(p)).filter(|p| !p.is_empty());
            path.map(PathBuf::from).ok_or_else(|| FlagError::Api(text.clone()))
        };
        self.api.iter().map(path).collect()
    }

    /// How the API server treats what it is given.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings { port_is_taken: porter::taken, ..Settings::default() };
        if let Some(admission) = &self.admission {
            settings.admission.clone_from(admission);
        }
        if let Some(cidrs) = &self.service_cidr {
            settings.service_cidrs = cidrs.split(',').map(str::to_owned).collect();
        }
        settings.pod_security = match self.restrict.as_deref() {
            Some("baseline") => PodSecurityLevel::Baseline,
            Some("restricted") => PodSecurityLevel::Restricted,
            _ => PodSecurityLevel::default(),
        };
        settings
    }

    /// What the node is told about itself.
    pub fn node_config(&self) -> Result<NodeConfig, FlagError> {
        let resolver = match &self.resolv_conf {
            None => DnsConfig::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path);
                parse_resolv_conf(&text.map_err(|source| FlagError::ResolvConf { path: path.clone(), source })?)
            }
        };
        Ok(NodeConfig {
            node_name: self.node_name()?,
            cluster_dns: self.cluster_dns.clone(),
            cluster_domain: self.cluster_domain.clone().unwrap_or_else(|| "cluster.local".into()),
            resolver,
            unsafe_sysctls: self.allowed_unsafe_sysctls.clone(),
            pressure: self.pressure()?,
            ..NodeConfig::default()
        })
    }

    /// From when on something is too little; all that is wrong with it at once.
    fn pressure(&self) -> Result<PressureConfig, FlagError> {
        let flags = PressureFlags {
            hard: self.eviction_hard.as_deref(),
            soft: &self.eviction_soft,
            soft_grace: &self.eviction_soft_grace_period,
            min_reclaim: &self.eviction_minimum_reclaim,
            max_pod_grace: self.eviction_max_pod_grace_period.map(i64::from),
            transition: self.eviction_pressure_transition_period.as_deref(),
        };
        PressureConfig::parse(flags).map_err(FlagError::Pressure)
    }

    /// The name given, or the machine's.
    fn node_name(&self) -> Result<String, FlagError> {
        let good = |name: &str| {
            let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            let inside = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.');
            inside && edge(name.chars().next()) && edge(name.chars().last()) && name.len() <= 253
        };
        if let Some(name) = &self.node_name {
            return if good(name) { Ok(name.clone()) } else { Err(FlagError::NodeName(name.clone())) };
        }
        let host = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
        Ok(if good(&host) { host } else { "wl".into() })
    }

    /// The Node that a watch with these flags will register, if the state has none.
    pub fn node_to_come(&self, state: &State) -> Option<Json> {
        let is_there = state.count(&GroupResource::new("", "nodes")) > 0;
        let name = self.node_name().ok().filter(|_| !is_there && !self.no_node)?;
        Some(node_object::foreseen(&name, apiserver::architecture()))
    }

    /// Amounts that win over the machine's own.
    pub fn allocatable(&self) -> Result<BTreeMap<String, String>, FlagError> {
        let pair = |text: &String| {
            let (name, amount) = text.split_once('=')?;
            let good = crate::api::quantity::Quantity::parse(amount).is_ok_and(|q| q.signum() >= 0);
            (good && !name.is_empty()).then(|| (name.to_owned(), amount.to_owned()))
        };
        self.node_allocatable
            .iter()
            .map(|text| pair(text).ok_or_else(|| FlagError::Allocatable(text.clone())))
            .collect()
    }
}

/// Reads resolv.conf(5) as the kubelet does (pkg/kubelet/network/dns: parseResolvConf).
pub(super) fn parse_resolv_conf(text: &str) -> DnsConfig {
    let mut dns = DnsConfig::default();
    for line in text.lines().filter(|l| !l.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => dns.servers.extend(words.next()),
            Some("search") => {
                dns.searches = words.map(|w| w.trim_end_matches('.').to_owned()).filter(|w| !w.is_empty()).collect()
            }
            Some("options") => dns.options.extend(words),
            _ => {}
        }
    }
    dns
}

/// Where a watch of this state directory serves its API.
pub fn socket(state_dir: &Path) -> PathBuf {
    state_dir.join("api.sock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_read_like_the_kubelet_reads_it() {
        let dns = parse_resolv_conf(
            "# x\nnameserver 192.0.2.53\nsearch a.test b.test.\nsearch c.test\noptions ndots:2 timeout:1\n",
        );
        assert_eq!(dns.servers, ["192.0.2.53"]);
        assert_eq!(dns.searches, ["c.test"]);
        assert_eq!(dns.options, ["ndots:2", "timeout:1"]);
    }

    #[test]
    fn families_are_those_that_are_asked_for_or_have_a_range() {
        let flags = |pod_cidr: Option<&str>, ip_families: Option<&str>| WatchFlags {
            pod_cidr: pod_cidr.map(str::to_owned),
            ip_families: ip_families.map(str::to_owned),
            ..WatchFlags::default()
        };
        let (one, two) = (Some("10.1.0.0/24"), Some("10.1.0.0/24,fd00:1::/120"));
        assert_eq!(flags(None, None).both_families(), None);
        assert_eq!(flags(one, None).both_families(), Some(false));
        assert_eq!(flags(two, None).both_families(), Some(true));
        assert_eq!(flags(one, Some("IPv4,IPv6")).both_families(), Some(true));
        assert_eq!(flags(None, Some("IPv4")).both_families(), Some(false));
    }

    #[test]
    fn the_node_to_come_is_this_machine_where_there_is_none_and_one_is_wanted() {
        let flags = WatchFlags { node_name: Some("n1".into()), ..WatchFlags::default() };
        let mut state = State::new();
        let node = flags.node_to_come(&state).expect("a node");
        assert_eq!(node["metadata"]["name"], "n1");
        assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "n1");
        assert_eq!(node["metadata"]["labels"]["kubernetes.io/os"], "linux");
        assert_eq!(WatchFlags { no_node: true, ..flags.clone() }.node_to_come(&state), None);
        let key = crate::api::Key::new(GroupResource::new("", "nodes"), "", "other");
        state.put(key, crate::api::Object::new(node));
        assert_eq!(flags.node_to_come(&state), None);
    }

    #[test]
    fn flags_survive_the_way_to_another_process() {
        use clap::Parser;
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            flags: WatchFlags,
        }
        let flags = WatchFlags {
            api: vec!["unix:/a".into()],
            no_node: true,
            node_name: Some("n1".into()),
            node_allocatable: vec!["cpu=2".into(), "memory=1Gi".into()],
            admission: Some(vec!["NamespaceLifecycle".into(), "Priority".into()]),
            resolv_conf: Some("/etc/x".into()),
            ingress_http: Some(80),
            ingress_https: Some(443),
            publish_address: Some(Ipv4Addr::UNSPECIFIED.into()),
            pod_cidr: Some("10.1.0.0/24,fd00:1::/120".into()),
            ip_families: Some("IPv4,IPv6".into()),
            manifests: Some("/etc/pods".into()),
            eviction_hard: Some(vec!["memory.available<1Gi".into(), "nodefs.available<10%".into()]),
            eviction_soft: vec!["memory.available<2Gi".into()],
            eviction_soft_grace_period: vec!["memory.available=1m".into()],
            eviction_minimum_reclaim: vec!["memory.available=0".into()],
            eviction_max_pod_grace_period: Some(-1),
            eviction_pressure_transition_period: Some("30s".into()),
            ..WatchFlags::default()
        };
        let none = WatchFlags { eviction_hard: Some(vec![String::new()]), ..WatchFlags::default() };
        for flags in [flags, none, WatchFlags::default()] {
            let words = std::iter::once("wl".into()).chain(flags.arguments());
            assert_eq!(Line::parse_from(words).flags, flags);
        }
    }
}
