//! The last bytes of a connection leave in one packet with its FIN: a packet less to send, to receive and to acknowledge.

use std::io::{self, IoSlice, Write};

use mio::net::TcpStream;

/// Writes for a socket whose write side is shut down, or that is closed, as soon as everything is written: that is what
/// makes the kernel send what it holds back.
pub(super) struct BeforeFin<'a>(pub(super) &'a TcpStream);

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Write for BeforeFin<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        socket2::SockRef::from(self.0).send_with_flags(bytes, MORE_AND_NO_SIGNAL)
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        socket2::SockRef::from(self.0).send_vectored_with_flags(bytes, MORE_AND_NO_SIGNAL)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// send(2): MSG_MORE, the caller has more to send; MSG_NOSIGNAL, a peer that is gone is an error and no SIGPIPE. The same
/// on every architecture.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MORE_AND_NO_SIGNAL: std::ffi::c_int = 0x8000 | 0x4000;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Write for BeforeFin<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
