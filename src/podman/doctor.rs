//! What Podman needs of this machine, each with a verdict and the way out.

use std::path::Path;

use serde::Serialize;

use super::connect::{ConnectError, ConnectOptions, greet};
use super::locate::{self, Surroundings, find_program};
use super::{Podman, cgroups, service};
use crate::runtime::{Headroom, Room, Shortage};

/// With less a node is under pressure where nothing else is asked for (`node::pressure`).
const LITTLE_MEMORY: u64 = 100 << 20;
/// Hardly an image fits in less.
const LITTLE_DISK: u64 = 1 << 30;
/// Fewer keyrings may be too few for one machine's pods.
const ENOUGH_KEYRINGS: u64 = 1_000;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// It works, but not all of it.
    Warning,
    /// Nothing can run before this is mended.
    Blocks,
}

/// One line of `wl doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub verdict: Verdict,
    pub message: String,
    /// What to do; empty where nothing is to be done.
    pub help: String,
}

impl Check {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, message: message.into(), help: String::new() }
    }

    fn warning(name: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warning, message: message.into(), help: help.into() }
    }

    fn blocks(name: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Blocks, message: message.into(), help: help.into() }
    }
}

/// Checks the machine, then Podman itself; changes nothing but that a service may be started and ended.
pub async fn examine(options: ConnectOptions) -> Vec<Check> {
    let surroundings = options.surroundings.clone();
    let served = is_served(&surroundings).await;
    let mut checks = vec![installed(&surroundings, served)];
    checks.push(hybrid_cgroups(&surroundings, served));
    checks.push(limits());
    if surroundings.uid != 0 {
        checks.push(tun(Path::new("/dev/net/tun")));
        checks.extend(["/etc/subuid", "/etc/subgid"].map(|file| sub_ids(file, surroundings.uid)));
        checks.push(user_namespace_tools(&surroundings));
        checks.extend(std::fs::read_to_string("/proc/sys/kernel/keys/maxkeys").ok().and_then(|text| keyrings(&text)));
    }
    match Podman::connect(options).await {
        Ok(podman) => {
            checks.extend(about(&podman).await);
            podman.close().await;
        }
        Err(error) => checks.push(unreachable(&error)),
    }
    checks
}

/// Whether a service of others answers: what it runs with is its own affair.
async fn is_served(surroundings: &Surroundings) -> bool {
    let sockets = match &surroundings.container_host {
        Some(host) => locate::socket_of(host).into_iter().collect(),
        None => locate::usual_sockets(surroundings),
    };
    for socket in sockets {
        if greet(&socket).await.is_ok() {
            return true;
        }
    }
    false
}

fn installed(surroundings: &Surroundings, served: bool) -> Check {
    match surroundings.find_podman() {
        Some(path) => Check::ok("podman", format!("{} is installed", path.display())),
        None if served => Check::ok("podman", "a service answers; the command itself is not here"),
        None => unreachable(&ConnectError::NotInstalled),
    }
}

fn hybrid_cgroups(surroundings: &Surroundings, served: bool) -> Check {
    match (cgroups::are_hybrid(), surroundings.uid) {
        (false, _) => Check::ok("cgroups", "one version of cgroups is in use"),
        (true, _) if served => Check::ok("cgroups", "v1 and v2 side by side, but the service that answers has its own view"),
        (true, 0) => Check::ok("cgroups", "v1 and v2 side by side: v2 is hidden from the service that wl starts"),
        (true, _) => Check { name: "cgroups", ..unreachable(&ConnectError::HybridCgroups) },
    }
}

fn limits() -> Check {
    match service::lowered_limits() {
        None => Check::ok("ulimits", "limits of containers can be set as Podman wants them"),
        Some(limits) => Check::warning(
            "ulimits",
            "limits cannot be raised here (no CAP_SYS_RESOURCE)",
            format!("the service that wl starts lowers them itself; one of yours needs in containers.conf: [containers] default_ulimits = [{limits}]"),
        ),
    }
}

fn tun(device: &Path) -> Check {
    match std::fs::File::options().read(true).write(true).open(device) {
        Ok(_) => Check::ok("tun", format!("{} can be opened", device.display())),
        Err(e) => Check::blocks(
            "tun",
            format!("{}: {e}", device.display()),
            "pods of an ordinary user need it for their network: as root, `modprobe tun` and `chmod 0666 /dev/net/tun`",
        ),
    }
}

/// An ordinary user's containers take one of his keyrings each, and a pod has one container more than its spec.
/// Source: keyrings(7), `/proc/sys/kernel/keys/maxkeys`.
fn keyrings(most: &str) -> Option<Check> {
    let most: u64 = most.trim().parse().ok()?;
    let message = format!("the kernel gives a user {most} keyrings, enough for {} pods of one container", most / 2);
    Some(match most < ENOUGH_KEYRINGS {
        true => Check::warning(
            "keyrings",
            message,
            "for more, as root, `sysctl kernel.keys.maxkeys=2000`, or set keyring = false under [containers] in containers.conf",
        ),
        false => Check::ok("keyrings", message),
    })
}

fn sub_ids(file: &'static str, uid: u32) -> Check {
    let name = if file.ends_with("uid") { "subuids" } else { "subgids" };
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = user_name(&passwd, uid).unwrap_or_else(|| uid.to_string());
    let count = count_ids(&std::fs::read_to_string(file).unwrap_or_default(), &user, uid);
    match count {
        0 => Check::blocks(
            name,
            format!("{file} gives {user} no ids"),
            format!("as root, `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}`, then `podman system migrate`"),
        ),
        1..65_536 => Check::warning(name, format!("{file} gives {user} {count} ids only"), "images with higher ids cannot be unpacked; 65536 are usual"),
        _ => Check::ok(name, format!("{file} gives {user} {count} ids")),
    }
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    let line = passwd.lines().find(|line| line.split(':').nth(2).and_then(|id| id.parse().ok()) == Some(uid))?;
    line.split(':').next().map(str::to_owned)
}

/// Lines are `user:first:count`, the user by name or number.
fn count_ids(text: &str, user: &str, uid: u32) -> u64 {
    let uid = uid.to_string();
    let own = text.lines().filter(|line| matches!(line.split(':').next(), Some(who) if who == user || who == uid));
    own.filter_map(|line| line.split(':').nth(2)?.trim().parse::<u64>().ok()).fold(0, u64::saturating_add)
}

fn user_namespace_tools(surroundings: &Surroundings) -> Check {
    let path = surroundings.path.as_deref().unwrap_or_default();
    let missing: Vec<&str> = ["newuidmap", "newgidmap"].into_iter().filter(|name| find_program(name, path).is_none()).collect();
    match missing.is_empty() {
        true => Check::ok("uidmap", "newuidmap and newgidmap are installed"),
        false => Check::blocks("uidmap", format!("{} missing", missing.join(" and ")), "install the package uidmap (shadow-utils)"),
    }
}

async fn about(podman: &Podman) -> Vec<Check> {
    let who = if podman.is_rootless() { "an ordinary user's" } else { "root's" };
    let mut checks = vec![Check::ok("service", format!("Podman {}, {who}, answers at {}", podman.version(), podman.socket().display()))];
    let info = match podman.inner.info().await {
        Ok(info) => info,
        Err(error) => {
            checks.push(Check::blocks("info", error.message, "see what the service says in its log"));
            return checks;
        }
    };
    let backend = info.host.network_backend.as_str();
    checks.push(match backend {
        "netavark" => Check::ok("network", "the network backend is netavark"),
        other => Check::warning("network", format!("the network backend is {other:?}"), "wl is tried with netavark only: install it, then `podman system reset`"),
    });
    if podman.is_rootless() && info.host.cgroup_version != "v2" {
        checks.push(Check::warning("resource limits", "cgroups v1 give an ordinary user no limits", "limits of pods are ignored; boot with cgroups v2, or run as root"));
    }
    if info.host.event_logger == "none" {
        checks.push(Check::warning("events", "Podman keeps no events", "changes by others are seen late; set events_logger = \"file\" in containers.conf"));
    }
    if info.store.graph_driver_name == "vfs" {
        checks.push(Check::warning("storage", "the storage driver is vfs: slow, and it copies every image", "set driver = \"overlay\" in storage.conf"));
    }
    podman.inner.graph_root.get_or_init(|| info.store.graph_root.clone().into());
    checks.extend(room(&podman.inner.headroom(&[Shortage::Memory, Shortage::Disk].into()), &info.store.graph_root));
    checks.push(listing(podman).await);
    checks
}

/// Whether there is so little that the node is under pressure, or soon will be.
fn room(headroom: &Headroom, images: &str) -> Vec<Check> {
    let shown = |room: Room| format!("{} of {} available", gib(room.available), gib(room.capacity));
    let memory = headroom.memory.map(|room| match room.available < LITTLE_MEMORY {
        true => Check::warning("memory", shown(room), "below 100 MiB pods are evicted (`wl watch --eviction-hard`)"),
        false => Check::ok("memory", shown(room)),
    });
    let disk = headroom.image_disk.map(|disk| {
        let message = format!("{} at {images}", shown(disk.bytes));
        match disk.bytes.available < LITTLE_DISK {
            true => Check::warning("disk", message, "images that are pulled and what pods write may not fit; `podman system df` tells what lies there"),
            false => Check::ok("disk", message),
        }
    });
    memory.into_iter().chain(disk).collect()
}

#[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// Whether Podman can still list what it has: one container whose network is gone makes every list fail.
async fn listing(podman: &Podman) -> Check {
    match podman.inner.http.get("/containers/json").query("all", "true").read::<Vec<serde::de::IgnoredAny>>().await {
        Ok(listed) => Check::ok("containers", format!("all {} containers can be listed", listed.len())),
        Err(fault) => unlisted(&fault.message, podman.is_rootless()),
    }
}

/// What to do about a list that fails with these words of Podman's.
fn unlisted(words: &str, rootless: bool) -> Check {
    let message = format!("Podman cannot list its containers: {words}");
    if !LOST_NAMESPACE.iter().any(|lost| words.contains(lost)) {
        return Check::blocks("containers", message, "see what the service says in its log; `podman ps -a` fails alike");
    }
    let alive = if rootless { "$XDG_RUNTIME_DIR/libpod/tmp/alive" } else { "/run/libpod/alive" };
    Check::blocks(
        "containers",
        format!("{message} (it takes a container for running whose processes and network are gone, as after a power cut)"),
        format!(
            "end all that runs on this Podman and its services (`wl watch stop`), then `rm -f {alive}`: at its next start Podman looks at \
             everything anew, and wl starts its pods again"
        ),
    )
}

/// How Podman speaks of a network namespace that is not there any more.
const LOST_NAMESPACE: [&str; 2] = ["unknown FS magic", "joining network namespace"];

/// The error's own words and its way out.
fn unreachable(error: &ConnectError) -> Check {
    let help = miette::Diagnostic::help(error).map(|help| help.to_string()).unwrap_or_default();
    let name = if matches!(error, ConnectError::NotInstalled) { "podman" } else { "service" };
    Check::blocks(name, error.to_string(), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_counted_by_name_and_number() {
        let text = "root:1:65536\nme:100000:65536\n1000:200000:5\nmeme:1:1\nme:broken\n";
        assert_eq!(count_ids(text, "me", 1000), 65541);
        assert_eq!(count_ids(text, "nobody", 7), 0);
        assert_eq!(user_name("root:x:0:0::/:/bin/sh\nme:x:1000:1000::/:/bin/sh\n", 1000), Some("me".to_owned()));
    }

    #[test]
    fn what_is_missing_comes_with_the_way_out() {
        let check = unreachable(&ConnectError::NotInstalled);
        assert_eq!((check.name, check.verdict), ("podman", Verdict::Blocks));
        assert!(check.help.contains("apt-get install podman"));
        assert_eq!(tun(Path::new("/nowhere")).verdict, Verdict::Blocks);
    }

    #[test]
    fn few_keyrings_are_warned_of() {
        let check = keyrings("200\n").expect("a number");
        assert_eq!((check.verdict, check.message.contains("100 pods")), (Verdict::Warning, true));
        assert_eq!(keyrings("2000").map(|check| check.verdict), Some(Verdict::Ok));
        assert!(keyrings("many").is_none());
    }

    #[test]
    fn little_room_is_warned_of() {
        use crate::runtime::DiskRoom;
        let verdicts = |memory, disk| {
            let room = |available| Room { available, capacity: 8 << 30 };
            let image_disk = Some(DiskRoom { bytes: room(disk), inodes: None });
            let headroom = Headroom { memory: Some(room(memory)), image_disk, ..Headroom::default() };
            room_of(&headroom)
        };
        fn room_of(headroom: &Headroom) -> Vec<(Verdict, String)> {
            room(headroom, "/images").into_iter().map(|check| (check.verdict, check.message)).collect()
        }
        let expected = [(Verdict::Ok, "2.0 GiB of 8.0 GiB available".to_owned()), (Verdict::Ok, "1.0 GiB of 8.0 GiB available at /images".to_owned())];
        assert_eq!(verdicts(2 << 30, 1 << 30), expected);
        let little = verdicts((100 << 20) - 1, (1 << 30) - 1);
        assert!(little.iter().all(|(verdict, _)| *verdict == Verdict::Warning), "{little:?}");
        assert_eq!(room_of(&Headroom::default()), []);
    }

    #[test]
    fn a_list_that_fails_for_a_lost_network_has_its_way_out() {
        let words = "joining network namespace of container 89ba: retrieving network namespace at /run/netns/netns-1: unknown FS magic";
        let check = unlisted(words, false);
        assert_eq!(check.verdict, Verdict::Blocks);
        assert!(check.message.contains("netns-1") && check.help.contains("/run/libpod/alive"), "{check:?}");
        assert!(unlisted(words, true).help.contains("XDG_RUNTIME_DIR"));
        assert!(!unlisted("database is locked", false).help.contains("alive"));
    }
}
