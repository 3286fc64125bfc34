//! Stops while handshakes are half open: the server has received the SYN, and the client has not received the SYN-ACK.
//! Each client has a filter that drops all packets to it until the test removes the filter. Current kernels require
//! CAP_NET_ADMIN to attach such a filter.
#![cfg(target_os = "linux")]

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpStream},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use socket2::{Domain, SockFilter, Socket, Type};
use softstop::{
    Request, Router, Server, StopPolicy,
    report::{ListenerEnd, StopReport},
    route,
};

use crate::{
    sandbox::{self, Forbidden},
    support::{
        HUNG, NOISE, begin_stop,
        client::{Client, get},
        in_background, local, patient, soon, start,
    },
};

/// The number of clients of each listener.
const CLIENTS: usize = 15;

/// A client that has sent its SYN and receives nothing.
pub(crate) struct HalfOpen {
    socket: Socket,
    address: SocketAddr,
}

impl HalfOpen {
    pub(crate) fn begin(address: SocketAddr) -> HalfOpen {
        const RETURN: u16 = 0x06;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)]).unwrap();
        socket.set_nonblocking(true).unwrap();
        let error = socket.connect(&address.into()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(115), "EINPROGRESS: {error}");
        HalfOpen { socket, address }
    }

    /// Removes the filter, so that the client receives the next retransmission of the SYN-ACK.
    pub(crate) fn hear(&self) {
        self.socket.detach_filter().unwrap();
    }

    /// Waits for the end of the handshake.
    pub(crate) fn finish(self) -> io::Result<Client> {
        self.socket.set_nonblocking(false)?;
        self.socket.set_write_timeout(Some(HUNG))?;
        self.socket.connect(&self.address.into())?;
        Ok(Client::from(TcpStream::from(self.socket)))
    }
}

/// A server with one listener of each address family. No client has ever connected to either listener.
fn idle_server() -> (Server, Vec<SocketAddr>) {
    let routes = Router::new().get("/", route(|_: &Request| "served").inline());
    let (server, _) = start(local().listen("[::1]:0").loops(1).routes(routes));
    let addresses = server.socket_addrs();
    (server, addresses)
}

/// A policy that gives every client time to send a request.
fn patient_with_quiet() -> StopPolicy {
    patient().quiet(HUNG)
}

#[track_caller]
fn expect_served(half_open: Vec<HalfOpen>) {
    half_open.iter().for_each(HalfOpen::hear);
    let mut clients: Vec<Client> = half_open.into_iter().map(|client| client.finish().unwrap()).collect();
    clients.iter_mut().for_each(|client| client.send(get("/")));
    for client in &mut clients {
        assert_eq!(client.read_response().text(), "served");
    }
}

#[track_caller]
fn begin_all(addresses: &[SocketAddr]) -> Vec<HalfOpen> {
    (0..CLIENTS).flat_map(|_| addresses.iter().map(|address| HalfOpen::begin(*address))).collect()
}

#[test]
fn half_open_clients_of_an_idle_server_are_served_and_new_ones_refused_at_once() {
    let (server, addresses) = idle_server();
    let half_open = begin_all(&addresses);
    // A message says that all listeners refuse new clients.
    let (closing, has_begun) = channel();
    let report = begin_stop(&server, patient_with_quiet());
    // A plain close would refuse these clients too, but it would also reset the half-open clients. `expect_served`
    // below detects such a reset.
    thread::spawn(move || {
        for address in addresses {
            crate::support::until("new clients are refused", || {
                match TcpStream::connect_timeout(&address, HUNG) {
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "neither dropped nor reset");
                        true
                    }
                    Ok(_) => false,
                }
            });
        }
        closing.send(()).unwrap();
    });
    soon(&has_begun);
    assert!(report.try_recv().is_err(), "half-open handshakes are waited for");
    expect_served(half_open);
    let report = soon(&report);
    assert!(report.is_clean() && report.rescued >= 2 * CLIENTS as u64, "{report}");
    assert_eq!(report.listener, Some(ListenerEnd::Refused), "{report}");
}

/// The kernel repeats the SYN-ACK after one second and after three seconds. A client that lost the first repetition
/// needs the second one.
#[test]
fn a_half_open_client_is_waited_for_to_the_second_repetition() {
    let (server, addresses) = idle_server();
    Client::connect(addresses[0]).get("/");
    let half_open = begin_all(&addresses);
    // The sleep outlasts the first repetition, because the test needs handshakes of this age.
    thread::sleep(Duration::from_millis(1200));
    let report = begin_stop(&server, patient_with_quiet());
    expect_served(half_open);
    assert_eq!(soon(&report).rescued, 2 * CLIENTS as u64);
}

#[test]
fn a_half_open_client_that_never_answers_does_not_hold_a_stop_for_long() {
    let (server, addresses) = idle_server();
    let half_open = begin_all(&addresses);
    let report = soon(&begin_stop(&server, patient_with_quiet()));
    assert!(report.duration() < Duration::from_secs(4) + NOISE, "{report}");
    assert!(report.is_clean() && report.rescued == 0, "{report}");
    half_open.iter().for_each(HalfOpen::hear);
}

/// Starts a server on a thread for which the kernel forbids some calls, runs `body` with the server's addresses, and
/// then stops the server.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
fn in_a_sandbox(forbidden: Forbidden, body: impl FnOnce(&[SocketAddr]) -> Vec<HalfOpen>) -> StopReport {
    let (address_sender, addresses) = channel();
    let (stop, stop_receiver): (_, Receiver<()>) = channel();
    let (stopped_sender, stopped) = channel();
    let report = in_background(move || {
        sandbox::enter(forbidden);
        let (server, addresses) = idle_server();
        address_sender.send(addresses).unwrap();
        soon(&stop_receiver);
        let report = begin_stop(&server, patient_with_quiet());
        stopped_sender.send(()).unwrap();
        soon(&report)
    });
    let half_open = body(&soon(&addresses));
    stop.send(()).unwrap();
    soon(&stopped);
    expect_served(half_open);
    soon(&report)
}

/// The kernel does not say whether a handshake is half open, so the listener waits long enough for one repetition.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
#[test]
fn half_open_clients_are_served_though_the_kernel_forbids_the_look() {
    let report = in_a_sandbox(Forbidden::Netlink, begin_all);
    assert!(report.is_clean() && report.rescued == 2 * CLIENTS as u64, "{report}");
    assert_eq!(report.listener, Some(ListenerEnd::Refused), "{report}");
}

/// Without a filter the server cannot save half-open handshakes. The report says that clients may have been reset.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
#[test]
fn a_listener_that_cannot_refuse_says_that_it_may_have_lost_somebody() {
    let report = in_a_sandbox(Forbidden::NetlinkFilterAndBinding, |_| Vec::new());
    assert_eq!(report.listener, Some(ListenerEnd::Emptied), "{report}");
    assert!(report.to_string().contains("may have been reset"), "{report}");
}
