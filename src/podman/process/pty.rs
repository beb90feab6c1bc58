//! The other end of a terminal that an OCI runtime made: handed over through a socket.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::termios::Winsize;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::UnixListener;
use tokio::net::unix::pipe;

use super::{Reader, Writer};

/// Waits for the runtime to connect and takes the terminal that it sends.
pub async fn receive(listener: &UnixListener) -> io::Result<OwnedFd> {
    let (stream, _) = listener.accept().await?;
    loop {
        stream.readable().await?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        // The message itself is the terminal's name.
        let mut name = [0; 4096];
        let received = stream.try_io(tokio::io::Interest::READABLE, || {
            let slices = &mut [IoSliceMut::new(&mut name)];
            Ok(rustix::net::recvmsg(stream.as_fd(), slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?)
        });
        match received {
            Ok(_) => {
                let fds = ancillary.drain().filter_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
                    _ => None,
                });
                return fds.last().ok_or_else(|| io::Error::other("the runtime sent no terminal"));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// A socket that only this user may connect to.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Both directions of a terminal, and a third handle for its size.
pub fn split(terminal: OwnedFd) -> io::Result<(Reader, Writer, OwnedFd)> {
    rustix::io::ioctl_fionbio(&terminal, true)?;
    let (input, sizes) = (terminal.try_clone()?, terminal.try_clone()?);
    let output = Output(pipe::Receiver::from_owned_fd_unchecked(terminal)?);
    let input = pipe::Sender::from_owned_fd_unchecked(input)?;
    Ok((Box::new(output), Box::new(input), sizes))
}

/// Sets a terminal's size.
pub fn resize(terminal: &OwnedFd, (columns, rows): (u16, u16)) {
    let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
    // A terminal that has closed needs no size.
    let _ = rustix::termios::tcsetwinsize(terminal, size);
}

/// What is written to a terminal. When nobody has it open any more the kernel answers EIO: that is its end.
struct Output(pipe::Receiver);

impl AsyncRead for Output {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.0).poll_read(context, buffer)) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Poll::Ready(Ok(())),
            read => Poll::Ready(read),
        }
    }
}
