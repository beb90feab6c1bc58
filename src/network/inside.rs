//! Sockets inside another process's network namespace, for an ordinary user too.
//!
//! Entering namespaces needs a process with one thread, so this binary is run again: it enters the
//! user and network namespace of a pid, makes a few sockets there and hands them back. A socket stays in
//! the namespace it was made in; connecting it is then everybody's.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv6Addr, SocketAddr, TcpStream as StdStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use rustix::process::{Pid, PidfdFlags};
use rustix::thread::ThreadNameSpaceType;
use tokio::net::{TcpSocket, TcpStream};

use super::Cidr;
use super::gateway::{add_local_route, hold_addresses};

/// The hidden first argument by which this binary is the helper.
const HELPER: &str = "__sockets-inside";
/// The same for the helper that adds the gateway's route.
const ROUTE_HELPER: &str = "__route-inside";
/// The same for the helper that gives the gateway the IPv6 addresses in use.
const ADDRESS_HELPER: &str = "__addresses-inside";

/// Sockets that one run of the helper hands back: of each address family.
const BATCH: usize = 8;

/// Opens connections from inside a process's network namespace.
#[derive(Clone)]
pub struct Inside {
    pid: u32,
    program: PathBuf,
    v4: Arc<Mutex<VecDeque<OwnedFd>>>,
    v6: Arc<Mutex<VecDeque<OwnedFd>>>,
}

impl Inside {
    /// `pid` is any process of the pod (of this machine's numbering); `program` is this binary.
    pub fn new(pid: u32, program: PathBuf) -> Self {
        Inside { pid, program, v4: Arc::default(), v6: Arc::default() }
    }

    /// Connects to an address as seen from inside.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let pool = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        let kept = pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front();
        let socket = match kept {
            Some(socket) => socket,
            None => self.fetch(address.is_ipv4()).await?,
        };
        TcpSocket::from_std_stream(StdStream::from(socket)).connect(address).await
    }

    async fn fetch(&self, v4: bool) -> io::Result<OwnedFd> {
        let this = self.clone();
        let made = tokio::task::spawn_blocking(move || run_helper(&this.program, this.pid)).await;
        let (mut first, mut second) = made.map_err(io::Error::other)??;
        let (wanted, other) = if v4 { (&mut first, &mut second) } else { (&mut second, &mut first) };
        let socket = wanted.pop_front().ok_or_else(|| io::Error::other("the helper made no socket of this family"))?;
        let (wanted_pool, other_pool) = if v4 { (&self.v4, &self.v6) } else { (&self.v6, &self.v4) };
        wanted_pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner).append(wanted);
        // Few pods speak both families: what the other one has is enough.
        let mut other_pool = other_pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if other_pool.is_empty() {
            other_pool.append(other);
        }
        Ok(socket)
    }
}

fn run_helper(program: &PathBuf, pid: u32) -> io::Result<(VecDeque<OwnedFd>, VecDeque<OwnedFd>)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut child = Command::new(program)
        .args([HELPER, &pid.to_string()])
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let received = receive(ours.as_fd());
    let output = complaint(&mut child)?;
    match received {
        Ok(sockets) if !sockets.0.is_empty() => Ok(sockets),
        _ => Err(io::Error::other(format!("entering the network namespace of process {pid}: {}", output.trim()))),
    }
}

/// What a child wrote to its standard error (bounded), once it has ended.
fn complaint(child: &mut Child) -> io::Result<String> {
    let mut text = String::new();
    if let Some(stderr) = child.stderr.take() {
        stderr.take(4096).read_to_string(&mut text)?;
    }
    child.wait()?;
    Ok(text)
}

fn receive(socket: BorrowedFd<'_>) -> io::Result<(VecDeque<OwnedFd>, VecDeque<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2 * BATCH))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut counts = [0u8; 2];
    let flags = RecvFlags::CMSG_CLOEXEC;
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut counts)], &mut ancillary, flags)?;
    let mut sockets: VecDeque<OwnedFd> = VecDeque::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            sockets.extend(fds);
        }
    }
    let v6 = sockets.split_off(usize::from(counts[0]).min(sockets.len()));
    Ok((sockets, v6))
}

/// Makes every address of `range`, one of IPv4, one that the namespace of process `pid` answers for.
pub async fn answer_for(pid: u32, range: Cidr, program: PathBuf) -> io::Result<()> {
    change(pid, "a route", [ROUTE_HELPER.to_owned(), pid.to_string(), range.to_string()].to_vec(), String::new(), program).await
}

/// Of `range`, the namespace of process `pid` answers for these addresses from now on, on the interface with the address `own`.
pub async fn hold(pid: u32, own: Ipv6Addr, range: Cidr, wanted: &BTreeSet<Ipv6Addr>, program: PathBuf) -> io::Result<()> {
    let list: String = wanted.iter().map(|address| format!("{address}\n")).collect();
    let arguments = [ADDRESS_HELPER.to_owned(), pid.to_string(), range.to_string(), own.to_string()];
    change(pid, "addresses", arguments.to_vec(), list, program).await
}

/// Runs a helper that changes something in the namespace of a process; `list` is what it reads.
async fn change(pid: u32, what: &'static str, arguments: Vec<String>, list: String, program: PathBuf) -> io::Result<()> {
    let work = move || {
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that has ended at once says why.
            let _ = stdin.write_all(list.as_bytes());
        }
        let output = child.wait_with_output()?;
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        let failed = || io::Error::other(format!("{what} in the namespace of process {pid}: {}", why.trim()));
        if output.status.success() { Ok(()) } else { Err(failed()) }
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The helper's side: when this process was started as one, does its work and says how to exit.
pub fn serve_if_called() -> Option<ExitCode> {
    let mut args = std::env::args().skip(1);
    let helper = args.next().filter(|name| [HELPER, ROUTE_HELPER, ADDRESS_HELPER].contains(&name.as_str()))?;
    let pid = args.next().and_then(|text| text.parse().ok()).and_then(Pid::from_raw);
    let done = match pid {
        Some(pid) if helper == HELPER => enter(pid).and_then(|()| send()),
        Some(pid) => {
            let range = args.next().unwrap_or_default().parse::<Cidr>().map_err(io::Error::other);
            range.and_then(|range| {
                enter(pid)?;
                if helper == ROUTE_HELPER { add_local_route(range) } else { hold_listed(range, &args.next().unwrap_or_default()) }
            })
        }
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "no process id")),
    };
    match done {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("{error}");
            Some(ExitCode::FAILURE)
        }
    }
}

/// The wanted addresses are read from the standard input, one a line.
fn hold_listed(range: Cidr, own: &str) -> io::Result<()> {
    let mut list = String::new();
    io::stdin().read_to_string(&mut list)?;
    let parse = |text: &str| text.parse::<Ipv6Addr>().map_err(io::Error::other);
    let wanted: BTreeSet<Ipv6Addr> = list.lines().map(parse).collect::<Result<_, _>>()?;
    hold_addresses(parse(own)?, range, &wanted)
}

fn enter(pid: Pid) -> io::Result<()> {
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let both = ThreadNameSpaceType::USER | ThreadNameSpaceType::NETWORK;
    // Who is in the process's user namespace already (root) may not enter it again.
    rustix::thread::move_into_thread_name_spaces(process.as_fd(), both)
        .or_else(|_| rustix::thread::move_into_thread_name_spaces(process.as_fd(), ThreadNameSpaceType::NETWORK))?;
    Ok(())
}

fn send() -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let make = |family: AddressFamily| -> Vec<OwnedFd> {
        (0..BATCH).map_while(|_| rustix::net::socket_with(family, SocketType::STREAM, flags, None).ok()).collect()
    };
    let (v4, v6) = (make(AddressFamily::INET), make(AddressFamily::INET6));
    let counts = [u8::try_from(v4.len()).unwrap_or(0), u8::try_from(v6.len()).unwrap_or(0)];
    let all: Vec<BorrowedFd<'_>> = v4.iter().chain(&v6).map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2 * BATCH))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&all));
    rustix::net::sendmsg(rustix::stdio::stdin(), &[IoSlice::new(&counts)], &mut ancillary, SendFlags::empty())?;
    Ok(())
}
