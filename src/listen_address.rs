//! The address of a listener, as handles, observers and logs are told of it. A listener has a TCP address or a path, so a
//! `SocketAddr` alone would not do.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

/// An address that a server listens on: a TCP address, or a Unix-domain socket.
///
/// The text ([`Display`](fmt::Display)) is for logs, and [`ServerBuilder::listen`](crate::ServerBuilder::listen) takes it:
///
/// | listener | text |
/// | --- | --- |
/// | TCP | `127.0.0.1:8080`, `[::1]:8080` |
/// | Unix, by path | `unix:/run/app.sock` |
/// | Unix, by abstract name (Linux) | `unix:@app` |
///
/// ```
/// use softstop::{Router, Server};
///
/// # fn main() -> Result<(), softstop::Error> {
/// let server = Server::builder().listen("127.0.0.1:0").routes(Router::new()).build();
/// server.start()?;
/// let address = &server.addresses()[0];
/// assert_eq!(address.to_string(), format!("127.0.0.1:{}", address.socket_addr().unwrap().port()));
/// assert_eq!(address.path(), None);
/// # Ok(())
/// # }
/// ```
///
/// # Guaranteed
///
/// - Two addresses are equal if clients reach the same listener by them.
/// - Exactly one of [`socket_addr`](ListenAddress::socket_addr), [`path`](ListenAddress::path) and
///   [`abstract_name`](ListenAddress::abstract_name) is `Some`. The one exception is a Unix listener without any address, which
///   no client can reach.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ListenAddress(Kind);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Kind {
    Tcp(SocketAddr),
    Path(Arc<Path>),
    Abstract(Arc<[u8]>),
    Unnamed,
}

impl ListenAddress {
    /// The IP address and the port, if it is a TCP address.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        if let Kind::Tcp(address) = self.0 { Some(address) } else { None }
    }

    /// The path, if it is a Unix-domain socket in the file system.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        if let Kind::Path(path) = &self.0 { Some(path) } else { None }
    }

    /// The name, without the leading zero byte, if it is a Unix-domain socket in the abstract namespace of Linux: see
    /// [unix(7)](https://man7.org/linux/man-pages/man7/unix.7.html).
    #[must_use]
    pub fn abstract_name(&self) -> Option<&[u8]> {
        if let Kind::Abstract(name) = &self.0 { Some(name) } else { None }
    }

    pub(crate) fn of_path(path: impl Into<PathBuf>) -> ListenAddress {
        ListenAddress(Kind::Path(path.into().into()))
    }

    pub(crate) fn of_abstract_name(name: &[u8]) -> ListenAddress {
        ListenAddress(Kind::Abstract(name.into()))
    }

    /// The address of a Unix listener that has none.
    pub(crate) fn unnamed() -> ListenAddress {
        ListenAddress(Kind::Unnamed)
    }
}

/// For instance to test an [`Observer`](crate::observe::Observer).
impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> ListenAddress {
        ListenAddress(Kind::Tcp(address))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Tcp(address) => address.fmt(f),
            Kind::Path(path) => write!(f, "unix:{}", path.display()),
            Kind::Abstract(name) => write!(f, "unix:@{}", name.escape_ascii()),
            Kind::Unnamed => f.write_str("unix:"),
        }
    }
}

/// The same text.
impl fmt::Debug for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_answers_its_own_question_and_has_its_text() {
        let tcp: SocketAddr = "[::1]:80".parse().unwrap();
        let rows = [
            (ListenAddress::from(tcp), (Some(tcp), None, None), "[::1]:80"),
            (ListenAddress::of_path("/run/a"), (None, Some(Path::new("/run/a")), None), "unix:/run/a"),
            (ListenAddress::of_abstract_name(b"a\0"), (None, None, Some(&b"a\0"[..])), "unix:@a\\x00"),
            (ListenAddress::unnamed(), (None, None, None), "unix:"),
        ];
        for (address, answers, text) in rows {
            assert_eq!((address.socket_addr(), address.path(), address.abstract_name()), answers);
            assert_eq!((address.to_string(), format!("{address:?}")), (text.to_owned(), text.to_owned()));
        }
    }
}
