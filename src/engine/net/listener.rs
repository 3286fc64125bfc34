//! Listening sockets: how they are bound, or adopted if somebody else has bound them.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use mio::net::TcpListener;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::{
    address::{Meaning, resolve},
    given::GivenListener,
    holding::{Holder, Holding},
    inherited,
    socket::ListenSocket,
    unix_listener::{self, SocketFile},
};
use crate::listen_address::ListenAddress;

/// So many keep-alive probes without an answer end a connection.
const PROBES: u32 = 3;
/// The longest interval that Linux accepts: nine hours.
const LONGEST_PROBE: Duration = Duration::from_secs(32_767);

/// How often `bind` tries to find a port that is free on every address, for a listen address with port 0.
const PORT_TRIES: usize = 16;

/// A listening socket: before a run, in the loop that accepts, or kept between two runs.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: ListenSocket,
    pub(crate) address: ListenAddress,
    pub(crate) holding: Holding,
    /// The index of its listen address in the configuration.
    pub(crate) listen_index: usize,
    /// What accepted sockets do not inherit from it.
    pub(super) lacking: Lacking,
    /// The file of a Unix listener that is to be removed with the listener. Dropped after the socket.
    #[allow(dead_code, reason = "only its drop does something")]
    pub(super) file: Option<SocketFile>,
}

/// Options that the loop has to set on each accepted TCP socket, because the listener does not have them, or because the system
/// does not let sockets inherit them. On Linux they cost system calls only for listeners that others hold, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lacking {
    pub(super) no_delay: bool,
    /// That of [`ListenOptions`].
    pub(super) keep_alive_probe: Option<Duration>,
}

impl Listener {
    /// A listener that was bound elsewhere. If this process alone has it, its options are set. The options of a shared one are
    /// the others' affair.
    pub(crate) fn adopt(
        socket: ListenSocket,
        origin: Holder,
        listen_index: usize,
        options: ListenOptions,
    ) -> io::Result<Listener> {
        let address = socket.address()?;
        let lacking = if socket.is_unix() {
            Lacking::default()
        } else {
            let socket = SockRef::from(&socket);
            if origin == Holder::Alone {
                set_inherited(&socket, options.keep_alive_probe)?;
            }
            lacking(&socket, options.keep_alive_probe)?
        };
        Ok(Listener { socket, address, holding: Holding::new(origin), listen_index, lacking, file: None })
    }

    /// A further descriptor of the socket.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }
}

/// What all listeners of a server have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListenOptions {
    /// The length of the accept queue.
    pub(crate) backlog: i32,
    /// That of [`Timeouts`](crate::Timeouts).
    pub(crate) keep_alive_probe: Option<Duration>,
}

/// Listens on every address that `spec` means (see [`resolve`]) and that the machine has. Addresses that the machine does not
/// have are left out: a name may resolve to an address of another machine, and IPv6 may be switched off. All listeners have one
/// port, also if the system chooses it. A listener among `given` that listens on such an address already is used instead, and
/// taken out of `given`.
///
/// # Errors
///
/// If one of the addresses is in use or not allowed, or if the machine has none of them.
pub(crate) fn bind(
    spec: &str,
    listen_index: usize,
    options: ListenOptions,
    given: &mut Vec<GivenListener>,
) -> io::Result<Vec<Listener>> {
    let addresses = match resolve(spec)? {
        Meaning::Tcp(addresses) => addresses,
        Meaning::Inherited(wanted) => {
            // A process that has taken the place of another inherits nothing itself.
            let taken = GivenListener::take_group(given, spec, listen_index, options)?;
            return if taken.is_empty() {
                inherited::take(&wanted, listen_index, options)
            } else {
                Ok(taken)
            };
        }
        Meaning::Unix(socket) => {
            return unix_listener::bind(&socket, listen_index, options, given).map(|listener| vec![listener]);
        }
    };
    if addresses.iter().all(|address| address.port() == 0) {
        // The port was chosen when the listener was bound. All listeners of one listen address are taken, so that they have one port.
        let taken = GivenListener::take_group(given, spec, listen_index, options)?;
        if !taken.is_empty() {
            return Ok(taken);
        }
    }
    for _ in 1..PORT_TRIES {
        match bind_all(&addresses, listen_index, options, given) {
            // The port that the system chose for the first address is taken on the second.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && addresses[0].port() == 0 => {}
            outcome => return outcome,
        }
    }
    bind_all(&addresses, listen_index, options, given)
}

fn bind_all(
    addresses: &[SocketAddr],
    listen_index: usize,
    options: ListenOptions,
    given: &mut Vec<GivenListener>,
) -> io::Result<Vec<Listener>> {
    let mut listeners: Vec<Listener> = Vec::new();
    let mut absent = io::Error::new(io::ErrorKind::InvalidInput, "resolves to no address");
    for &address in addresses {
        let mut address = address;
        if let (0, Some(first)) = (address.port(), listeners.first()) {
            let port = first.address.socket_addr().map_or(0, |address| address.port());
            address.set_port(port);
        }
        if let Some(listener) = GivenListener::take(given, &address.into(), listen_index, options)? {
            listeners.push(listener);
            continue;
        }
        match bind_one(address, options.backlog) {
            Ok(socket) => {
                listeners.push(Listener::adopt(socket, Holder::Alone, listen_index, options)?);
            }
            Err(error) if is_absent(&error) => absent = error,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(match GivenListener::overlapping(given, &address) {
                    Some(held) => of_the_old_process(held),
                    None => error,
                });
            }
            Err(error) => return Err(error),
        }
    }
    if listeners.is_empty() { Err(absent) } else { Ok(listeners) }
}

fn of_the_old_process(held: &GivenListener) -> io::Error {
    let advice = format!(
        "the process that is to be replaced listens on {}, which excludes this address: stop that process, and start the new one, \
         or keep the address",
        held.address()
    );
    io::Error::new(io::ErrorKind::AddrInUse, advice)
}

/// Whether the machine does not have this address: EADDRNOTAVAIL, or EAFNOSUPPORT, for which `std` has no kind.
fn is_absent(error: &io::Error) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const EAFNOSUPPORT: i32 = 97;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const EAFNOSUPPORT: i32 = 47;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn bind_one(address: SocketAddr, backlog: i32) -> io::Result<ListenSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A server that starts again must not wait for its own connections in TIME-WAIT. With this option, Unix still refuses an
    // address that another socket listens on.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]:80` and `0.0.0.0:80` are two listeners, whatever the system's default says.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(ListenSocket::Tcp(TcpListener::from_std(socket.into())))
}

/// Sets the options of a listening TCP socket that accepted sockets inherit on Linux, which saves system calls for each.
fn set_inherited(listener: &SockRef<'_>, keep_alive_probe: Option<Duration>) -> io::Result<()> {
    // The loop writes whole responses at once, so Nagle's algorithm would only delay them.
    listener.set_tcp_nodelay(true)?;
    // TCP_USER_TIMEOUT is not set, because the kernel would also cut off clients that are alive but take nothing for a while.
    // `Timeouts` decides how long a client may do that.
    set_probes(listener, keep_alive_probe)
}

/// What accepted sockets do not inherit from this listener.
fn lacking(listener: &SockRef<'_>, keep_alive_probe: Option<Duration>) -> io::Result<Lacking> {
    let inherit = cfg!(any(target_os = "linux", target_os = "android"));
    let probes = keep_alive_probe.filter(|_| !inherit);
    let asked = keep_alive_probe.is_some() && !listener.keepalive()?;
    Ok(Lacking {
        no_delay: !inherit || !listener.tcp_nodelay()?,
        keep_alive_probe: if asked { keep_alive_probe } else { probes },
    })
}

pub(super) fn set_probes(socket: &SockRef<'_>, keep_alive_probe: Option<Duration>) -> io::Result<()> {
    match keep_alive_probe {
        Some(after) => socket.set_tcp_keepalive(&probes(after)),
        None => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::net::accept::{Accepted, accept};

    #[track_caller]
    fn listen(spec: &str) -> Listener {
        let mut listeners = bind_for(spec, None).unwrap();
        assert_eq!(listeners.len(), 1, "{spec}");
        listeners.remove(0)
    }

    fn bind_for(spec: &str, keep_alive_probe: Option<Duration>) -> io::Result<Vec<Listener>> {
        bind(spec, 0, ListenOptions { backlog: 16, keep_alive_probe }, &mut Vec::new())
    }

    fn connect(listener: &Listener) -> std::net::TcpStream {
        std::net::TcpStream::connect(listener.address.socket_addr().unwrap()).unwrap()
    }

    #[test]
    fn accepted_sockets_have_nodelay_on_both_families() {
        for spec in ["127.0.0.1:0", "[::1]:0"] {
            let listener = listen(spec);
            let _client = connect(&listener);
            match accept(&listener) {
                Accepted::Connection(stream, _) => assert!(SockRef::from(&stream).tcp_nodelay().unwrap()),
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
                let listener = bind_for(spec, setting).unwrap().remove(0);
                let _client = connect(&listener);
                let Accepted::Connection(stream, _) = accept(&listener) else {
                    panic!("{spec}: the accept queue is empty")
                };
                let socket = SockRef::from(&stream);
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
        let taken = first.address.to_string();
        assert_eq!(bind_for(&taken, None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(bind_for("no port", None).is_err());
    }

    #[test]
    fn both_families_have_the_port_that_the_system_chose() {
        for spec in ["localhost:0", ":0"] {
            let addresses: Vec<SocketAddr> = bind_for(spec, None)
                .unwrap()
                .iter()
                .map(|listener| listener.address.socket_addr().unwrap())
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
        let error = bind_for("192.0.2.1:0", None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn an_empty_queue_is_no_error() {
        assert!(matches!(accept(&listen("127.0.0.1:0")), Accepted::Empty));
    }

    #[test]
    fn a_listener_that_was_shut_down_from_outside_has_failed() {
        let listener = listen("127.0.0.1:0");
        SockRef::from(&listener.socket).shutdown(std::net::Shutdown::Read).unwrap();
        let outcome = accept(&listener);
        assert!(matches!(outcome, Accepted::Failed(_)), "{outcome:?}");
    }

    /// The old process listens on one interface and the new one wants all, or the other way round.
    #[test]
    fn an_address_that_a_given_listener_excludes_is_refused_with_advice() {
        for (old, new) in [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]")] {
            let held = listen(&format!("{old}:0"));
            let address = held.address.to_string();
            let port = held.address.socket_addr().unwrap().port();
            let given = GivenListener::new(0, address.clone(), held.duplicate().unwrap(), None).unwrap();
            let options = ListenOptions { backlog: 16, keep_alive_probe: None };
            let error = bind(&format!("{new}:{port}"), 0, options, &mut vec![given]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            assert!(error.to_string().contains(&format!("listens on {address}, which excludes")), "{error}");
        }
    }
}
