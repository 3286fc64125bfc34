//! A stop while clients wait in the accept queue. A handler holds the only loop, so that the loop accepts no client
//! before the stop begins.
#![cfg(target_os = "linux")]

use std::time::Duration;

use softstop::{Request, Router, StopPolicy, report::ListenerEnd, route};

use crate::{
    sandbox::{self, Forbidden},
    support::{
        HUNG, begin_stop,
        client::{Client, get},
        gate::gate,
        in_background, local, patient, soon, start,
    },
};

/// The number of clients that wait on each of the two listeners.
const WAITING: usize = 20;

#[track_caller]
fn expect_all_rescued(policy: StopPolicy, end: ListenerEnd) {
    let (gate, held) = gate();
    let routes = Router::new()
        .get("/", route(|_: &Request| "served").inline())
        .get("/held", route(move |_: &Request| gate.pass()).inline());
    let (server, _) = start(local().listen("[::1]:0").loops(1).routes(routes));
    let addresses = server.socket_addrs();
    assert!(addresses[0].is_ipv4() && addresses[1].is_ipv6(), "{addresses:?}");
    let mut busy = Client::connect(addresses[0]);
    busy.send(get("/held"));
    held.wait_entered();
    let mut waiting: Vec<Client> =
        (0..WAITING).flat_map(|_| addresses.iter().map(|address| Client::connect(*address))).collect();
    waiting.iter_mut().for_each(|client| client.send(get("/")));
    let report = begin_stop(&server, policy);
    held.let_one_go();
    for client in &mut waiting {
        let response = client.read_response();
        assert_eq!((response.text(), response.says_close()), ("served", true));
        client.expect_end();
    }
    assert_eq!(busy.read_response().status, 204);
    drop((busy, waiting));
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.rescued, 2 * WAITING as u64, "{report}");
    assert_eq!(report.listener, Some(end), "{report}");
    assert_eq!(report.requests.completed, 2 * WAITING as u64 + 1, "{report}");
    for address in addresses {
        assert!(std::net::TcpStream::connect(address).is_err(), "the listener on {address} is closed");
    }
}

#[test]
fn whoever_waits_there_is_served() {
    expect_all_rescued(patient(), ListenerEnd::Refused);
    expect_all_rescued(patient().quiet(Duration::ZERO), ListenerEnd::Refused);
}

/// The crowd is larger than the number of connections that the loop accepts in one turn. The grace period is zero.
#[test]
fn whoever_waits_there_is_answered_without_any_grace_too() {
    const CROWD: usize = 280;
    let (gate, held) = gate();
    let routes = Router::new()
        .get("/", route(|_: &Request| "served").inline())
        .get("/held", route(move |_: &Request| gate.pass()).inline());
    let (server, address) = start(local().loops(1).routes(routes));
    let mut busy = Client::connect(address);
    busy.send(get("/held"));
    held.wait_entered();
    let mut waiting: Vec<Client> = (0..CROWD).map(|_| Client::connect(address)).collect();
    waiting.iter_mut().for_each(|client| client.send(get("/")));
    let report = begin_stop(&server, StopPolicy::now().cancel_grace(HUNG));
    held.let_one_go();
    for client in &mut waiting {
        assert_eq!(client.read_response().text(), "served");
    }
    drop((busy, waiting));
    let report = soon(&report);
    assert!(report.is_clean() && report.rescued == CROWD as u64, "{report}");
}

/// Some containers forbid system calls that their filter does not list. The server can then neither keep new clients
/// away nor ask for half-open handshakes. The clients in the accept queue are still served.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
#[test]
fn whoever_waits_there_is_served_though_the_kernel_forbids_the_filter() {
    soon(&in_background(|| {
        sandbox::enter(Forbidden::NetlinkFilterAndBinding);
        expect_all_rescued(patient(), ListenerEnd::Emptied);
    }));
}
