//! Every write to a connection's socket. There are two reasons for a type of its own:
//!
//! - A write to a client that is gone is an error, but never raises SIGPIPE, which ends a process by default.
//! - The last bytes of a connection leave in one packet with the FIN. That is one packet less to send, to receive and to
//!   acknowledge.

use std::{
    ffi::c_int,
    io::{self, IoSlice, Write},
};

use mio::net::TcpStream;
use socket2::SockRef;

/// Writes to a connection's socket.
pub(super) struct SocketWriter<'a> {
    pub(super) socket: &'a TcpStream,
    pub(super) following: Following,
}

/// What follows the bytes of a write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Following {
    /// The caller keeps the connection, and may write more later.
    More,
    /// The caller shuts the write side down, or closes the socket. Either makes the kernel send the bytes that it holds back.
    Fin,
}

// Flags of send(2), which no dependency of this crate exports. On Linux they are the same for every architecture.

/// MSG_NOSIGNAL. The systems of Apple have no such flag, but an option of the socket: see `listener::accept`.
const NO_SIGNAL: c_int = if cfg!(any(target_os = "linux", target_os = "android")) {
    0x4000
} else if cfg!(target_os = "freebsd") {
    0x2_0000
} else if cfg!(any(target_os = "netbsd", target_os = "openbsd", target_os = "dragonfly")) {
    0x400
} else {
    0
};
/// MSG_MORE: the kernel waits for more. Where there is no such flag, the FIN has a packet of its own.
const MORE: c_int = if cfg!(any(target_os = "linux", target_os = "android")) { 0x8000 } else { 0 };

impl SocketWriter<'_> {
    fn flags(&self) -> c_int {
        match self.following {
            Following::More => NO_SIGNAL,
            Following::Fin => NO_SIGNAL | MORE,
        }
    }
}

impl Write for SocketWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.try_io(|| SockRef::from(self.socket).send_with_flags(bytes, self.flags()))
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.try_io(|| SockRef::from(self.socket).send_vectored_with_flags(bytes, self.flags()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
