//! The last bytes of a connection leave in one packet with its FIN: a packet less to send, to receive and to acknowledge.

use std::{
    ffi::c_int,
    io::{self, IoSlice, Write},
};

use mio::net::TcpStream;
use socket2::SockRef;

/// Writes for a socket whose write side is shut down, or that is closed, as soon as everything is written: that is what
/// makes the kernel send what it holds back.
pub(super) struct BeforeFin<'a>(pub(super) &'a TcpStream);

/// For send(2), the same on every architecture that Linux runs on: MSG_MORE, there is more to send; MSG_NOSIGNAL, a peer that
/// is gone is an error and no SIGPIPE. Elsewhere the FIN has a packet of its own.
const FLAGS: c_int = if cfg!(any(target_os = "linux", target_os = "android")) { 0x8000 | 0x4000 } else { 0 };

impl Write for BeforeFin<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(self.0).send_with_flags(bytes, FLAGS)
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        SockRef::from(self.0).send_vectored_with_flags(bytes, FLAGS)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
