//! TCP: each connection goes to a target that takes it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::pool::Pool;
use super::relay::{prepare, relay, reset};

/// How long one target may take to answer before the next is asked.
const ANSWERS: Duration = Duration::from_secs(2);
/// How long a client waits at most until a target has taken it.
const ALL_ANSWER: Duration = Duration::from_secs(10);
/// Where all have refused: news of other targets are on their way, perhaps.
const NEWS: Duration = Duration::from_millis(300);
/// Before the next try where this process has no room for another connection.
const FULL: Duration = Duration::from_millis(20);

/// Takes connections until it is aborted; those that are open live on.
pub async fn serve(listener: TcpListener, pool: Arc<Pool>, room: Arc<Semaphore>) {
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, from)) => {
                let pool = pool.clone();
                tokio::spawn(async move {
                    connection(client, from.ip(), &pool).await;
                    drop(permit);
                });
            }
            // Of files there are none left, or the client has gone again.
            Err(_) => sleep(FULL).await,
        }
    }
}

async fn connection(client: TcpStream, from: IpAddr, pool: &Pool) {
    prepare(&client);
    match connect(from, pool).await {
        Some(target) => {
            prepare(&target);
            relay(client, target).await;
        }
        // Nobody has read anything of the client's: it may safely try again.
        None => reset(&client),
    }
}

/// A connection to the first target that takes one. `None`: all have refused.
pub async fn connect(from: IpAddr, pool: &Pool) -> Option<TcpStream> {
    let deadline = Instant::now() + ALL_ANSWER;
    let mut tried: Vec<SocketAddr> = Vec::new();
    loop {
        let news = pool.changed();
        tokio::pin!(news);
        news.as_mut().enable();
        while let Some(target) = pool.pick(from, &tried, Instant::now()) {
            match timeout(ANSWERS, TcpStream::connect(target)).await {
                Ok(Ok(stream)) => return Some(stream),
                Ok(Err(_)) | Err(_) => tried.push(target),
            }
            if Instant::now() >= deadline {
                return None;
            }
        }
        if timeout(NEWS, news).await.is_err() {
            return None;
        }
        // Who is still among the targets has refused; who is new has not.
        let targets = pool.targets();
        tried.retain(|target| targets.contains(target));
    }
}
