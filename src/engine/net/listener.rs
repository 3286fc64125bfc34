//! Listening sockets: how they are set up, which processes hold them, and accept(2) with its errors sorted by what follows.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdTcpListener},
    time::Duration,
};

use mio::net::{TcpListener, TcpStream};
#[cfg(target_vendor = "apple")]
use socket2::SockRef;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::address::resolve;

/// So many keep-alive probes without an answer end a connection.
const PROBES: u32 = 3;
/// The longest interval that Linux accepts: nine hours.
const LONGEST_PROBE: Duration = Duration::from_secs(32_767);

/// How often `bind` tries to find a port that is free on every address, for a listen address with port 0.
const PORT_TRIES: usize = 16;

/// A listening socket between two runs, or before the first one.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: StdTcpListener,
    pub(crate) holder: Holder,
    /// The index of its listen address in the configuration.
    pub(crate) listen_index: usize,
}

/// Which processes hold a listening socket. A stop must not change a listener that other processes hold, too: a binding or a
/// filter belongs to the socket, not to the descriptor. It would outlive this process, and the other processes would get no new
/// client any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// This process alone, because it has bound the socket. A stop refuses new clients, empties the accept queue and closes the listener.
    Alone,
    /// Other processes, too, because the listener was inherited or handed over. A stop leaves the listener as it is.
    #[cfg_attr(not(test), allow(dead_code, reason = "for listeners that come from elsewhere"))]
    Shared,
}

impl Listener {
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Listens on every address that `spec` means (see [`resolve`]) and that the machine has. Addresses that the machine does not
/// have are left out: a name may resolve to an address of another machine, and IPv6 may be switched off. All listeners have one
/// port, also if the system chooses it. `keep_alive_probe` is that of [`Timeouts`](crate::Timeouts).
///
/// # Errors
///
/// If one of the addresses is in use or not allowed, or if the machine has none of them.
pub(crate) fn bind(
    spec: &str,
    listen_index: usize,
    backlog: i32,
    keep_alive_probe: Option<Duration>,
) -> io::Result<Vec<Listener>> {
    let addresses = resolve(spec)?;
    for _ in 1..PORT_TRIES {
        match bind_all(&addresses, listen_index, backlog, keep_alive_probe) {
            // The port that the system chose for the first address is taken on the second.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && addresses[0].port() == 0 => {}
            outcome => return outcome,
        }
    }
    bind_all(&addresses, listen_index, backlog, keep_alive_probe)
}

fn bind_all(
    addresses: &[SocketAddr],
    listen_index: usize,
    backlog: i32,
    keep_alive_probe: Option<Duration>,
) -> io::Result<Vec<Listener>> {
    let mut listeners: Vec<Listener> = Vec::new();
    let mut absent = io::Error::new(io::ErrorKind::InvalidInput, "resolves to no address");
    for &address in addresses {
        let mut address = address;
        if let (0, Some(first)) = (address.port(), listeners.first()) {
            address.set_port(first.local_addr()?.port());
        }
        match bind_one(address, backlog, keep_alive_probe) {
            Ok(socket) => listeners.push(Listener { socket, holder: Holder::Alone, listen_index }),
            Err(error) if is_absent(&error) => absent = error,
            Err(error) => return Err(error),
        }
    }
    if listeners.is_empty() { Err(absent) } else { Ok(listeners) }
}

/// Whether the machine does not have this address: EADDRNOTAVAIL, or EAFNOSUPPORT, for which `std` has no kind.
fn is_absent(error: &io::Error) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const EAFNOSUPPORT: i32 = 97;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const EAFNOSUPPORT: i32 = 47;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn bind_one(
    address: SocketAddr,
    backlog: i32,
    keep_alive_probe: Option<Duration>,
) -> io::Result<StdTcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A server that starts again must not wait for its own connections in TIME-WAIT. With this option, Unix still refuses an
    // address that another socket listens on; Windows would not.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]:80` and `0.0.0.0:80` are two listeners, whatever the system's default says.
        socket.set_only_v6(true)?;
    }
    // The loop writes whole responses at once, so Nagle's algorithm would only delay them. On Linux accepted sockets inherit the
    // option, which saves a system call for each.
    socket.set_tcp_nodelay(true)?;
    // Inherited likewise. TCP_USER_TIMEOUT is not set, because the kernel would also cut off clients that are alive but take
    // nothing for a while. `Timeouts` decides how long a client may do that.
    if let Some(after) = keep_alive_probe {
        socket.set_tcp_keepalive(&probes(after))?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Keep-alive probes begin after this much silence. Unanswered probes are repeated after a quarter of the time.
fn probes(after: Duration) -> TcpKeepalive {
    let [time, interval] = [after, after / 4].map(|time| time.clamp(Duration::from_secs(1), LONGEST_PROBE));
    let probes = TcpKeepalive::new().with_time(time);
    // Other systems have their own interval and number.
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

/// The outcome of one call of accept(2).
#[derive(Debug)]
pub(crate) enum Accepted {
    Connection(TcpStream, SocketAddr),
    /// The accept queue is empty.
    Empty,
    /// The connection failed before it was accepted. The next one may be fine.
    Lost(io::Error),
    /// Descriptors or memory have run out, or another obstacle is there that may pass. To try again at once would spin.
    Paused(io::Error),
    /// The listener does not listen any more. Every further call would fail in the same way.
    Failed(io::Error),
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
                // On other systems each write says that no SIGPIPE is wanted: see `socket_writer`.
                #[cfg(target_vendor = "apple")]
                if let Err(error) = SockRef::from(&stream).set_nosigpipe(true) {
                    return Accepted::Lost(error);
                }
                return Accepted::Connection(stream, peer);
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Accepted::Empty,
                io::ErrorKind::Interrupted => {}
                _ if errors::LOST.contains(&error.raw_os_error().unwrap_or(0)) => {
                    return Accepted::Lost(error);
                }
                _ if errors::FAILED.contains(&error.raw_os_error().unwrap_or(0)) => {
                    return Accepted::Failed(error);
                }
                // EMFILE, ENFILE, ENOBUFS, ENOMEM; EPERM or ENOSYS where the call is forbidden; and errors that no kernel
                // returns yet. No error may make the loop spin.
                _ => return Accepted::Paused(error),
            },
        }
    }
}

/// Errors of accept(2), sorted by what follows. `std` has kinds for few of them.
mod errors {
    /// EBADF, EINVAL: the same numbers on all systems. EINVAL comes from a listener that was shut down or destroyed.
    const EBADF: i32 = 9;
    const EINVAL: i32 = 22;

    #[cfg(any(target_os = "linux", target_os = "android"))]
    mod numbers {
        /// EPROTO, ENOPROTOOPT, ENETDOWN, ENETUNREACH, ECONNABORTED, ECONNRESET, ETIMEDOUT, EHOSTDOWN, EHOSTUNREACH, ENONET:
        /// accept(2) returns the pending error of a new connection.
        pub(in super::super) const LOST: [i32; 10] = [71, 92, 100, 101, 103, 104, 110, 112, 113, 64];
        pub(super) const ENOTSOCK: i32 = 88;
        pub(super) const EOPNOTSUPP: i32 = 95;
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    mod numbers {
        /// ECONNABORTED, ECONNRESET, ETIMEDOUT.
        pub(in super::super) const LOST: [i32; 3] = [53, 54, 60];
        pub(super) const ENOTSOCK: i32 = 38;
        pub(super) const EOPNOTSUPP: i32 = if cfg!(target_vendor = "apple") { 102 } else { 45 };
    }

    pub(super) use numbers::LOST;
    /// accept(2) lists EOPNOTSUPP among the network errors, too. Linux returns it for a socket that cannot accept.
    pub(super) const FAILED: [i32; 4] = [EBADF, EINVAL, numbers::ENOTSOCK, numbers::EOPNOTSUPP];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn listen(spec: &str) -> TcpListener {
        let mut listeners = bind(spec, 0, 16, None).unwrap();
        assert_eq!(listeners.len(), 1, "{spec}");
        TcpListener::from_std(listeners.remove(0).socket)
    }

    #[test]
    fn accepted_sockets_have_nodelay_on_both_families() {
        for spec in ["127.0.0.1:0", "[::1]:0"] {
            let listener = listen(spec);
            let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            match accept(&listener) {
                Accepted::Connection(stream, _) => assert!(stream.nodelay().unwrap()),
                other => panic!("{spec}: {other:?}"),
            }
        }
    }

    /// On Linux accepted sockets inherit the option from the listener.
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
                let listener = TcpListener::from_std(bind(spec, 0, 16, setting).unwrap().remove(0).socket);
                let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let Accepted::Connection(stream, _) = accept(&listener) else {
                    panic!("{spec}: the accept queue is empty")
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
        let first = listen("127.0.0.1:0");
        let taken = first.local_addr().unwrap().to_string();
        assert_eq!(bind(&taken, 0, 16, None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(bind("no port", 0, 16, None).is_err());
    }

    #[test]
    fn both_families_have_the_port_that_the_system_chose() {
        for spec in ["localhost:0", ":0"] {
            let addresses: Vec<SocketAddr> = bind(spec, 0, 16, None)
                .unwrap()
                .iter()
                .map(|listener| listener.local_addr().unwrap())
                .collect();
            let [v4, v6] = addresses[..] else { panic!("{spec}: {addresses:?}") };
            assert!(
                v4.is_ipv4() && v6.is_ipv6() && v4.port() == v6.port() && v4.port() != 0,
                "{addresses:?}"
            );
        }
    }

    #[test]
    fn an_address_of_another_machine_is_an_error() {
        let error = bind("192.0.2.1:0", 0, 16, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn an_empty_queue_is_no_error() {
        assert!(matches!(accept(&listen("127.0.0.1:0")), Accepted::Empty));
    }

    #[test]
    fn a_listener_that_was_shut_down_from_outside_has_failed() {
        let listener = bind("127.0.0.1:0", 0, 16, None).unwrap().remove(0).socket;
        socket2::SockRef::from(&listener.try_clone().unwrap()).shutdown(std::net::Shutdown::Read).unwrap();
        let outcome = accept(&TcpListener::from_std(listener));
        assert!(matches!(outcome, Accepted::Failed(_)), "{outcome:?}");
    }
}
