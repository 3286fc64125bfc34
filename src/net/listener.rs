//! Listening sockets: set-up through `socket2`, and accepting that no error can end or spin.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    time::Duration,
};

use mio::net::{TcpListener, TcpStream};
#[cfg(target_vendor = "apple")]
use socket2::SockRef;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

/// Keep-alive probes without an answer that end a connection.
const PROBES: u32 = 3;
/// The longest interval that Linux takes: nine hours.
const LONGEST_PROBE: Duration = Duration::from_secs(32_767);

/// Binds the first address that `spec` (`host:port`) resolves to and that can be had, and listens on it. `keep_alive_probe`
/// is that of [`Timeouts`](crate::Timeouts).
pub(crate) fn bind(
    spec: &str,
    backlog: i32,
    keep_alive_probe: Option<Duration>,
) -> io::Result<std::net::TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "resolves to no address");
    for address in spec.to_socket_addrs()? {
        match bind_one(address, backlog, keep_alive_probe) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_one(
    address: SocketAddr,
    backlog: i32,
    keep_alive_probe: Option<Duration>,
) -> io::Result<std::net::TcpListener> {
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
    // Inherited likewise. TCP_USER_TIMEOUT is not set with it: that would also cut clients that are there, but take nothing for
    // a while, and how long they may do that is not the kernel's to say.
    if let Some(after) = keep_alive_probe {
        socket.set_tcp_keepalive(&probes(after))?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Keep-alive probes after so long a silence, and at a quarter of that if they are not answered.
fn probes(after: Duration) -> TcpKeepalive {
    let [time, interval] = [after, after / 4].map(|time| time.clamp(Duration::from_secs(1), LONGEST_PROBE));
    let probes = TcpKeepalive::new().with_time(time);
    // Elsewhere the system has its own interval and number.
    #[cfg(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "dragonfly",
        target_vendor = "apple",
    ))]
    let probes = probes.with_interval(interval).with_retries(PROBES);
    probes
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
            let listener = bind(spec, 16, None).unwrap();
            let address = listener.local_addr().unwrap();
            let _client = std::net::TcpStream::connect(address).unwrap();
            match accept(&TcpListener::from_std(listener)) {
                Accepted::Connection(stream, _) => assert!(stream.nodelay().unwrap()),
                other => panic!("{spec}: {other:?}"),
            }
        }
    }

    /// On Linux they inherit it, without a system call for each.
    #[test]
    #[cfg(target_os = "linux")]
    fn accepted_sockets_have_keep_alive_probes_unless_they_are_turned_off() {
        let seconds = Duration::from_secs;
        let rows = [
            (Some(seconds(60)), Some((seconds(60), seconds(15)))),
            (Some(Duration::from_millis(1)), Some((seconds(1), seconds(1)))),
            (Some(Duration::MAX), Some((LONGEST_PROBE, LONGEST_PROBE))),
            (None, None),
        ];
        for spec in ["127.0.0.1:0", "[::1]:0"] {
            for (setting, expected) in rows {
                let listener = bind(spec, 16, setting).unwrap();
                let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let Accepted::Connection(stream, _) = accept(&TcpListener::from_std(listener)) else {
                    panic!("{spec}: nobody waits")
                };
                let socket = socket2::SockRef::from(&stream);
                assert_eq!(socket.keepalive().unwrap(), expected.is_some(), "{setting:?}");
                if let Some((time, interval)) = expected {
                    let set =
                        (socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap());
                    assert_eq!(set, (time, interval), "{setting:?}");
                    assert_eq!(socket.tcp_keepalive_retries().unwrap(), PROBES);
                }
            }
        }
    }

    #[test]
    fn an_address_in_use_is_refused_and_nonsense_too() {
        let first = bind("127.0.0.1:0", 16, None).unwrap();
        let taken = first.local_addr().unwrap().to_string();
        assert_eq!(bind(&taken, 16, None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(bind("no port", 16, None).is_err());
    }

    #[test]
    fn an_empty_queue_is_no_error() {
        let listener = bind("127.0.0.1:0", 16, None).unwrap();
        assert!(matches!(accept(&TcpListener::from_std(listener)), Accepted::Empty));
    }
}
