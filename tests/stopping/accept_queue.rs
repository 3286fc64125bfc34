//! A stop while clients wait in the accept queue. The only loop is held by a handler meanwhile, so that they wait there
//! for sure.
#![cfg(target_os = "linux")]

use std::time::Duration;

use softstop::{Request, Router, StopPolicy, inline};

use crate::support::{
    HUNG, begin_stop,
    client::{Client, get},
    gate::gate,
    in_background, local, patient, soon, start,
};

/// Who waits, on each of two listeners.
const WAITING: usize = 20;

#[track_caller]
fn expect_all_rescued(policy: StopPolicy) {
    let (gate, held) = gate();
    let routes = Router::new()
        .get("/", inline(|_: &Request| "served"))
        .get("/held", inline(move |_: &Request| gate.pass()));
    let (server, _) = start(local().listen("[::1]:0").loops(1).routes(routes));
    let addresses = server.addresses();
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
    assert_eq!(report.requests.completed, 2 * WAITING as u64 + 1, "{report}");
    for address in addresses {
        assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens on {address}");
    }
}

#[test]
fn whoever_waits_there_is_served() {
    expect_all_rescued(patient());
    expect_all_rescued(patient().quiet(Duration::ZERO));
}

/// More than the loop accepts in one turn, and the time for requests in flight is over at once.
#[test]
fn whoever_waits_there_is_answered_without_any_grace_too() {
    const CROWD: usize = 280;
    let (gate, held) = gate();
    let routes = Router::new()
        .get("/", inline(|_: &Request| "served"))
        .get("/held", inline(move |_: &Request| gate.pass()));
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

/// As in a container that forbids what it does not know: without the filter that keeps new handshakes away, and without
/// an answer to whether one is half open, what is in the queue is served all the same.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
#[test]
fn whoever_waits_there_is_served_though_the_kernel_forbids_the_filter() {
    soon(&in_background(|| {
        sandbox::enter();
        expect_all_rescued(patient());
    }));
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
mod sandbox {
    use std::net::TcpListener;

    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, apply_filter,
    };
    use socket2::{Domain, SockFilter, SockRef, Socket, Type};

    const EPERM: i32 = 1;
    /// Numbers of system calls: x86_64's are older than those that the others share.
    const SOCKET: i64 = if cfg!(target_arch = "x86_64") { 41 } else { 198 };
    const SETSOCKOPT: i64 = if cfg!(target_arch = "x86_64") { 54 } else { 208 };
    const AF_NETLINK: i32 = 16;
    const SOL_SOCKET: i32 = 1;
    const SO_ATTACH_FILTER: i32 = 26;

    /// From now on this thread, and those that it makes, may neither attach a filter to a socket nor ask the kernel about
    /// others.
    pub(super) fn enter() {
        let argument = |number, value: i32| {
            SeccompCondition::new(number, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value as u64).unwrap()
        };
        let rule = |arguments| vec![SeccompRule::new(arguments).unwrap()];
        let refused = [
            (SOCKET, rule(vec![argument(0, AF_NETLINK)])),
            (SETSOCKOPT, rule(vec![argument(1, SOL_SOCKET), argument(2, SO_ATTACH_FILTER)])),
        ];
        let filter = SeccompFilter::new(
            refused.into_iter().collect(),
            SeccompAction::Allow,
            SeccompAction::Errno(EPERM as u32),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let program: BpfProgram = filter.unwrap().try_into().unwrap();
        apply_filter(&program).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pass = SockFilter::new(0x06, 0, 0, u32::MAX);
        let refused = SockRef::from(&listener).attach_filter(&[pass]).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(EPERM));
        let refused = Socket::new(Domain::from(AF_NETLINK), Type::RAW, None).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(EPERM));
    }
}
