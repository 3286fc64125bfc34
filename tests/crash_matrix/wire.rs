//! One end of a connection between old and new, as the relay sees it: lines, and the descriptors that travel with them.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::Shutdown,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
};

/// A line without its end, and its descriptor.
pub(crate) type Line = (String, Option<OwnedFd>);

/// The lines that bring a descriptor.
const WITH_DESCRIPTOR: [&str; 3] = ["listener", "control", "stderr"];

pub(crate) struct Wire {
    stream: UnixStream,
    bytes: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Wire {
    pub(crate) fn new(stream: UnixStream) -> Wire {
        Wire { stream, bytes: Vec::new(), descriptors: VecDeque::new() }
    }

    /// The next line. `None` at the end of the connection.
    pub(crate) fn line(&mut self) -> Option<Line> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line[..end]).into_owned();
                let has = WITH_DESCRIPTOR.contains(&verb(&line));
                let descriptor = if has { self.descriptors.pop_front() } else { None };
                return Some((line, descriptor));
            }
            let mut bytes = [0; 4096];
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(8))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let slices = &mut [IoSliceMut::new(&mut bytes)];
            let received = match recvmsg(&self.stream, slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) if received.bytes > 0 => received.bytes,
                Err(rustix::io::Errno::INTR) => continue,
                _ => return None,
            };
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    self.descriptors.extend(descriptors);
                }
            }
            self.bytes.extend_from_slice(&bytes[..received]);
        }
    }
}

/// Sends a line. The other side may be gone.
pub(crate) fn send(stream: &UnixStream, (line, descriptor): &Line) {
    let bytes = format!("{line}\n");
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.as_ref().map(|descriptor| [descriptor.as_fd()]);
    if let Some(descriptors) = &descriptors {
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)), "there is room for one");
    }
    _ = sendmsg(stream, &[IoSlice::new(bytes.as_bytes())], &mut ancillary, SendFlags::NOSIGNAL);
}

/// Ends the connection for both sides.
pub(crate) fn end(stream: &UnixStream) {
    _ = stream.shutdown(Shutdown::Both);
}

/// The word that says what a line is.
pub(crate) fn verb(line: &str) -> &str {
    let line = line.strip_prefix("softstop/1 ").unwrap_or(line);
    line.split(' ').next().unwrap_or_default()
}

/// Sends one descriptor, and receives one: the other end of `interposed/main.rs`.
pub(crate) fn swap(with: &UnixStream, mine: OwnedFd) -> io::Result<OwnedFd> {
    let mut wire = Wire::new(with.try_clone()?);
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(with, &mut [IoSliceMut::new(&mut [0])], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            wire.descriptors.extend(descriptors);
        }
    }
    send(with, &(String::new(), Some(mine)));
    wire.descriptors.pop_front().ok_or_else(|| io::Error::other("no descriptor came"))
}
