//! The other end of a connection, as handlers, observers and reports are told of it.
//!
//! The type is opaque because a connection need not come from an Internet address: a client of a Unix-domain socket has
//! credentials in its place, and a client of a proxy has two addresses.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// The other end of a connection.
///
/// Its text ([`Display`](fmt::Display)) is for logs: `192.0.2.7:51342`; for a client of a Unix-domain socket
/// `unix:uid=33,pid=4711`, or `unix:` if its credentials are not known. A program asks for the address instead of parsing
/// the text:
///
/// ```
/// use softstop::Request;
///
/// let whoami = |request: &Request| match request.peer().ip() {
///     Some(address) if address.is_loopback() => "you are on this machine\n",
///     _ => "you come from afar\n",
/// };
/// # let _ = whoami;
/// ```
///
/// # Guaranteed
///
/// - A client of a TCP listener has an address: [`ip`](Peer::ip) and [`socket_addr`](Peer::socket_addr) are `Some`.
/// - A client of a Unix-domain socket has none.
/// - Two peers are equal if everything that is known about them is equal.
///
/// # Not guaranteed
///
/// - An address does not prove who the client is: behind a proxy it is the proxy's. The same is true of credentials.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Peer(Kind);

/// At most 32 bytes, because each connection and each request has a copy; larger data belongs into a box.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Kind {
    Tcp(SocketAddr),
    Unix(Option<PeerCredentials>),
}

/// The process at the other end of a Unix-domain socket, as the kernel knew it when that process called connect(2):
/// `SO_PEERCRED` of [unix(7)](https://man7.org/linux/man-pages/man7/unix.7.html).
///
/// Not guaranteed: the process may have changed its user since, may have ended, or may have passed the socket on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PeerCredentials {
    /// The id of the process.
    pub pid: u32,
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
}

impl Peer {
    /// The IP address, if the peer has one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.socket_addr().map(|address| address.ip())
    }

    /// The IP address and the port, if the peer has them.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.0 {
            Kind::Tcp(address) => Some(address),
            Kind::Unix(_) => None,
        }
    }

    /// The process at the other end, if it is a client of a Unix-domain socket.
    ///
    /// `None` on other systems than Linux, and for a client in another PID namespace, such as another container: such a process
    /// has no id here.
    ///
    /// ```
    /// use softstop::{IntoResponse, Request, Response, StatusCode};
    ///
    /// /// For the user that this server runs as, and for root.
    /// fn reload(request: &Request) -> Response {
    ///     match request.peer().credentials() {
    ///         Some(client) if client.uid == 0 || client.uid == 1000 => "reloaded\n".into_response(),
    ///         _ => Response::new(StatusCode::FORBIDDEN),
    ///     }
    /// }
    /// # let _ = reload;
    /// ```
    #[cfg(feature = "deploy")]
    #[must_use]
    pub fn credentials(&self) -> Option<PeerCredentials> {
        match self.0 {
            Kind::Tcp(_) => None,
            Kind::Unix(credentials) => credentials,
        }
    }

    /// A client of a Unix-domain socket.
    pub(crate) fn of_unix(credentials: Option<PeerCredentials>) -> Peer {
        Peer(Kind::Unix(credentials))
    }
}

/// A client at that address, for instance to test an [`Observer`](crate::observe::Observer).
impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Peer {
        Peer(Kind::Tcp(address))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Tcp(address) => address.fmt(f),
            Kind::Unix(None) => f.write_str("unix:"),
            Kind::Unix(Some(PeerCredentials { uid, pid, .. })) => {
                write!(f, "unix:uid={uid},pid={pid}")
            }
        }
    }
}

/// The same text.
impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tcp_client_has_an_address() {
        for text in ["192.0.2.7:51342", "[2001:db8::7]:80", "[fe80::1%3]:80"] {
            let address: SocketAddr = text.parse().unwrap();
            let peer = Peer::from(address);
            assert_eq!((peer.socket_addr(), peer.ip()), (Some(address), Some(address.ip())));
            assert_eq!((peer.to_string(), format!("{peer:?}")), (text.to_owned(), text.to_owned()));
        }
    }

    #[test]
    fn a_unix_client_has_no_address() {
        let known = Peer::of_unix(Some(PeerCredentials { pid: 7, uid: 33, gid: 34 }));
        let rows = [(Peer::of_unix(None), "unix:"), (known, "unix:uid=33,pid=7")];
        for (peer, text) in rows {
            assert_eq!((peer.socket_addr(), peer.ip()), (None, None));
            assert_eq!(peer.to_string(), text);
        }
    }

    #[test]
    fn there_is_room_for_a_box_in_32_bytes() {
        #[allow(dead_code, reason = "only its size counts")]
        enum Later {
            Tcp(SocketAddr),
            Unix(Option<PeerCredentials>),
            Proxied(Box<(SocketAddr, SocketAddr)>),
        }
        assert!(size_of::<Peer>() <= 32, "{} bytes", size_of::<Peer>());
        assert!(size_of::<Later>() <= 32, "{} bytes", size_of::<Later>());
        assert!(size_of::<Option<Peer>>() <= 32, "{} bytes", size_of::<Option<Peer>>());
    }
}
