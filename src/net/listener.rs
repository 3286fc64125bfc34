//! Listening sockets: set-up through `socket2`, and accepting that no error can end or spin.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
};

use mio::net::{TcpListener, TcpStream};
#[cfg(target_vendor = "apple")]
use socket2::SockRef;
use socket2::{Domain, Protocol, Socket, Type};

/// Binds the first address that `spec` (`host:port`) resolves to and that can be had, and listens on it.
pub(crate) fn bind(spec: &str, backlog: i32) -> io::Result<std::net::TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "resolves to no address");
    for address in spec.to_socket_addrs()? {
        match bind_one(address, backlog) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_one(address: SocketAddr, backlog: i32) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A server that starts again must not wait for its own connections in TIME-WAIT. On Unix this still refuses an
    // address that somebody listens on; on Windows it would not.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]:80` and `0.0.0.0:80` are two listeners, whatever the system's default says.
        socket.set_only_v6(true)?;
    }
    // Whole responses are written at once; waiting to fill a segment would only delay them. On Linux accepted sockets
    // inherit this, which saves a system call for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// What one try to accept came to.
#[derive(Debug)]
pub(crate) enum Accepted {
    Connection(TcpStream, SocketAddr),
    /// Nobody waits.
    Empty,
    /// That connection is gone, or could not be had; the next one may be fine.
    Lost(io::Error),
    /// Descriptors or memory have run out: trying again at once would spin.
    Exhausted(io::Error),
}

/// Takes one connection from the accept queue.
pub(crate) fn accept(listener: &TcpListener) -> Accepted {
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                #[cfg(not(target_os = "linux"))]
                if let Err(error) = stream.set_nodelay(true) {
                    // The peer reset it while it waited in the queue.
                    return Accepted::Lost(error);
                }
                // Elsewhere each write says that it wants no SIGPIPE: see `socket_writer`.
                #[cfg(target_vendor = "apple")]
                if let Err(error) = SockRef::from(&stream).set_nosigpipe(true) {
                    return Accepted::Lost(error);
                }
                return Accepted::Connection(stream, peer);
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Accepted::Empty,
                io::ErrorKind::Interrupted => {}
                _ if is_exhaustion(&error) => return Accepted::Exhausted(error),
                // ECONNABORTED and the network errors that accept(2) says Linux hands through: that connection's own.
                _ => return Accepted::Lost(error),
            },
        }
    }
}

/// EMFILE, ENFILE, ENOBUFS, ENOMEM: `std` has a kind for the last of them only.
fn is_exhaustion(error: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const ENOBUFS: i32 = 105;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const ENOBUFS: i32 = 55;
    matches!(error.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE | ENOBUFS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_sockets_have_nodelay_on_both_families() {
        for spec in ["127.0.0.1:0", "[::1]:0"] {
            let listener = bind(spec, 16).unwrap();
            let address = listener.local_addr().unwrap();
            let _client = std::net::TcpStream::connect(address).unwrap();
            match accept(&TcpListener::from_std(listener)) {
                Accepted::Connection(stream, _) => assert!(stream.nodelay().unwrap()),
                other => panic!("{spec}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_address_in_use_is_refused_and_nonsense_too() {
        let first = bind("127.0.0.1:0", 16).unwrap();
        let taken = first.local_addr().unwrap().to_string();
        assert_eq!(bind(&taken, 16).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(bind("no port", 16).is_err());
    }

    #[test]
    fn an_empty_queue_is_no_error() {
        let listener = bind("127.0.0.1:0", 16).unwrap();
        assert!(matches!(accept(&TcpListener::from_std(listener)), Accepted::Empty));
    }
}
