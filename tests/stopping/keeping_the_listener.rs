//! A stop may keep the sockets listening. Clients that connect before the next start wait in the accept queue.

use std::{
    io::Read,
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use softstop::{Request, Router, report::ListenerEnd, route};

use crate::support::{
    HUNG, begin_stop,
    client::{Client, get},
    gate::gate,
    local, patient, serve, soon, start,
};

fn routes() -> Router {
    Router::new().get("/pool", |_: &Request| "pool").get("/inline", route(|_: &Request| "inline").inline())
}

#[test]
fn who_connects_between_stop_and_start_is_served() {
    let (server, address) = serve(routes());
    for target in ["/pool", "/inline"] {
        let mut kept = Client::connect(address);
        assert_eq!(kept.get(target).text(), &target[1..]);
        let report = server.stop(patient().keep_listener().quiet(std::time::Duration::ZERO));
        assert!(report.is_clean() && report.requests.completed >= 1, "{report}");
        assert_eq!(report.listener, Some(ListenerEnd::Kept), "{report}");
        kept.expect_end();
        assert_eq!(server.socket_addrs(), [address], "the socket is still listening");
        let mut waiting: Vec<Client> = (0..8).map(|_| Client::connect(address)).collect();
        waiting.iter_mut().for_each(|client| client.send(get(target)));
        server.start().unwrap();
        assert_eq!(server.socket_addrs(), [address], "the very same socket");
        for client in &mut waiting {
            assert_eq!(client.read_response().text(), &target[1..]);
        }
    }
}

/// Requests in flight finish, although the listener stays open.
#[test]
fn it_drains_what_there_is() {
    let (gate, held) = gate();
    let (server, address) = serve(Router::new().get("/", move |_: &Request| gate.pass()));
    let mut busy = Client::connect(address);
    busy.send(get("/"));
    held.wait_entered();
    let report = begin_stop(&server, patient().keep_listener());
    let mut quiet = Client::connect(address);
    quiet.send(get("/"));
    assert!(report.try_recv().is_err());
    held.let_one_go();
    let answer = busy.read_response();
    assert_eq!((answer.status, answer.says_close()), (204, true));
    drop(busy);
    assert_eq!(soon(&report).requests.completed, 1, "a later client waits for the next start");
    assert!(held.nobody_entered());
    server.start().unwrap();
    held.wait_entered();
    held.let_one_go();
    assert_eq!(quiet.read_response().status, 204);
}

#[test]
fn a_further_stop_that_does_not_keep_it_serves_who_waits_and_closes_it() {
    let (gate, held) = gate();
    let (server, address) =
        start(local().loops(1).routes(routes().get("/held", move |_: &Request| gate.pass())));
    let mut busy = Client::connect(address);
    busy.send(get("/held"));
    held.wait_entered();
    let mut idle = Client::connect(address);
    assert_eq!(idle.get("/inline").text(), "inline");
    let report = begin_stop(&server, patient().keep_listener());
    // The loop deals with the listener before it closes connections.
    idle.expect_end();
    let mut waiting = Client::connect(address);
    waiting.send(get("/pool"));
    server.handle().request_stop(patient());
    assert_eq!(waiting.read_response().text(), "pool");
    drop(waiting);
    held.let_one_go();
    assert_eq!(busy.read_response().status, 204);
    drop(busy);
    let report = soon(&report);
    assert!(report.is_clean() && report.requests.completed == 3, "{report}");
    assert_eq!(report.rescued, 1, "{report}");
    assert!(server.socket_addrs().is_empty());
    assert!(TcpStream::connect(address).is_err(), "the listener is closed");
}

#[test]
fn without_a_next_start_those_who_wait_are_let_go() {
    let (server, address) = serve(routes());
    let handle = server.handle();
    server.stop(patient().keep_listener());
    let mut waiting = TcpStream::connect(address).unwrap();
    drop(server);
    assert!(handle.socket_addrs().is_empty());
    waiting.set_read_timeout(Some(HUNG)).unwrap();
    assert!(matches!(waiting.read(&mut [0]), Ok(0) | Err(_)));
    assert!(TcpStream::connect(address).is_err(), "the listener is closed");
}

#[test]
fn a_server_that_keeps_its_listener_can_be_stopped_for_good_later() {
    let (server, address) = serve(routes());
    server.stop(patient().keep_listener());
    server.start().unwrap();
    assert!(server.stop(patient()).is_clean());
    assert!(TcpStream::connect(address).is_err(), "the last stop closed the listener");
    let next = server.start();
    assert!(next.is_ok(), "a start binds anew: {next:?}");
}

#[test]
fn two_hundred_restarts_under_load_lose_and_refuse_nobody() {
    const ROUNDS: usize = 200;
    let (server, address) = serve(routes());
    let (over, served) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut completed = 0;
    thread::scope(|scope| {
        let churn = |target: &'static str, kept: bool| {
            while !over.load(Ordering::Relaxed) {
                let mut client = Client::connect(address);
                loop {
                    let response = client.get(target);
                    assert_eq!((response.status, response.text()), (200, &target[1..]));
                    served.fetch_add(1, Ordering::Relaxed);
                    if !kept || response.says_close() || over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            }
        };
        for number in 0..8 {
            let target = if number % 2 == 0 { "/pool" } else { "/inline" };
            scope.spawn(move || churn(target, number % 4 < 2));
        }
        for round in 0..ROUNDS {
            // Each run must serve some requests, so that its stop has something to do.
            let before = served.load(Ordering::Relaxed);
            crate::support::until("some requests are served", || served.load(Ordering::Relaxed) > before + 8);
            // The quiet period is longer than a client's thread may have to wait for a processor.
            let report = server.stop(patient().keep_listener().quiet(HUNG));
            assert!(report.is_clean(), "round {round}: {report}");
            completed += report.requests.completed;
            server.start().unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
    completed += server.stop(patient()).requests.completed;
    assert_eq!(completed, served.into_inner(), "the clients received exactly the completed responses");
}

#[test]
fn a_stop_of_a_stopped_server_that_does_not_keep_it_closes_it() {
    for by_handle in [false, true] {
        let (server, address) = serve(routes());
        server.stop(patient().keep_listener());
        assert_eq!(server.socket_addrs(), [address]);
        if by_handle {
            server.handle().request_stop(patient());
        } else {
            assert!(!server.stop(patient()).was_running());
        }
        assert!(TcpStream::connect(address).is_err(), "the listener is closed");
        assert!(server.socket_addrs().is_empty());
    }
}

/// Without a quiet period, the loop still reads from a fresh connection before the loop closes it.
#[test]
fn who_waits_is_served_even_without_a_quiet_period() {
    let (gate, held) = gate();
    let (server, address) =
        start(local().loops(1).routes(routes().get("/held", move |_: &Request| gate.pass())));
    let mut busy = Client::connect(address);
    busy.send(get("/held"));
    held.wait_entered();
    let mut idle = Client::connect(address);
    assert_eq!(idle.get("/inline").text(), "inline");
    let report = begin_stop(&server, patient().keep_listener().quiet(std::time::Duration::ZERO));
    idle.expect_end();
    let mut waiting = Client::connect(address);
    waiting.send(get("/pool"));
    server.handle().request_stop(patient());
    assert_eq!(waiting.read_response().text(), "pool");
    held.let_one_go();
    drop((waiting, busy, idle));
    assert_eq!(soon(&report).rescued, 1);
}
