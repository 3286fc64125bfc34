//! Requests that were on their way when the stop began.

use std::{thread, time::Duration};

use softstop::{Request, Router, report::CloseReason, route};

use crate::support::{
    HUNG, begin_stop,
    client::{Client, get},
    gate::gate,
    local, patient, serve, soon, transport,
};

#[test]
fn a_young_connection_may_send_one_more_request() {
    let tell = |request: &Request| request.path().to_owned();
    for target in ["/pool", "/inline"] {
        let (server, address) = serve(Router::new().get("/pool", tell).get("/inline", route(tell).inline()));
        let mut kept = Client::connect(address);
        let mut fresh = Client::connect(address);
        assert_eq!(kept.get(target).text(), target);
        // The quiet period is as long as a hang. The requests end the quiet period early.
        let report = begin_stop(&server, patient().quiet(HUNG));
        for client in [&mut kept, &mut fresh] {
            let last = client.get(target);
            assert_eq!((last.text(), last.says_close()), (target, true));
            client.expect_end();
        }
        drop((kept, fresh));
        let report = soon(&report);
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.requests.completed, 3);
        assert!(report.duration() < HUNG, "the stop did not wait for the end of the quiet period: {report}");
    }
}

#[test]
fn a_young_connection_that_says_nothing_is_closed_when_its_time_is_over() {
    let (server, address) = serve(Router::new().get("/", |_: &Request| "served"));
    let mut kept = Client::connect(address);
    let mut fresh = Client::connect(address);
    assert_eq!(kept.get("/").text(), "served");
    let report = begin_stop(&server, patient().quiet(Duration::from_millis(20)));
    kept.expect_end();
    fresh.expect_end();
    assert!(soon(&report).is_clean());
}

/// A stop waits for a client according to the client's usual pause, and not for the whole quiet period.
#[test]
fn a_client_that_has_been_quick_is_given_less_time_than_one_that_is_not_known_yet() {
    // The first request follows no response, so this number of requests has one pause fewer.
    const KNOWN: usize = 9;
    let tell = |request: &Request| request.path().to_owned();
    for target in ["/pool", "/inline"] {
        let (server, address) = serve(Router::new().get("/pool", tell).get("/inline", route(tell).inline()));
        let [mut quick, mut unknown, mut pipelining] = [(); 3].map(|()| Client::connect(address));
        (0..KNOWN).for_each(|_| assert_eq!(quick.get(target).text(), target));
        (1..KNOWN).for_each(|_| assert_eq!(unknown.get(target).text(), target));
        // Pipelined requests have no pauses between them, so they say nothing about the client's pauses.
        pipelining.send(get(target).repeat(KNOWN * 2));
        (0..KNOWN * 2).for_each(|_| assert_eq!(pipelining.read_response().text(), target));
        let report = begin_stop(&server, patient().quiet(HUNG * 2));
        quick.expect_end();
        for client in [&mut unknown, &mut pipelining] {
            let last = client.get(target);
            assert_eq!((last.text(), last.says_close()), (target, true));
            client.expect_end();
        }
        let report = soon(&report);
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.closes[CloseReason::Drained], 3, "{report}");
    }
}

/// A client cannot send its next request before it has the whole response. The small receive window keeps the client's
/// kernel from acknowledging the rest of the response, like the loss of a packet.
#[cfg(target_os = "linux")]
#[test]
fn a_quick_client_is_waited_for_while_its_response_is_not_acknowledged() {
    // What a Unix-domain socket has taken needs no acknowledgement.
    if transport::is_unix() {
        return;
    }
    const KNOWN: usize = 9;
    let big = |_: &Request| "x".repeat(40_000);
    let (server, address) =
        serve(Router::new().get("/", route(|_: &Request| "quick").inline()).get("/big", route(big).inline()));
    let mut waiting = Client::connect_with_window(address, 4 * 1024);
    let mut quick = Client::connect(address);
    (0..KNOWN).for_each(|_| assert_eq!(waiting.get("/").text(), "quick"));
    waiting.send(get("/big"));
    // The first bytes show that the server has written the response.
    waiting.sender().peek(&mut [0]).unwrap();
    (0..KNOWN).for_each(|_| assert_eq!(quick.get("/").text(), "quick"));
    let report = begin_stop(&server, patient().quiet(HUNG));
    // The quiet period of `quick` began later than that of `waiting`. A server that ignored the missing acknowledgement
    // would have closed `waiting` before `quick`.
    quick.expect_end();
    assert_eq!(waiting.read_response().body.len(), 40_000);
    let last = waiting.get("/");
    assert_eq!((last.text(), last.says_close()), ("quick", true));
    waiting.expect_end();
    assert!(soon(&report).is_clean());
}

#[test]
fn a_client_that_closes_ends_the_wait_for_its_last_request() {
    let (server, address) = serve(Router::new().get("/", |_: &Request| "served"));
    let mut kept = Client::connect(address);
    assert_eq!(kept.get("/").text(), "served");
    let report = begin_stop(&server, patient().quiet(HUNG));
    drop(kept);
    assert!(soon(&report).duration() < HUNG);
}

#[test]
fn all_pipelined_requests_are_answered_and_only_the_last_says_close() {
    let (gate, held) = gate();
    let slow = move |request: &Request| {
        if request.query("n").is_some_and(|n| n == "0") {
            gate.pass();
        }
        request.query("n").unwrap_or_default().into_owned()
    };
    let fast = |request: &Request| request.query("n").unwrap_or_default().into_owned();
    let routes = Router::new().get("/pool", slow).get("/inline", route(fast).inline());
    let server = local().routes(routes).build();
    for paths in [["/pool", "/inline"], ["/pool", "/pool"]] {
        server.start().unwrap();
        let address = server.handle().socket_addrs()[0];
        let target = |n: usize| format!("{}?n={n}", paths[n % 2]);
        let mut client = Client::connect(address);
        client.send((0..10).map(|n| get(&target(n))).collect::<String>());
        held.wait_entered();
        let report = begin_stop(&server, patient());
        held.let_one_go();
        for n in 0..10 {
            let response = client.read_response();
            assert_eq!((response.text(), response.says_close()), (&*n.to_string(), n == 9));
        }
        client.expect_end();
        drop(client);
        let report = soon(&report);
        assert!(report.is_clean() && report.requests.completed == 10, "{report}");
    }
}

#[test]
fn requests_that_arrive_while_the_last_one_is_handled_are_answered_too() {
    let (gate, held) = gate();
    let slow = move |request: &Request| {
        gate.pass();
        request.query("n").unwrap_or_default().into_owned()
    };
    let (server, address) = serve(Router::new().get("/", slow));
    let mut client = Client::connect(address);
    client.send(get("/?n=0"));
    held.wait_entered();
    let report = begin_stop(&server, patient());
    client.send(get("/?n=1"));
    // The server may answer the first request before it notices the second. If the first response does not say close,
    // the server answers the second request. If the first response says close, the client knows that the server did not
    // process the second request.
    held.let_one_go();
    let first = client.read_response();
    assert_eq!(first.text(), "0");
    if !first.says_close() {
        held.wait_entered();
        held.let_one_go();
        let second = client.read_response();
        assert_eq!((second.text(), second.says_close()), ("1", true));
    }
    client.expect_end();
    drop(client);
    assert!(soon(&report).is_clean());
}

/// The stop answers a connection whose request is in the server's kernel before the stop begins.
#[test]
fn connections_in_the_accept_queue_are_served() {
    for _ in 0..100 {
        let (server, address) = serve(Router::new().get("/", route(|_: &Request| "served").inline()));
        let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(address)).collect();
        clients.iter_mut().for_each(|client| client.send(get("/")));
        let report = begin_stop(&server, patient());
        for client in &mut clients {
            assert_eq!(client.read_response().text(), "served");
            client.read_to_end();
        }
        drop(clients);
        let report = soon(&report);
        assert_eq!((report.requests.completed, report.is_clean()), (8, true), "{report}");
    }
}

/// A client that gets a connection while the server stops gets its whole response. The server drops the SYN of any
/// other client. Such a client is refused when its kernel tries again after one second, so a round takes one second.
#[cfg(target_os = "linux")]
#[test]
fn a_stop_under_load_loses_no_request() {
    const LENGTH: usize = 40_000;
    let content = |_: &Request| "x".repeat(LENGTH);
    for round in 0..10 {
        let (server, address) =
            serve(Router::new().get("/pool", content).get("/inline", route(content).inline()));
        let (ready, all_ready) = std::sync::mpsc::channel();
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let ready = ready.clone();
                let target = if (round + number) % 2 == 0 { "/pool" } else { "/inline" };
                thread::spawn(move || {
                    assert_eq!(Client::once(address, get(target)).body.len(), LENGTH);
                    ready.send(()).unwrap();
                    let mut whole = 1;
                    while let Some(mut client) = Client::try_connect(address) {
                        client.send(get(target));
                        assert_eq!(client.read_response().body.len(), LENGTH);
                        whole += 1;
                    }
                    whole
                })
            })
            .collect();
        (0..4).for_each(|_| soon(&all_ready));
        let report = server.stop(patient());
        let whole: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.requests.completed, whole, "every completed response has arrived: {report}");
    }
}
