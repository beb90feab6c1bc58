//! Sockets inside another network namespace. Needs root, or user namespaces for everybody.
#![cfg(feature = "internals")]

use std::process::{Child, Command, Stdio};

use wl::network::inside::{Inside, hold};

/// A process in a network namespace of its own, ended when dropped.
struct Isolated(Child);

impl Drop for Isolated {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts one and waits until it is inside; `None` where this user may not.
fn isolated() -> Option<Isolated> {
    isolated_after("true")
}

/// The same, when a command has prepared it; `None` where that fails.
fn isolated_after(command: &str) -> Option<Isolated> {
    let mut args = vec!["--net"];
    if !rustix_is_root() {
        args.extend(["--user", "--map-root-user"]);
    }
    // `cat` keeps the namespace; `echo` tells that it is there.
    let child = Command::new("unshare")
        .args(&args)
        .args(["sh", "-c", &format!("{command} && echo in; exec cat")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut isolated = Isolated(child);
    let mut line = String::new();
    let stdout = isolated.0.stdout.take()?;
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).ok()?;
    (line == "in\n").then_some(isolated)
}

fn rustix_is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").unwrap().lines().any(|l| l.starts_with("Uid:\t0\t"))
}

#[tokio::test]
async fn connections_are_made_from_inside_the_other_namespace() {
    let Some(process) = isolated() else {
        eprintln!("this user may make no network namespaces: not tested here");
        return;
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_ok(), "from here it is reached");

    let program = std::path::PathBuf::from(env!("CARGO_BIN_EXE_wl"));
    let inside = Inside::new(process.0.id(), program);
    let error = inside.connect(address).await.expect_err("the loopback device in there is down");
    let kind = error.kind();
    assert!(matches!(kind, std::io::ErrorKind::NetworkUnreachable | std::io::ErrorKind::ConnectionRefused), "{error}");
}

#[tokio::test]
async fn a_process_that_is_gone_is_an_error_that_names_it() {
    let program = std::path::PathBuf::from(env!("CARGO_BIN_EXE_wl"));
    let inside = Inside::new(u32::MAX / 2, program);
    let error = inside.connect("127.0.0.1:1".parse().unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("process 2147483647"), "{error}");
}

#[tokio::test]
async fn a_namespace_holds_exactly_the_addresses_that_are_wanted() {
    let Some(process) = isolated_after("ip link set lo up && ip -6 address add fd00::7e/120 dev lo nodad") else {
        eprintln!("there are no network namespaces with IPv6 here, or no `ip`: not tested");
        return;
    };
    let pid = process.0.id();
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap();
    let held = || {
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/if_inet6")).unwrap();
        let bits = table.lines().filter_map(|line| u128::from_str_radix(line.split_whitespace().next()?, 16).ok());
        let mut all: Vec<String> = bits.map(|bits| std::net::Ipv6Addr::from(bits).to_string()).collect();
        all.sort();
        all
    };
    let program = || std::path::PathBuf::from(env!("CARGO_BIN_EXE_wl"));
    let range = "fd00::80/121".parse().unwrap();
    for wanted in [&["fd00::81", "fd00::82"][..], &["fd00::82", "fd00::ff"], &["fd00::82", "fd00::ff"], &[]] {
        let list = wanted.iter().map(|text| address(text)).collect();
        hold(pid, address("fd00::7e"), range, &list, program()).await.unwrap();
        let mut expected: Vec<&str> = [&["::1", "fd00::7e"], wanted].concat();
        expected.sort_unstable();
        assert_eq!(held(), expected);
    }
    let list = [address("fd00::81")].into();
    let error = hold(pid, address("fd00::7f"), range, &list, program()).await.unwrap_err().to_string();
    assert!(error.contains("no interface has the address fd00::7f"), "{error}");
}
