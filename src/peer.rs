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
/// Its text ([`Display`](fmt::Display)) is for logs: `192.0.2.7:51342`. A program asks for the address instead of parsing
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
/// - A client of a TCP listener has an address: both questions are answered with `Some`.
/// - Two peers are equal if everything that is known about them is equal.
///
/// # Not guaranteed
///
/// - An address does not prove who the client is: behind a proxy it is the proxy's.
/// - Later versions may serve clients without an address. `None` means such a client, never an error.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Peer(Kind);

/// At most 32 bytes, because each connection and each request has a copy; larger data belongs into a box.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Kind {
    Tcp(SocketAddr),
    Unix,
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
            Kind::Unix => None,
        }
    }

    /// A client of a Unix-domain socket.
    pub(crate) fn of_unix() -> Peer {
        Peer(Kind::Unix)
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
            Kind::Unix => f.write_str("unix:"),
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
    fn there_is_room_for_credentials_and_for_a_box_in_32_bytes() {
        #[allow(dead_code, reason = "only its size counts")]
        enum Later {
            Tcp(SocketAddr),
            Unix { process: Option<i32>, user: u32, group: u32 },
            Proxied(Box<(SocketAddr, SocketAddr)>),
        }
        assert!(size_of::<Peer>() <= 32, "{} bytes", size_of::<Peer>());
        assert!(size_of::<Later>() <= 32, "{} bytes", size_of::<Later>());
        assert!(size_of::<Option<Peer>>() <= 32, "{} bytes", size_of::<Option<Peer>>());
    }
}
