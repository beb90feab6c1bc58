//! Carries bytes between two connections until both directions have ended.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

/// What is read at once. One buffer per thread: an idle connection holds none.
const BUFFER: usize = 256 * 1024;
/// A peer that went without a word is noticed after so long and a few probes.
const SILENT: Duration = Duration::from_secs(120);

thread_local! {
    static SHARED: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER].into_boxed_slice());
}

/// Settings of both ends: small writes go at once, and a peer that has vanished is noticed.
pub fn prepare(stream: &TcpStream) {
    // What cannot be set costs speed, not correctness.
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_socket_keepalive(stream.as_fd(), true);
    let _ = rustix::net::sockopt::set_tcp_keepidle(stream.as_fd(), SILENT);
}

/// Ends a connection so that its peer sees an error, not an end.
pub fn reset(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream.as_fd(), Some(Duration::ZERO));
}

/// Carries both directions. An end is passed on as an end, a broken connection as a broken one.
pub async fn relay(mut client: TcpStream, mut target: TcpStream) {
    let result = {
        let (client_read, client_write) = client.split();
        let (target_read, target_write) = target.split();
        tokio::try_join!(carry(client_read, target_write), carry(target_read, client_write))
    };
    if result.is_err() {
        reset(&client);
        reset(&target);
    }
}

/// Until the sender's end, which is passed on.
async fn carry(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
    loop {
        let step = poll_fn(|cx| SHARED.with(|buffer| step(cx, &mut from, &to, &mut buffer.borrow_mut())));
        match step.await? {
            Step::Ended => {
                // The other end may be gone already, which its own direction notices.
                let _ = to.shutdown().await;
                return Ok(());
            }
            Step::Carried => {}
            Step::Left(rest) => to.write_all(&rest).await?,
        }
    }
}

enum Step {
    Ended,
    Carried,
    /// Read, but the receiver takes no more for now.
    Left(Vec<u8>),
}

/// What is read at once fits the buffer nearly always: then this does not ask in vain whether there is more.
fn step(cx: &mut Context<'_>, from: &mut ReadHalf<'_>, to: &WriteHalf<'_>, buffer: &mut [u8]) -> Poll<io::Result<Step>> {
    let mut read = ReadBuf::new(buffer);
    ready!(Pin::new(from).poll_read(cx, &mut read))?;
    let mut rest = read.filled();
    if rest.is_empty() {
        return Poll::Ready(Ok(Step::Ended));
    }
    while !rest.is_empty() {
        match to.try_write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Ready(Ok(Step::Left(rest.to_vec()))),
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    Poll::Ready(Ok(Step::Carried))
}
