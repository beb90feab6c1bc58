//! Porter and gateway beside each other on this machine's loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::*;
use crate::network::config::{Endpoint, EndpointState, GatewayConfig, ServiceConfig, ServicePort, Slice, SlicePort};
use crate::network::gateway::{self, CONFIG_FILE};

/// Nothing here takes longer, on a loaded machine either.
const PATIENT: Duration = Duration::from_secs(20);

struct World {
    dir: tempfile::TempDir,
    at: SocketAddr,
    runtime: Runtime,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

impl World {
    /// A Service that is open at one port of this machine, and a server behind it that says "a".
    fn new() -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let (server, at) = (free(), free().local_addr().expect("an address"));
        let target = server.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in server.incoming() {
                // A client that has gone is none of the server's business.
                let _ = stream.and_then(|mut stream| stream.write_all(b"a"));
            }
        });
        let world = World { dir: tempfile::tempdir().expect("a folder"), at, runtime: runtime() };
        let port = ServicePort { name: String::new(), protocol: Protocol::Tcp, port: 80, http2: false, published: vec![at] };
        let slice = Slice {
            ports: vec![SlicePort { name: String::new(), protocol: Protocol::Tcp, port: target.port() }],
            endpoints: vec![Endpoint { address: target.ip(), hostname: None, state: EndpointState::Ready }],
        };
        let service = ServiceConfig { ports: vec![port], slices: vec![slice], ..ServiceConfig::default() };
        for folder in [world.config(), world.run()] {
            std::fs::create_dir(folder).expect("a folder");
        }
        world.write(vec![service]);
        world
    }

    fn write(&self, services: Vec<ServiceConfig>) {
        let config = GatewayConfig { services, ..GatewayConfig::default() };
        config.write(&self.config().join(CONFIG_FILE)).expect("written");
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    fn run(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    fn porter(&self) {
        let (config, run) = (self.config(), self.run());
        self.runtime.spawn(async move { server::serve(&config, &run).await });
    }

    /// What the porter answers, once there is one.
    fn report(&self) -> Report {
        let run = self.run();
        let ask = async {
            loop {
                match ask(&run).await {
                    Ok(report) => return report,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        self.runtime.block_on(async { timeout(PATIENT, ask).await }).expect("a porter")
    }

    /// A gateway that ends with its runtime.
    fn gateway(&self) -> Runtime {
        let (gateway, config, run) = (runtime(), self.config(), self.run());
        gateway.spawn(async move { gateway::serve(&config, &run).await });
        gateway
    }

    fn client(&self) -> TcpStream {
        let stream = TcpStream::connect(self.at).expect("the porter listens");
        stream.set_read_timeout(Some(PATIENT)).expect("set");
        stream
    }
}

fn said(mut client: TcpStream) -> u8 {
    let mut byte = [0];
    client.read_exact(&mut byte).expect("an answer");
    byte[0]
}

#[test]
fn ports_go_to_each_new_gateway_and_clients_wait_for_it() {
    let world = World::new();
    world.porter();
    assert_eq!(world.report().refused, []);
    let early = world.client();
    let first = world.gateway();
    assert_eq!(said(early), b'a');
    first.shutdown_timeout(PATIENT);
    let between = world.client();
    let _second = world.gateway();
    assert_eq!(said(between), b'a');
    assert_eq!(said(world.client()), b'a');

    // What is no longer configured is closed, by the porter and by the gateway.
    world.write(Vec::new());
    world.report();
    world.runtime.block_on(async {
        let closed = async {
            while tokio::net::TcpStream::connect(world.at).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENT, closed).await.expect("closed");
        end(&world.run()).await;
        assert!(ask(&world.run()).await.is_err(), "it has ended");
    });
}

#[test]
fn a_port_that_is_taken_is_told_with_its_holder_and_opened_later() {
    let world = World::new();
    let taken = TcpListener::bind(world.at).expect("free");
    world.porter();
    let refused = world.report().refused;
    let me = format!("(process {})", std::process::id());
    assert!(refused[0].at == world.at && refused[0].holder.as_ref().is_some_and(|h| h.ends_with(&me)), "{refused:?}");
    drop(taken);
    assert_eq!(world.report().refused, []);
    let _gateway = world.gateway();
    assert_eq!(said(world.client()), b'a');
}
