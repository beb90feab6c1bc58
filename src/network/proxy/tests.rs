//! The proxy over this machine's loopback, every address of which is at hand.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::*;

/// Nothing here takes longer, on a loaded machine either.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that says its name, then what it is sent.
async fn echo(name: &'static str) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.write_all(name.as_bytes()).await;
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    (address, task)
}

/// A port that nobody listens on.
async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}

/// A proxy with one port in front of `targets`.
async fn front(protocol: Protocol, targets: &[SocketAddr]) -> (Proxy, Place) {
    let at = nobody().await;
    let place = (protocol, SocketAddr::new("127.55.0.1".parse().expect("an address"), at.port()));
    let mut proxy = Proxy::new(1000);
    change(&mut proxy, place, targets).await;
    (proxy, place)
}

async fn change(proxy: &mut Proxy, place: Place, targets: &[SocketAddr]) {
    let behind = Behind { targets: targets.to_vec(), affinity: None, given: false };
    let wanted = if targets.is_empty() { BTreeMap::new() } else { BTreeMap::from([(place, behind)]) };
    assert!(proxy.apply(&wanted, &HashMap::new()).await.is_empty());
}

/// The first byte that somebody behind says: its name.
async fn who(at: SocketAddr) -> std::io::Result<char> {
    timeout(PATIENCE, async {
        let mut stream = TcpStream::connect(at).await?;
        Ok(char::from(stream.read_u8().await?))
    })
    .await
    .expect("an answer")
}

#[tokio::test]
async fn connections_are_spread_and_a_refusal_is_never_seen() {
    let (a, _a) = echo("a").await;
    let (b, _b) = echo("b").await;
    let (proxy, place) = front(Protocol::Tcp, &[a, nobody().await, b]).await;
    let mut seen = String::new();
    for _ in 0..12 {
        seen.push(who(place.1).await.expect("somebody"));
    }
    assert!(seen.contains('a') && seen.contains('b'), "{seen}");
    drop(proxy);
}

#[tokio::test]
async fn where_nobody_is_left_a_client_is_refused_at_once() {
    let (a, _task) = echo("a").await;
    let (mut proxy, place) = front(Protocol::Tcp, &[a]).await;
    who(place.1).await.expect("somebody");
    change(&mut proxy, place, &[]).await;
    let refused = TcpStream::connect(place.1).await.expect_err("nobody");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    change(&mut proxy, place, &[a]).await;
    assert_eq!(who(place.1).await.expect("somebody again"), 'a');
}

#[tokio::test]
async fn open_connections_outlive_the_change_of_targets_and_the_end_of_the_port() {
    let (a, _a) = echo("a").await;
    let (b, _b) = echo("b").await;
    let (mut proxy, place) = front(Protocol::Tcp, &[a]).await;
    let mut old = TcpStream::connect(place.1).await.expect("connected");
    assert_eq!(old.read_u8().await.expect("a name"), b'a');
    change(&mut proxy, place, &[b]).await;
    assert_eq!(who(place.1).await.expect("somebody"), 'b');
    change(&mut proxy, place, &[]).await;
    old.write_all(b"still there").await.expect("written");
    let mut text = [0; 11];
    timeout(PATIENCE, old.read_exact(&mut text)).await.expect("in time").expect("an echo");
    assert_eq!(&text, b"still there");
}

#[tokio::test]
async fn much_goes_through_unchanged_and_an_end_is_passed_on() {
    let (a, _task) = echo("a").await;
    let (_proxy, place) = front(Protocol::Tcp, &[a]).await;
    let stream = TcpStream::connect(place.1).await.expect("connected");
    let (mut read, mut write) = stream.into_split();
    let sent: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
    let copy = sent.clone();
    let writer = tokio::spawn(async move {
        write.write_all(&copy).await.expect("written");
        write.shutdown().await.expect("ended");
    });
    let mut received = Vec::new();
    timeout(PATIENCE, read.read_to_end(&mut received)).await.expect("in time").expect("an end");
    writer.await.expect("the writer");
    assert_eq!(received[0], b'a');
    assert!(received[1..] == sent, "{} bytes", received.len());
}

#[tokio::test]
async fn a_client_that_all_refuse_sees_a_broken_connection() {
    let (_proxy, place) = front(Protocol::Tcp, &[nobody().await]).await;
    let error = who(place.1).await.expect_err("nobody");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn who_comes_while_all_refuse_is_found() {
    let late = nobody().await;
    let (mut proxy, place) = front(Protocol::Tcp, &[nobody().await]).await;
    let client = tokio::spawn(who(place.1));
    let (a, _task) = echo("a").await;
    change(&mut proxy, place, &[a, late]).await;
    assert_eq!(client.await.expect("the client").expect("somebody"), 'a');
}

#[tokio::test]
async fn datagrams_of_a_client_stay_together_and_move_on_when_their_target_goes() {
    let serve = |name: &'static str| async move {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 65_535];
            while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
                let _ = socket.send_to(&[name.as_bytes(), &buffer[..count]].concat(), from).await;
            }
        });
        (address, task)
    };
    let ((a, a_task), (b, _b)) = (serve("a").await, serve("b").await);
    let (mut proxy, place) = front(Protocol::Udp, &[a, b]).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    client.connect(place.1).await.expect("connected");
    let mut buffer = vec![0; 65_535];
    let ask = async |buffer: &mut Vec<u8>, text: &[u8]| {
        // A datagram may be lost where its target goes.
        for _ in 0..20 {
            client.send(text).await.expect("sent");
            if let Ok(Ok(count)) = timeout(Duration::from_secs(1), client.recv(buffer)).await {
                return buffer[..count].to_vec();
            }
        }
        panic!("no answer")
    };
    let first = ask(&mut buffer, b"1").await;
    for _ in 0..5 {
        assert_eq!(ask(&mut buffer, b"1").await, first);
    }
    let large = vec![b'x'; 40_000];
    assert_eq!(ask(&mut buffer, &large).await.len(), 40_001);
    change(&mut proxy, place, &[b]).await;
    a_task.abort();
    assert_eq!(ask(&mut buffer, b"2").await, b"b2");
}
