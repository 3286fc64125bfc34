//! accept(2), with its errors sorted by what follows.

use std::io;

use socket2::SockRef;

use super::{
    listener::{Lacking, Listener, set_probes},
    socket::Stream,
};
use crate::peer::Peer;

/// The outcome of one call of accept(2).
#[derive(Debug)]
pub(crate) enum Accepted {
    Connection(Stream, Peer),
    /// The accept queue is empty.
    Empty,
    /// The connection failed before it was accepted. The next one may be fine.
    Lost(io::Error),
    /// Descriptors or memory have run out, or another obstacle is there that may pass. To try again at once would spin.
    Paused(io::Error),
    /// The listener does not listen any more. Every further call would fail in the same way.
    Failed(io::Error),
}

/// Takes one connection from the accept queue.
pub(crate) fn accept(listener: &Listener) -> Accepted {
    loop {
        match listener.socket.accept() {
            Ok((stream, peer)) => {
                if listener.lacking != Lacking::default()
                    && let Err(error) = supply(&stream, listener.lacking)
                {
                    // The peer reset it while it waited in the queue.
                    return Accepted::Lost(error);
                }
                // On other systems each write says that no SIGPIPE is wanted: see `socket_writer`.
                #[cfg(target_vendor = "apple")]
                if let Err(error) = SockRef::from(&stream).set_nosigpipe(true) {
                    return Accepted::Lost(error);
                }
                return Accepted::Connection(stream, peer);
            }
            Err(error) => match AcceptFailure::of(&error) {
                AcceptFailure::Empty => return Accepted::Empty,
                AcceptFailure::Interrupted => {}
                AcceptFailure::Lost => return Accepted::Lost(error),
                AcceptFailure::Paused => return Accepted::Paused(error),
                AcceptFailure::Failed => return Accepted::Failed(error),
            },
        }
    }
}

/// What follows from an error of accept(2), for every listener of the process: see [`Accepted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AcceptFailure {
    Empty,
    /// By a signal. The call is to be repeated at once.
    Interrupted,
    Lost,
    Paused,
    Failed,
}

impl AcceptFailure {
    pub(crate) fn of(error: &io::Error) -> AcceptFailure {
        match error.kind() {
            io::ErrorKind::WouldBlock => AcceptFailure::Empty,
            io::ErrorKind::Interrupted => AcceptFailure::Interrupted,
            _ if errors::LOST.contains(&error.raw_os_error().unwrap_or(0)) => AcceptFailure::Lost,
            _ if errors::FAILED.contains(&error.raw_os_error().unwrap_or(0)) => AcceptFailure::Failed,
            // EMFILE, ENFILE, ENOBUFS, ENOMEM; EPERM or ENOSYS where the call is forbidden; and errors that no kernel
            // returns yet. No error may make the loop spin.
            _ => AcceptFailure::Paused,
        }
    }
}

/// Sets what the stream has not inherited.
fn supply(stream: &Stream, lacking: Lacking) -> io::Result<()> {
    let socket = SockRef::from(stream);
    if lacking.no_delay {
        socket.set_tcp_nodelay(true)?;
    }
    set_probes(&socket, lacking.keep_alive_probe)
}

/// Errors of accept(2), sorted by what follows. `std` has kinds for few of them.
mod errors {
    /// EBADF, EINVAL: the same numbers on all systems. EINVAL comes from a listener that was shut down or destroyed.
    const EBADF: i32 = 9;
    const EINVAL: i32 = 22;

    #[cfg(any(target_os = "linux", target_os = "android"))]
    mod numbers {
        /// EPROTO, ENOPROTOOPT, ENETDOWN, ENETUNREACH, ECONNABORTED, ECONNRESET, ETIMEDOUT, EHOSTDOWN, EHOSTUNREACH, ENONET:
        /// accept(2) returns the pending error of a new connection.
        pub(in super::super) const LOST: [i32; 10] = [71, 92, 100, 101, 103, 104, 110, 112, 113, 64];
        pub(super) const ENOTSOCK: i32 = 88;
        pub(super) const EOPNOTSUPP: i32 = 95;
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    mod numbers {
        /// ECONNABORTED, ECONNRESET, ETIMEDOUT.
        pub(in super::super) const LOST: [i32; 3] = [53, 54, 60];
        pub(super) const ENOTSOCK: i32 = 38;
        pub(super) const EOPNOTSUPP: i32 = if cfg!(target_vendor = "apple") { 102 } else { 45 };
    }

    pub(super) use numbers::LOST;
    /// accept(2) lists EOPNOTSUPP among the network errors, too. Linux returns it for a socket that cannot accept.
    pub(super) const FAILED: [i32; 4] = [EBADF, EINVAL, numbers::ENOTSOCK, numbers::EOPNOTSUPP];
}
