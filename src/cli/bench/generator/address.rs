//! Where the generator connects to: a TCP address, or a Unix-domain socket. The type of a connection is that of a TCP stream in
//! both cases, because its calls are those of every stream socket.

use std::{
    fmt, io,
    net::SocketAddr,
    os::{fd::OwnedFd, unix::net},
    path::PathBuf,
};

use mio::net::{TcpStream, UnixStream};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    /// Begins to connect.
    pub(super) fn connect(&self) -> io::Result<TcpStream> {
        match self {
            Address::Tcp(address) => TcpStream::connect(*address),
            Address::Unix(path) => Ok(OwnedFd::from(UnixStream::connect(path)?).into()),
        }
    }

    /// Connects to a Unix-domain socket, and waits for it.
    pub(crate) fn connect_to_unix(path: &std::path::Path) -> io::Result<std::net::TcpStream> {
        let stream = net::UnixStream::connect(path)
            .map_err(|error| io::Error::other(format!("unix:{}: no connection: {error}", path.display())))?;
        Ok(OwnedFd::from(stream).into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl serde::Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
