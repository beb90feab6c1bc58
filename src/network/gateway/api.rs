//! Connections to the API: carried to whoever serves it, over a socket beside the gateway's own. They are secured from
//! end to end, so that this process reads nothing of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::connect_in;
use super::front::Front;
use crate::network::proxy::{prepare, reset};

/// The socket in the folder of sockets.
pub const API_SOCKET: &str = "api.sock";
/// Connections at once.
const CONNECTIONS: usize = 512;
/// Before the next try where a connection could not be taken.
const FULL: Duration = Duration::from_millis(20);

/// The one place where the API is reached.
pub(super) struct ApiFront {
    run: PathBuf,
    front: Front,
}

impl ApiFront {
    pub(super) fn new(run: PathBuf) -> Self {
        ApiFront { run, front: Front::default() }
    }

    /// Serves there from now on, and nowhere else; open connections live on.
    pub(super) async fn serve(&mut self, at: Option<SocketAddr>) {
        let Some(at) = self.front.leave_for(at).await else { return };
        match TcpListener::bind(at).await {
            Ok(listener) => self.front.serves(at, tokio::spawn(accept(listener, self.run.clone()))),
            Err(error) => eprintln!("cannot listen on {at} for the API: {error}"),
        }
    }
}

async fn accept(listener: TcpListener, run: PathBuf) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(FULL).await;
            continue;
        };
        let run = run.clone();
        tokio::spawn(async move {
            carry(client, run).await;
            drop(permit);
        });
    }
}

async fn carry(mut client: TcpStream, run: PathBuf) {
    prepare(&client);
    match connect_in(&run, API_SOCKET).await {
        // A connection that breaks is its ends' affair.
        Ok(mut server) => drop(tokio::io::copy_bidirectional(&mut client, &mut server).await),
        // Nobody serves it for now.
        Err(_) => reset(&client),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::gateway::listen_in;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn it_carries_to_the_socket_and_resets_where_nobody_serves() {
        let dir = tempfile::tempdir().expect("a folder");
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
        let mut front = ApiFront::new(dir.path().to_owned());
        front.serve(Some(free)).await;
        let mut alone = TcpStream::connect(free).await.expect("connected");
        assert!(alone.read(&mut [0; 4]).await.is_err(), "reset");

        let listener = listen_in(dir.path(), API_SOCKET).expect("a socket");
        let mut client = TcpStream::connect(free).await.expect("connected");
        let (mut server, _) = listener.accept().await.expect("carried");
        client.write_all(b"ask").await.expect("sent");
        let mut bytes = [0; 3];
        server.read_exact(&mut bytes).await.expect("arrived");
        server.write_all(b"yes").await.expect("sent");
        client.read_exact(&mut bytes).await.expect("arrived");
        assert_eq!(&bytes, b"yes");

        front.serve(None).await;
        assert!(TcpStream::connect(free).await.is_err(), "closed");
    }
}
