//! Every write to a connection's socket. There are two reasons for a type of its own:
//!
//! - A write to a client that is gone is an error, but never raises SIGPIPE, which ends a process by default.
//! - The last bytes of a connection leave in one packet with the FIN. That is one packet less to send, to receive and to
//!   acknowledge.

use std::{
    ffi::c_int,
    io::{self, IoSlice, Write},
};

use socket2::SockRef;

use super::socket::Stream;
use crate::body::upgraded_stream::NO_SIGNAL;

/// Writes to a connection's socket.
pub(super) struct SocketWriter<'a> {
    pub(super) socket: &'a Stream,
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

/// MSG_MORE: the kernel waits for more. (On Linux the number is the same for every architecture. A Unix socket ignores the flag.) Where there is no such flag, the FIN has a packet of its own.
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
