//! The bounds of a request head, and of the worker pool.

use softstop::{Limits, Request, Router, route};

use crate::support::{
    client::{Client, get},
    gate::gate,
    in_background, local, patient, start,
};

#[test]
fn a_head_has_bounds_each_with_its_answer() {
    let limits = Limits::default().target_bytes(100).header_bytes(1000).header_count(10);
    let routes = Router::new().get("/{*path}", route(|_: &Request| "fits").inline());
    let (_server, address) = start(local().limits(limits).routes(routes));
    let with = |target: usize, lines: usize, value: usize| {
        let target = "/".to_owned() + &"t".repeat(target - 1);
        let line = format!("X-Line: {}\r\n", "v".repeat(value));
        format!("GET {target} HTTP/1.1\r\nHost: test\r\n{}\r\n", line.repeat(lines))
    };
    let rows = [
        (with(100, 1, 1), 200),
        (with(101, 1, 1), 414),
        (with(2, 9, 1), 200),
        (with(2, 10, 1), 431),
        (with(2, 1, 900), 200),
        (with(2, 1, 1000), 431),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/3.0\r\nHost: test\r\n\r\n".to_owned(), 505),
        ("GET / HTTP/1.1\r\nHost: test\r\nExpect: miracles\r\n\r\n".to_owned(), 417),
    ];
    for (request, status) in rows {
        let mut client = Client::connect(address);
        client.send(&request);
        let response = client.read_response();
        assert_eq!(response.status, status, "{request}");
        assert_eq!(response.says_close(), status != 200, "{request}");
        if status != 200 {
            client.expect_end();
        }
    }
}

#[test]
fn what_the_pool_cannot_take_is_answered_503_at_once() {
    let (gate, held) = gate();
    let routes = Router::new().get("/", move |_: &Request| {
        gate.pass();
        "done"
    });
    let (server, address) = start(local().max_workers(1).max_queued(1).routes(routes));
    let (sender, responses) = std::sync::mpsc::channel();
    let ask = || {
        let sender = sender.clone();
        drop(in_background(move || sender.send(Client::once(address, get("/")))));
    };
    ask();
    held.wait_entered();
    // The request that arrives first takes the only place in the queue.
    ask();
    ask();
    let refused = crate::support::soon(&responses);
    assert_eq!((refused.status, refused.field("Retry-After")), (503, Some("1")));
    assert!(!refused.says_close(), "the connection stays open");
    for _ in 0..2 {
        assert!(responses.try_recv().is_err(), "the handler is still held");
        held.let_one_go();
        assert_eq!(crate::support::soon(&responses).text(), "done");
    }
    let report = server.stop(patient());
    assert_eq!((report.requests.completed, report.requests.rejected), (3, 1), "{report}");
}

#[test]
fn the_pool_grows_as_far_as_blocked_handlers_need() {
    let (gate, held) = gate();
    let routes = Router::new().get("/", move |_: &Request| {
        gate.pass();
        "done"
    });
    let (server, address) = start(local().max_workers(32).routes(routes));
    let mut clients: Vec<Client> = (0..33).map(|_| Client::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.send(get("/")));
    // The test lets no handler go before all 32 have been entered, so each handler needs a thread of its own.
    (0..32).for_each(|_| held.wait_entered());
    assert!(held.nobody_entered(), "the 33rd request waits");
    held.let_one_go();
    held.wait_entered();
    (0..32).for_each(|_| held.let_one_go());
    for client in &mut clients {
        assert_eq!(client.read_response().text(), "done");
    }
    drop(clients);
    assert_eq!(server.stop(patient()).requests.completed, 33);
}
