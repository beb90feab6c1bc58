//! What the machine is, by Podman and by the kernel.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::Ordering;

use serde::Deserialize;

use super::Inner;
use super::index::Index;
use crate::runtime::{DnsConfig, Machine, RuntimeError};

/// Locks of one store (containers.conf `num_locks`), where Podman does not tell how many are free (before 4.6).
const LOCKS: u64 = 2048;
/// A pod takes one, its infra container one, a container one, and one is left for a dead attempt that is kept.
const LOCKS_PER_POD: u64 = 4;
/// Addresses that nobody has (documentation); asking for the way there tells the address that others see.
const ELSEWHERE: [(&str, &str); 2] = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];

/// `/info`, as far as it matters here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Info {
    pub host: InfoHost,
    pub store: InfoStore,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InfoHost {
    pub arch: String,
    pub cgroup_version: String,
    pub cgroup_manager: String,
    pub cgroup_controllers: Option<Vec<String>>,
    pub event_logger: String,
    pub free_locks: Option<u64>,
    pub network_backend: String,
    pub oci_runtime: InfoRuntime,
    pub security: InfoSecurity,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct InfoRuntime {
    pub name: String,
    pub version: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InfoSecurity {
    #[serde(rename = "apparmorEnabled")]
    pub apparmor: bool,
    #[serde(rename = "selinuxEnabled")]
    pub selinux: bool,
    pub rootless: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InfoStore {
    pub graph_root: String,
    pub graph_driver_name: String,
    pub container_store: InfoCount,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct InfoCount {
    pub number: u64,
}

impl Inner {
    /// Podman's own account of itself (slow on 4.3: it asks its helpers for their versions).
    pub async fn info(&self) -> Result<Info, RuntimeError> {
        Ok(self.http.get("/info").read().await?)
    }

    pub async fn machine(&self) -> Result<Machine, RuntimeError> {
        let info = self.info().await?;
        let resets = self.version.major >= 5 && info.host.cgroup_manager == "cgroupfs" && self.pids_are_local();
        self.writes_pod_limits.store(resets, Ordering::Release);
        self.graph_root.get_or_init(|| info.store.graph_root.clone().into());
        let pods = capacity(&info, &self.index());
        let uname = rustix::system::uname();
        let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
        Ok(Machine {
            hostname: text(uname.nodename()),
            addresses: addresses(),
            cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
            memory_bytes: memory_bytes(&read("/proc/meminfo")),
            storage_bytes: storage_bytes(&info.store.graph_root),
            hugepages: hugepages(Path::new("/sys/kernel/mm/hugepages")),
            pods,
            architecture: info.host.arch.clone(),
            os_image: os_image(&read("/etc/os-release")),
            kernel_version: text(uname.release()),
            machine_id: read("/etc/machine-id").trim().to_owned(),
            system_uuid: read("/sys/class/dmi/id/product_uuid").trim().to_owned(),
            boot_id: read("/proc/sys/kernel/random/boot_id").trim().to_owned(),
            runtime_name: "podman".to_owned(),
            runtime_version: self.version.to_string(),
            rootless: self.rootless,
            cgroup_version: if info.host.cgroup_version == "v2" { 2 } else { 1 },
            lacks_controllers: self.rootless && !has_controllers(&info.host),
            apparmor: info.host.security.apparmor,
            selinux: info.host.security.selinux,
            // Podman takes no such option in any version.
            recursive_read_only_mounts: false,
            dns: resolver(&read("/etc/resolv.conf")),
            hosts: read("/etc/hosts"),
        })
    }
}

/// Whether an ordinary user's containers can be limited: by what is delegated to him of cgroup v2.
fn has_controllers(host: &InfoHost) -> bool {
    let given = host.cgroup_controllers.as_deref().unwrap_or_default();
    host.cgroup_version == "v2" && ["cpu", "memory"].iter().all(|name| given.iter().any(|g| g == name))
}

/// How many pods fit: those that are there, and as many more as there are locks for.
fn capacity(info: &Info, index: &Index) -> u64 {
    let own = index.records.values().filter(|r| r.is_infra).count() as u64;
    let pods_guessed = info.store.container_store.number / 2;
    let free = info.host.free_locks.unwrap_or(LOCKS.saturating_sub(info.store.container_store.number + pods_guessed));
    own + free / LOCKS_PER_POD
}

/// A file of the system, or nothing; only its beginning.
pub fn read(path: &str) -> String {
    use std::io::Read;
    let mut text = Vec::new();
    match std::fs::File::open(path).and_then(|f| f.take(1 << 20).read_to_end(&mut text)) {
        Ok(_) => String::from_utf8_lossy(&text).into_owned(),
        Err(_) => String::new(),
    }
}

fn addresses() -> Vec<IpAddr> {
    let found: Vec<IpAddr> = ELSEWHERE
        .iter()
        .filter_map(|(from, to)| {
            let socket = UdpSocket::bind(from).ok()?;
            // Nothing is sent by that.
            socket.connect(to).ok()?;
            Some(socket.local_addr().ok()?.ip())
        })
        .filter(|ip| !ip.is_unspecified())
        .collect();
    if found.is_empty() { vec![IpAddr::from([127, 0, 0, 1])] } else { found }
}

fn memory_bytes(meminfo: &str) -> u64 {
    meminfo_bytes(meminfo, "MemTotal").unwrap_or_default()
}

/// A line of `/proc/meminfo`.
pub fn meminfo_bytes(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn storage_bytes(graph_root: &str) -> u64 {
    rustix::fs::statvfs(graph_root).map(|fs| fs.f_blocks.saturating_mul(fs.f_frsize)).unwrap_or_default()
}

/// `hugepages-2048kB/nr_hugepages` → `2Mi`: bytes.
fn hugepages(folder: &Path) -> BTreeMap<String, u64> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeMap::new() };
    let size = |name: &str| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok();
    let entry = |entry: std::fs::DirEntry| {
        let kib = size(&entry.file_name().to_string_lossy())?;
        let count: u64 = std::fs::read_to_string(entry.path().join("nr_hugepages")).ok()?.trim().parse().ok()?;
        let name = match kib {
            kib if kib % (1 << 20) == 0 => format!("{}Gi", kib >> 20),
            kib if kib % (1 << 10) == 0 => format!("{}Mi", kib >> 10),
            kib => format!("{kib}Ki"),
        };
        Some((name, count.saturating_mul(kib).saturating_mul(1024)))
    };
    entries.flatten().filter_map(entry).collect()
}

fn os_image(os_release: &str) -> String {
    let value = |key: &str| os_release.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
    value("PRETTY_NAME").or(value("NAME")).unwrap_or("Linux").trim_matches(['"', '\'']).to_owned()
}

/// resolv.conf(5): the last `search` or `domain` counts.
fn resolver(text: &str) -> DnsConfig {
    let mut dns = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => dns.servers.extend(words.next().map(str::to_owned)),
            Some("search" | "domain") => dns.searches = words.map(str::to_owned).collect(),
            Some("options") => dns.options.extend(words.map(str::to_owned)),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_files_are_read() {
        assert_eq!(memory_bytes("MemFree: 1 kB\nMemTotal:       24684648 kB\n"), 24_684_648 * 1024);
        assert_eq!(os_image("NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"), "Debian GNU/Linux 12 (bookworm)");
        let dns = resolver("# x\nnameserver 10.0.0.1\nsearch a\nsearch b c\noptions ndots:2 edns0\nnameserver\n");
        let expected = DnsConfig {
            servers: vec!["10.0.0.1".into()],
            searches: vec!["b".into(), "c".into()],
            options: vec!["ndots:2".into(), "edns0".into()],
        };
        assert_eq!(dns, expected);
    }

    #[test]
    fn room_for_pods_follows_the_free_locks() {
        let mut info = Info::default();
        info.host.free_locks = Some(401);
        assert_eq!(capacity(&info, &Index::default()), 100);
        info.host.free_locks = None;
        info.store.container_store.number = 100;
        assert_eq!(capacity(&info, &Index::default()), (2048 - 150) / 4);
    }
}
