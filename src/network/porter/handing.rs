//! A listening socket goes from one process to another, with the place that it listens at.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

use crate::network::proxy::Place;

/// No message is longer.
const LONGEST: usize = 512;
const TAKEN: u8 = b'!';

/// One message.
#[derive(Debug, Serialize, Deserialize)]
enum Note {
    /// The socket goes with it.
    Open(Place),
    Close(Place),
}

/// What the other side has done.
#[derive(Debug)]
pub enum Handed {
    Open(Place, OwnedFd),
    Close(Place),
}

/// The next that is handed over; `None`: the other side has gone. It goes on once this has returned.
pub async fn receive(stream: &mut UnixStream) -> io::Result<Option<Handed>> {
    let mut bytes = [0u8; LONGEST];
    let (count, fd) = stream.async_io(Interest::READABLE, || receive_now(stream, &mut bytes)).await?;
    if count == 0 {
        return Ok(None);
    }
    let strange = || io::Error::other("what was handed over is not understood");
    let note: Note = serde_json::from_slice(&bytes[..count]).map_err(|_| strange())?;
    let handed = match note {
        Note::Open(place) => Handed::Open(place, fd.ok_or_else(strange)?),
        Note::Close(place) => Handed::Close(place),
    };
    stream.write_all(&[TAKEN]).await?;
    Ok(Some(handed))
}

fn receive_now(stream: &UnixStream, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(stream.as_fd(), &mut [IoSliceMut::new(bytes)], &mut ancillary, flags)?;
    let fd = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok((received.bytes, fd))
}

async fn send(stream: &mut UnixStream, note: &Note, fd: Option<&OwnedFd>) -> io::Result<()> {
    let bytes = serde_json::to_vec(note)?;
    let write = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds: Vec<_> = fd.iter().map(|fd| fd.as_fd()).collect();
        if !fds.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        }
        let sent = rustix::net::sendmsg(stream.as_fd(), &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL);
        Ok(sent?)
    };
    let sent = stream.async_io(Interest::WRITABLE, write).await?;
    if sent != bytes.len() {
        return Err(io::Error::other("the socket took a part of a note"));
    }
    // One after the other: notes and sockets never run together.
    match stream.read_u8().await? {
        TAKEN => Ok(()),
        _ => Err(io::Error::other("a note was not understood")),
    }
}

/// Brings what the other side has in step with `wanted`; `given` is what it has already.
pub(super) async fn hand_over(
    stream: &mut UnixStream,
    given: &mut BTreeMap<Place, u64>,
    wanted: &BTreeMap<Place, (u64, OwnedFd)>,
) -> io::Result<()> {
    let gone: Vec<Place> = given.keys().filter(|place| !wanted.contains_key(place)).copied().collect();
    for place in gone {
        send(stream, &Note::Close(place), None).await?;
        given.remove(&place);
    }
    for (place, (number, fd)) in wanted {
        if given.get(place) != Some(number) {
            send(stream, &Note::Open(*place), Some(fd)).await?;
            given.insert(*place, *number);
        }
    }
    Ok(())
}
