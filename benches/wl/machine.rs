//! What the machine tells: its kind, and what processes use of it.

use std::fs;
use std::path::Path;
use std::time::Instant;

/// Set where this process and all that it starts have a cgroup of their own (`benches/run.sh` knows).
const OWN_CGROUP: &str = "WL_BENCH_OWN_CGROUP";
/// In a second; on every Linux since 2.4 (time(7): `USER_HZ`).
const TICKS: f64 = 100.0;

/// The one clock of the bench.
#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Microseconds since 1970, as the pods write them down.
#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
pub fn micros() -> f64 {
    let passed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    passed.map_or(0.0, |passed| passed.as_secs_f64() * 1e6)
}

/// Seconds of processors that everything in this cgroup has used, ended processes included.
pub fn cgroup_seconds() -> Option<f64> {
    std::env::var_os(OWN_CGROUP)?;
    if let Ok(nanoseconds) = fs::read_to_string("/sys/fs/cgroup/cpuacct/cpuacct.usage") {
        return Some(nanoseconds.trim().parse::<f64>().ok()? / 1e9);
    }
    let stat = fs::read_to_string("/sys/fs/cgroup/cpu.stat").ok()?;
    let microseconds = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    Some(microseconds.trim().parse::<f64>().ok()? / 1e6)
}

/// Seconds of processors that a process has used (proc(5): `utime` and `stime`), and its children that ended.
pub fn process_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = after_name.split(' ').skip(11).take(4).filter_map(|n| n.parse::<f64>().ok()).sum::<f64>();
    ticks / TICKS
}

/// The same of a process and all that it has started and still runs.
pub fn tree_seconds(pid: u32) -> f64 {
    let is_child = |other: u32| {
        let status = fs::read_to_string(format!("/proc/{other}/status")).unwrap_or_default();
        status.lines().any(|l| l.strip_prefix("PPid:").is_some_and(|p| p.trim() == pid.to_string()))
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    process_seconds(pid) + all.filter(|other| is_child(*other)).map(tree_seconds).sum::<f64>()
}

/// The share of its memory that is a process's own, in bytes (proc(5): `Pss`).
pub fn pss(pid: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|l| l.trim().strip_suffix(" kB")?.parse::<f64>().ok()).map_or(f64::NAN, |kb| kb * 1024.0)
}

/// Who listens at a socket.
pub fn listener(socket: &Path) -> Option<u32> {
    let stream = std::os::unix::net::UnixStream::connect(socket).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
}

/// Processors, memory and kernel, in one line.
pub fn kind() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = read("/proc/meminfo");
    let total =
        memory.lines().find_map(|l| l.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} × {model}, {:.0} GiB, Linux {}", total.unwrap_or_default() / 1024.0 / 1024.0, kernel.trim())
}

/// How many processes wanted to run, on average over a minute: what else the machine did.
pub fn load() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or("?").to_owned()
}
