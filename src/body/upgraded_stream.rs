//! The socket of an upgraded connection. A server listens on TCP addresses and on Unix-domain sockets, and a handler works with
//! both in the same way.

use std::{
    ffi::c_int,
    fmt,
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use socket2::SockRef;

/// MSG_NOSIGNAL, a flag of send(2), which no dependency of this crate exports. The systems of Apple have no such flag, but an
/// option of the socket, which is set when a connection is accepted.
pub(crate) const NO_SIGNAL: c_int = if cfg!(any(target_os = "linux", target_os = "android")) {
    0x4000
} else if cfg!(target_os = "freebsd") {
    0x2_0000
} else if cfg!(any(target_os = "netbsd", target_os = "openbsd", target_os = "dragonfly")) {
    0x400
} else {
    0
};

/// The socket of an [`Upgraded`](super::upgrade::Upgraded) connection: a TCP or a Unix-domain one.
///
/// Reads and writes block. As with a [`TcpStream`], a shared reference can read and write, too.
pub struct UpgradedStream(Kind);

enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl UpgradedStream {
    /// A further handle of the same connection, for another thread.
    ///
    /// # Errors
    ///
    /// If descriptors have run out.
    pub fn try_clone(&self) -> io::Result<UpgradedStream> {
        Ok(UpgradedStream(match &self.0 {
            Kind::Tcp(stream) => Kind::Tcp(stream.try_clone()?),
            Kind::Unix(stream) => Kind::Unix(stream.try_clone()?),
        }))
    }

    /// Ends reading, writing, or both, for all handles of the connection. A thread that blocks in a read returns.
    ///
    /// # Errors
    ///
    /// If the client is gone already.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match &self.0 {
            Kind::Tcp(stream) => stream.shutdown(how),
            Kind::Unix(stream) => stream.shutdown(how),
        }
    }

    /// How long a read may block, `None` for ever: see [`TcpStream::set_read_timeout`].
    ///
    /// # Errors
    ///
    /// If the time is zero.
    pub fn set_read_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        match &self.0 {
            Kind::Tcp(stream) => stream.set_read_timeout(time),
            Kind::Unix(stream) => stream.set_read_timeout(time),
        }
    }

    /// How long a write may block, `None` for ever: see [`TcpStream::set_write_timeout`].
    ///
    /// # Errors
    ///
    /// If the time is zero.
    pub fn set_write_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        match &self.0 {
            Kind::Tcp(stream) => stream.set_write_timeout(time),
            Kind::Unix(stream) => stream.set_write_timeout(time),
        }
    }

    /// Whether reads and writes return [`io::ErrorKind::WouldBlock`] instead of blocking: see [`TcpStream::set_nonblocking`].
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match &self.0 {
            Kind::Tcp(stream) => stream.set_nonblocking(nonblocking),
            Kind::Unix(stream) => stream.set_nonblocking(nonblocking),
        }
    }

    /// The socket of the standard library, if it is a TCP socket.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpStream> {
        if let Kind::Tcp(stream) = &self.0 { Some(stream) } else { None }
    }

    /// The socket of the standard library, if it is a Unix-domain socket.
    #[must_use]
    pub fn unix(&self) -> Option<&UnixStream> {
        if let Kind::Unix(stream) = &self.0 { Some(stream) } else { None }
    }
}

impl From<TcpStream> for UpgradedStream {
    fn from(stream: TcpStream) -> UpgradedStream {
        UpgradedStream(Kind::Tcp(stream))
    }
}

impl From<UnixStream> for UpgradedStream {
    fn from(stream: UnixStream) -> UpgradedStream {
        UpgradedStream(Kind::Unix(stream))
    }
}

impl AsFd for UpgradedStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Kind::Tcp(stream) => stream.as_fd(),
            Kind::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for &UpgradedStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Kind::Tcp(stream) => (&mut &*stream).read(buffer),
            Kind::Unix(stream) => (&mut &*stream).read(buffer),
        }
    }
}

impl Write for &UpgradedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Kind::Tcp(stream) => (&mut &*stream).write(bytes),
            // write(2), which the standard library calls here, raises SIGPIPE if the client is gone.
            Kind::Unix(stream) => SockRef::from(stream).send_with_flags(bytes, NO_SIGNAL),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for UpgradedStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&mut &*self).read(buffer)
    }
}

impl Write for UpgradedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&mut &*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for UpgradedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Tcp(stream) => stream.fmt(f),
            Kind::Unix(stream) => stream.fmt(f),
        }
    }
}
