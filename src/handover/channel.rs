//! A Unix stream socket that carries lines, and descriptors with some of the lines (`SCM_RIGHTS`, unix(7)).
//!
//! A descriptor travels with the bytes of one `sendmsg`. The kernel never joins the bytes of two `sendmsg` that carry
//! descriptors, and delivers a descriptor with the first byte of its line. So a line that names a descriptor finds it in
//! the queue, however the bytes are cut. A descriptor that no line has named when all bytes are read was not announced.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::{
    cmsg_space,
    event::{PollFd, PollFlags, Timespec, poll},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sockopt::socket_peercred,
    },
    process::geteuid,
};
use socket2::{Domain, SockAddr, Socket, Type};

use super::protocol::{Garbage, Lines};
use crate::sync::lock;

/// How long a write may wait for the other side to read. A whole handover fits into the buffer of a socket, so only a side
/// that has stopped reading makes the other one wait.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// The most descriptors of one message. Each message of the protocol has one, so more are a mistake of the other side.
const MOST_DESCRIPTORS: usize = 4;

/// One end of a connection between two processes.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: UnixStream,
    lines: Lines,
    descriptors: VecDeque<OwnedFd>,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Received {
    Line(String),
    Garbage(Garbage),
    Eof,
    /// Nothing until the deadline.
    Nothing,
}

/// The user of the process at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This user, or root.
    Ours,
    Other {
        uid: u32,
    },
    /// The process is in a PID namespace that this process cannot see, so that the kernel gives it the id 0.
    Unknown,
}

pub(crate) fn owner(stream: &UnixStream) -> Owner {
    match socket_peercred(stream) {
        Ok(credentials) if credentials.uid.is_root() || credentials.uid == geteuid() => Owner::Ours,
        Ok(credentials) => Owner::Other { uid: credentials.uid.as_raw() },
        Err(_) => Owner::Unknown,
    }
}

/// Connects to a control socket. A process that was stopped (SIGSTOP) does not empty its accept queue: then the call fails in
/// the end.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // connect(2) of a Unix socket waits for room in the queue as long as a write may wait: socket(7), SO_SNDTIMEO.
    socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
    socket.connect(&SockAddr::unix(path)?).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            io::Error::new(io::ErrorKind::TimedOut, "the process does not answer: it hangs")
        }
        _ => error,
    })?;
    Ok(OwnedFd::from(socket).into())
}

impl Channel {
    pub(crate) fn new(stream: UnixStream) -> io::Result<Channel> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        Ok(Channel { stream, lines: Lines::default(), descriptors: VecDeque::new() })
    }

    pub(crate) fn owner(&self) -> Owner {
        owner(&self.stream)
    }

    pub(crate) fn say(&mut self, line: &str) -> io::Result<()> {
        self.stream.write_all(line.as_bytes())
    }

    /// Sends a line with a descriptor.
    pub(crate) fn hand(&mut self, line: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors = [descriptor];
        if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::other("no room for a descriptor"));
        }
        let bytes = [IoSlice::new(line.as_bytes())];
        let sent = loop {
            match sendmsg(&self.stream, &bytes, &mut ancillary, SendFlags::NOSIGNAL) {
                Err(rustix::io::Errno::INTR) => {}
                outcome => break outcome?,
            }
        };
        // The descriptor has gone with the first bytes.
        self.say(&line[sent..])
    }

    /// The next line, if it comes until `until`. Descriptors that come with it are closed.
    pub(crate) fn line_until(&mut self, until: Option<Instant>) -> io::Result<Received> {
        loop {
            if let Some(received) = self.next_line() {
                return Ok(received);
            }
            let [is_readable] = readable([self.stream.as_fd()], until)?;
            if !is_readable {
                return Ok(Received::Nothing);
            }
            if self.fill()? == 0 {
                return Ok(Received::Eof);
            }
        }
    }

    /// A whole line among the bytes that were read, or what is wrong with them.
    pub(crate) fn next_line(&mut self) -> Option<Received> {
        match self.lines.take() {
            Ok(line) => line.map(Received::Line),
            Err(garbage) => Some(Received::Garbage(garbage)),
        }
    }

    /// Drops the bytes that were read.
    pub(crate) fn forget(&mut self) {
        self.lines = Lines::default();
    }

    /// Reads once. Returns the number of bytes: 0 if the other side has ended. The kernel closes descriptors that come along.
    pub(crate) fn fill(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(count) => {
                    self.lines.push(&bytes[..count]);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The other side has closed with bytes of ours unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(0),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads once, and keeps descriptors for [`Channel::take_descriptor`].
    ///
    /// # Errors
    ///
    /// If this process has no descriptor left for one that has come.
    pub(crate) fn fill_with_descriptors(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 1024];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut slices = [IoSliceMut::new(&mut bytes)];
            match recvmsg(&self.stream, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CONNRESET) => return Ok(0),
                outcome => break outcome?,
            }
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::other(
                "a descriptor could not be received: raise the limit of open files (ulimit -n, LimitNOFILE=)",
            ));
        }
        self.lines.push(&bytes[..received.bytes]);
        Ok(received.bytes)
    }

    /// The descriptor of the line that was read last.
    pub(crate) fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }

    /// Whether a descriptor has come that no line has named. To be asked when all lines are taken.
    pub(crate) fn has_unannounced(&self) -> bool {
        self.lines.is_empty() && !self.descriptors.is_empty()
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Waits until one of the descriptors is readable, at its end or broken. Returns which. None of them is if the deadline has
/// come.
pub(crate) fn readable<const N: usize>(
    descriptors: [BorrowedFd<'_>; N],
    until: Option<Instant>,
) -> io::Result<[bool; N]> {
    let mut polled = descriptors.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        // A time that the kernel's type cannot hold is longer than any process runs.
        let time_out = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut polled, time_out.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(polled.map(|descriptor| !descriptor.revents().is_empty())),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Wakes a thread that waits in [`readable`], or for a message of an event loop. A bell stays rung.
#[derive(Debug)]
pub(crate) struct Bell {
    rung: UnixStream,
    heard: UnixStream,
    /// Dropped when the bell is rung, which ends `silence`.
    silent: Mutex<Option<Sender<Infallible>>>,
    silence: Receiver<Infallible>,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Bell> {
        let (rung, heard) = UnixStream::pair()?;
        let (silent, silence) = bounded(0);
        Ok(Bell { rung, heard, silent: Mutex::new(Some(silent)), silence })
    }

    /// Never blocks.
    pub(crate) fn ring(&self) {
        *lock(&self.silent) = None;
        _ = self.rung.shutdown(Shutdown::Both);
    }

    pub(crate) fn is_rung(&self) -> bool {
        lock(&self.silent).is_none()
    }

    /// A channel that ends when the bell is rung.
    pub(crate) fn silence(&self) -> &Receiver<Infallible> {
        &self.silence
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.heard.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsRawFd};

    use super::*;

    fn pair() -> (Channel, Channel) {
        let (one, other) = UnixStream::pair().unwrap();
        (Channel::new(one).unwrap(), Channel::new(other).unwrap())
    }

    #[test]
    fn a_descriptor_comes_with_the_line_that_names_it() {
        let (mut from, mut to) = pair();
        let file = File::open("/").unwrap();
        from.say("plain\n").unwrap();
        from.hand("first\n", file.as_fd()).unwrap();
        from.hand("second\n", file.as_fd()).unwrap();
        let mut seen = Vec::new();
        while seen.len() < 3 {
            to.fill_with_descriptors().unwrap();
            while let Some(Received::Line(line)) = to.next_line() {
                let descriptor = if line == "plain" { None } else { to.take_descriptor() };
                seen.push((line, descriptor.is_some()));
            }
        }
        let expected = [("plain", false), ("first", true), ("second", true)];
        assert_eq!(seen, expected.map(|(line, has)| (line.to_owned(), has)));
        assert!(!to.has_unannounced());
    }

    #[test]
    fn a_descriptor_that_nobody_announced_is_seen_and_closed_with_its_channel() {
        let (mut from, mut to) = pair();
        let (reader, writer) = io::pipe().unwrap();
        from.hand("plain\n", writer.as_fd()).unwrap();
        to.fill_with_descriptors().unwrap();
        assert!(matches!(to.next_line(), Some(Received::Line(line)) if line == "plain"));
        assert!(to.has_unannounced());
        drop(writer);
        drop(to);
        assert_eq!({ reader }.read(&mut [0]).unwrap(), 0, "no process has the other end any more");
    }

    #[test]
    fn a_side_that_expects_no_descriptors_gets_none() {
        let (mut from, mut to) = pair();
        let (reader, writer) = io::pipe().unwrap();
        from.hand("plain\n", writer.as_fd()).unwrap();
        assert!(matches!(to.line_until(None).unwrap(), Received::Line(_)));
        drop(writer);
        assert_eq!({ reader }.read(&mut [0]).unwrap(), 0);
        assert!(to.as_fd().as_raw_fd() >= 0);
    }

    #[test]
    fn a_line_has_a_deadline_and_an_end() {
        let (mut from, mut to) = pair();
        from.say("half").unwrap();
        let soon = Instant::now() + Duration::from_millis(10);
        assert!(matches!(to.line_until(Some(soon)).unwrap(), Received::Nothing));
        from.say(" a line\n").unwrap();
        assert!(matches!(to.line_until(None).unwrap(), Received::Line(line) if line == "half a line"));
        drop(from);
        assert!(matches!(to.line_until(None).unwrap(), Received::Eof));
    }

    /// As of a process that was stopped, and asked several times.
    #[test]
    fn a_full_accept_queue_does_not_hold_up_a_client_for_ever() {
        let path = std::env::temp_dir().join(format!("softstop-channel-{}", std::process::id()));
        _ = std::fs::remove_file(&path);
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(0).unwrap();
        let _queued = connect(&path).unwrap();
        assert_eq!(connect(&path).unwrap_err().kind(), io::ErrorKind::TimedOut);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_other_end_of_a_pair_is_ours() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(owner(&one), Owner::Ours);
    }

    #[test]
    fn a_bell_stays_rung() {
        let bell = Bell::new().unwrap();
        assert_eq!(readable([bell.as_fd()], Some(Instant::now())).unwrap(), [false]);
        bell.ring();
        assert_eq!(readable([bell.as_fd()], None).unwrap(), [true]);
        assert_eq!(readable([bell.as_fd()], None).unwrap(), [true]);
    }
}
