//! Ports of the machine that the porter hands over.

use std::io;

use tokio::net::UnixStream;
use tokio::sync::Mutex;

use super::Gateway;
use crate::network::porter::{Handed, receive};

/// Takes what is handed over, until the porter goes. What it handed over stays open.
pub(super) async fn take(mut stream: UnixStream, gateway: &Mutex<Gateway>) -> io::Result<()> {
    // Another porter has other sockets, and hands over all that it has.
    gateway.lock().await.forget_ports().await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"!").await?;
    while let Some(handed) = receive(&mut stream).await? {
        let mut gateway = gateway.lock().await;
        match handed {
            Handed::Open(place, socket) => gateway.take_port(place, socket).await,
            Handed::Close(place) => gateway.drop_port(place).await,
        }
    }
    Ok(())
}
