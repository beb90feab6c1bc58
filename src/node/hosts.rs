//! Names around a pod: hostname, `/etc/hosts`, resolver.
//! Source: pkg/kubelet/kubelet_pods.go, pkg/kubelet/network/dns/dns.go.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::{Context, NodeConfig, PodEvent};
use crate::runtime::{DnsConfig, Machine};

/// Limits of resolv.conf (k8s.io/kubernetes/pkg/apis/core/validation: MaxDNSNameservers and others).
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARS: usize = 2048;
/// Of one of them (pkg/kubelet/network/dns/dns.go: DNS1123SubdomainMaxLength).
const MAX_SEARCH: usize = 253;
/// Longest host name of Linux less its end (kubelet_pods.go: truncatePodHostnameIfNeeded).
const MAX_HOSTNAME: usize = 63;

fn spec(pod: &Pod) -> Option<&PodSpec> {
    pod.spec.as_ref()
}

pub fn host_network(pod: &Pod) -> bool {
    spec(pod).and_then(|s| s.host_network).unwrap_or(false)
}

/// The node's own addresses: one, or one of each family where pods have such too
/// (pkg/kubelet/nodestatus/setters.go: NodeAddress).
pub fn node_addresses(machine: &Machine, config: &NodeConfig) -> Vec<IpAddr> {
    let Some(first) = machine.addresses.first() else { return Vec::new() };
    let other = machine.addresses.iter().find(|a| a.is_ipv6() != first.is_ipv6());
    std::iter::once(*first).chain(other.copied().filter(|_| config.pod_cidrs.len() > 1)).collect()
}

/// The short host name and the domain (`sub.ns.svc.cluster.local`, or nothing).
pub fn hostname_and_domain(pod: &Pod, cluster_domain: &str) -> (String, String) {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let wanted = spec(pod).and_then(|s| s.hostname.as_deref()).filter(|h| !h.is_empty());
    let hostname = match wanted {
        Some(hostname) => hostname.to_owned(),
        None => truncated(name),
    };
    let domain = match spec(pod).and_then(|s| s.subdomain.as_deref()).filter(|s| !s.is_empty()) {
        Some(subdomain) => format!("{subdomain}.{namespace}.svc.{cluster_domain}"),
        None => String::new(),
    };
    (hostname, domain)
}

fn truncated(name: &str) -> String {
    let short: String = name.chars().take(MAX_HOSTNAME).collect();
    if short.len() == name.len() { short } else { short.trim_end_matches(['-', '.']).to_owned() }
}

/// What the pod's kernel is told; `Err`: why the sandbox cannot be made.
pub fn kernel_hostname(pod: &Pod, context: &Context<'_>) -> Result<String, String> {
    if host_network(pod) {
        return Ok(context.machine.hostname.clone());
    }
    if let Some(name) = spec(pod).and_then(|s| s.hostname_override.as_deref()).filter(|h| !h.is_empty()) {
        return Ok(name.to_owned());
    }
    let (hostname, domain) = hostname_and_domain(pod, &context.config.cluster_domain);
    let as_fqdn = spec(pod).and_then(|s| s.set_hostname_as_fqdn).unwrap_or(false);
    if !as_fqdn || domain.is_empty() {
        return Ok(hostname);
    }
    let fqdn = format!("{hostname}.{domain}");
    if fqdn.len() > 64 {
        return Err(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {fqdn} is too long (64 characters is the max, {} characters requested)",
            fqdn.len()
        ));
    }
    Ok(fqdn)
}

/// Content of the pod's `/etc/hosts`.
pub fn hosts_file(pod: &Pod, ips: &[String], context: &Context<'_>) -> String {
    let mut out = String::new();
    if host_network(pod) {
        out.push_str("# Kubernetes-managed hosts file (host network).\n");
        out.push_str(&context.machine.hosts);
        if !context.machine.hosts.ends_with('\n') && !context.machine.hosts.is_empty() {
            out.push('\n');
        }
    } else {
        out.push_str(
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
        );
        let (hostname, domain) = hostname_and_domain(pod, &context.config.cluster_domain);
        for ip in ips {
            if domain.is_empty() {
                out.push_str(&format!("{ip}\t{hostname}\n"));
            } else {
                out.push_str(&format!("{ip}\t{hostname}.{domain}\t{hostname}\n"));
            }
        }
    }
    let aliases = spec(pod).and_then(|s| s.host_aliases.as_deref()).unwrap_or_default();
    if !aliases.is_empty() {
        out.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
            out.push_str(&format!("{}\t{names}\n", alias.ip));
        }
    }
    out
}

/// The resolver's configuration, with warnings where something had to be left out.
pub fn dns(pod: &Pod, context: &Context<'_>) -> (DnsConfig, Vec<PodEvent>) {
    let policy = spec(pod).and_then(|s| s.dns_policy.as_deref()).unwrap_or("ClusterFirst");
    let node = &context.config.resolver;
    let cluster = !context.config.cluster_dns.is_empty()
        && match policy {
            "ClusterFirst" => !host_network(pod),
            "ClusterFirstWithHostNet" => true,
            _ => false,
        };
    let mut dns = match policy {
        "None" => DnsConfig::default(),
        _ if cluster => cluster_first(pod, context),
        _ => node.clone(),
    };
    if let Some(extra) = spec(pod).and_then(|s| s.dns_config.as_ref()) {
        append_new(&mut dns.servers, extra.nameservers.as_deref().unwrap_or_default());
        append_new(&mut dns.searches, extra.searches.as_deref().unwrap_or_default());
        for option in extra.options.iter().flatten() {
            let Some(name) = option.name.as_deref() else { continue };
            dns.options.retain(|o| o.split(':').next() != Some(name));
            dns.options.push(match option.value.as_deref().filter(|v| !v.is_empty()) {
                Some(value) => format!("{name}:{value}"),
                None => name.to_owned(),
            });
        }
    }
    let events = limit(&mut dns);
    (dns, events)
}

fn cluster_first(pod: &Pod, context: &Context<'_>) -> DnsConfig {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let domain = &context.config.cluster_domain;
    let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
    append_new(&mut searches, &context.config.resolver.searches);
    // The kubelet's own option list for cluster names (dns.go: defaultDNSOptions).
    DnsConfig { servers: context.config.cluster_dns.clone(), searches, options: vec!["ndots:5".into()] }
}

fn append_new(list: &mut Vec<String>, more: &[String]) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

/// Source: pkg/kubelet/network/dns/dns.go: formDNSConfigFitsLimits.
fn limit(dns: &mut DnsConfig) -> Vec<PodEvent> {
    let mut events = Vec::new();
    let mut warn = |message: String| events.push(PodEvent::warning("DNSConfigForming", message, ""));
    if dns.servers.len() > MAX_NAMESERVERS {
        dns.servers.truncate(MAX_NAMESERVERS);
        warn(format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
            dns.servers.join(" ")
        ));
    }
    let all = dns.searches.len();
    dns.searches.truncate(MAX_SEARCHES);
    // Resolvers give up at longer ones.
    dns.searches.retain(|search| search.len() <= MAX_SEARCH);
    let mut chars = 0;
    let fit = dns.searches.iter().take_while(|search| {
        chars += search.len() + 1;
        chars <= MAX_SEARCH_CHARS + 1
    });
    dns.searches.truncate(fit.count());
    if dns.searches.len() < all {
        warn(format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
            dns.searches.join(" ")
        ));
    }
    events
}
