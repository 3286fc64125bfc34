//! The sockets of a server: TCP and Unix-domain ones behind one type each, so that the code of connections and of listening has
//! no `match` on the family.

use std::{
    io::{self, Read},
    net::{self, Shutdown},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix,
    },
};

use mio::{
    Interest, Registry, Token,
    event::Source,
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};
use socket2::SockRef;

use crate::{
    body::UpgradedStream,
    listen_address::ListenAddress,
    peer::{Peer, PeerCredentials},
};

/// The socket of a connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A listening socket.
#[derive(Debug)]
pub(crate) enum ListenSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Stream {
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&mut &*stream).read(buffer),
            Stream::Unix(stream) => (&mut &*stream).read(buffer),
        }
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.shutdown(how),
            Stream::Unix(stream) => stream.shutdown(how),
        }
    }

    /// Performs an operation on the socket that may answer "would block".
    pub(crate) fn try_io<T>(&self, operation: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self {
            Stream::Tcp(stream) => stream.try_io(operation),
            Stream::Unix(stream) => stream.try_io(operation),
        }
    }

    /// This side's TCP address.
    pub(crate) fn local_addr(&self) -> io::Result<net::SocketAddr> {
        match self {
            Stream::Tcp(stream) => stream.local_addr(),
            Stream::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// For the handler of an upgrade, which blocks.
impl From<Stream> for UpgradedStream {
    fn from(stream: Stream) -> UpgradedStream {
        match stream {
            Stream::Tcp(stream) => net::TcpStream::from(stream).into(),
            Stream::Unix(stream) => unix::net::UnixStream::from(OwnedFd::from(stream)).into(),
        }
    }
}

impl ListenSocket {
    /// A socket that was bound elsewhere.
    ///
    /// # Errors
    ///
    /// With what the socket is, if it is not a listening stream socket of these families.
    pub(crate) fn adopt(descriptor: OwnedFd) -> io::Result<ListenSocket> {
        let socket = socket2::Socket::from(descriptor);
        let not = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
        let kind = socket.r#type().map_err(|error| match error.raw_os_error() {
            Some(ENOTSOCK) => not("is no socket"),
            _ => error,
        })?;
        if kind != socket2::Type::STREAM {
            return Err(not("is no stream socket (SOCK_STREAM), but a datagram socket or another kind"));
        }
        if !is_listening(&socket) {
            return Err(not(
                "does not listen: is a connection, or a socket that nobody called listen(2) for",
            ));
        }
        socket.set_nonblocking(true)?;
        socket.set_cloexec(true)?;
        let address = socket.local_addr()?;
        if address.is_unix() {
            Ok(ListenSocket::Unix(UnixListener::from_std(OwnedFd::from(socket).into())))
        } else if address.as_socket().is_some() {
            Ok(ListenSocket::Tcp(TcpListener::from_std(socket.into())))
        } else {
            Err(not("is neither a TCP nor a Unix socket"))
        }
    }

    /// The address that the kernel tells. A Unix socket that was bound under another name, and renamed, tells the old name.
    pub(crate) fn address(&self) -> io::Result<ListenAddress> {
        match self {
            ListenSocket::Tcp(listener) => Ok(listener.local_addr()?.into()),
            ListenSocket::Unix(_) => {
                let address = SockRef::from(self).local_addr()?;
                Ok(match (address.as_pathname(), address.as_abstract_namespace()) {
                    (Some(path), _) => ListenAddress::of_path(path),
                    (None, Some(name)) => ListenAddress::of_abstract_name(name),
                    (None, None) => ListenAddress::unnamed(),
                })
            }
        }
    }

    /// accept(2), once.
    pub(super) fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            ListenSocket::Tcp(listener) => {
                listener.accept().map(|(stream, peer)| (Stream::Tcp(stream), peer.into()))
            }
            ListenSocket::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                let peer = Peer::of_unix(credentials(&stream));
                Ok((Stream::Unix(stream), peer))
            }
        }
    }

    pub(crate) fn is_unix(&self) -> bool {
        matches!(self, ListenSocket::Unix(_))
    }
}

/// The process that has connected. Asked for when the connection is accepted, because only the connection's loop has the socket
/// later. The call takes less than a microsecond.
#[cfg(all(feature = "deploy", any(target_os = "linux", target_os = "android")))]
fn credentials(stream: &UnixStream) -> Option<PeerCredentials> {
    // An error also for a process of another PID namespace: the kernel gives it the id 0, which a `Pid` cannot be.
    let known = rustix::net::sockopt::socket_peercred(stream).ok()?;
    let pid = known.pid.as_raw_nonzero().get().unsigned_abs();
    Some(PeerCredentials { pid, uid: known.uid.as_raw(), gid: known.gid.as_raw() })
}

#[cfg(not(all(feature = "deploy", any(target_os = "linux", target_os = "android"))))]
fn credentials(_: &UnixStream) -> Option<PeerCredentials> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const ENOTSOCK: i32 = 88;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const ENOTSOCK: i32 = 38;

/// Whether listen(2) was called. (SO_ACCEPTCONN; where the system does not tell, the answer is yes.)
fn is_listening(socket: &socket2::Socket) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    {
        socket.is_listener().unwrap_or(true)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    {
        let _ = socket;
        true
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsFd for ListenSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            ListenSocket::Tcp(listener) => listener.as_fd(),
            ListenSocket::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Hands the calls of `mio` to the socket that a type has.
macro_rules! source {
    ($type:ident) => {
        impl Source for $type {
            fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
                match self {
                    $type::Tcp(socket) => socket.register(registry, token, interests),
                    $type::Unix(socket) => socket.register(registry, token, interests),
                }
            }

            fn reregister(
                &mut self,
                registry: &Registry,
                token: Token,
                interests: Interest,
            ) -> io::Result<()> {
                match self {
                    $type::Tcp(socket) => socket.reregister(registry, token, interests),
                    $type::Unix(socket) => socket.reregister(registry, token, interests),
                }
            }

            fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
                match self {
                    $type::Tcp(socket) => socket.deregister(registry),
                    $type::Unix(socket) => socket.deregister(registry),
                }
            }
        }
    };
}

source!(Stream);
source!(ListenSocket);
