//! Connections: any byte stream, and the unix socket.

use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::Server;

/// How long nobody is let in after a connection could not be accepted.
const RETRY_ACCEPT: Duration = Duration::from_millis(50);

/// How long a client may take until its connection is secured.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// And until it has asked, also where it has asked before (kube-apiserver's idle timeout).
const HEAD: Duration = Duration::from_secs(90);

/// Serves one connection until either side ends it.
pub async fn serve<I>(server: Server, io: I) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    let service = service_fn(move |request| {
        let server = server.clone();
        async move { Ok::<_, std::convert::Infallible>(server.handle(request).await) }
    });
    builder.serve_connection_with_upgrades(TokioIo::new(io), service).await
}

/// Serves who comes over TLS, until it is dropped; open connections end with it.
pub async fn listen_secured(server: Server, listener: UnixListener, acceptor: TlsAcceptor) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(RETRY_ACCEPT).await;
                    continue;
                };
                let (server, acceptor) = (server.clone(), acceptor.clone());
                connections.spawn(async move {
                    if let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await {
                        let _ = serve(server, stream).await;
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Listens on a unix socket that only this user may open, until `stop` is done. A socket file that
/// nobody listens on is replaced; one that is listened on is an error.
pub async fn listen(server: Server, path: &Path, stop: impl Future<Output = ()>) -> io::Result<()> {
    let listener = bind(path).await?;
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // No more files may be open, for one: later there are.
                    tokio::time::sleep(RETRY_ACCEPT).await;
                    continue;
                };
                let server = server.clone();
                connections.spawn(async move {
                    // A connection that breaks is its client's affair.
                    let _ = serve(server, stream).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
    let _ = std::fs::remove_file(path);
    connections.shutdown().await;
    Ok(())
}

async fn bind(path: &Path) -> io::Result<UnixListener> {
    if path.exists() {
        if tokio::net::UnixStream::connect(path).await.is_ok() {
            let message = format!("{} is in use by another server", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
        }
        std::fs::remove_file(path)?;
    }
    // Made under another name and moved there once it is private: it is never open to others.
    let made = path.with_extension("new");
    let _ = std::fs::remove_file(&made);
    let listener = UnixListener::bind(&made)?;
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&made, path)?;
    Ok(listener)
}
