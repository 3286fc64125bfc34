//! Clients that take too long. The time-outs are short, and no test requires that something happens within one.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use softstop::{Request, Router, Server, StopPolicy, Timeouts, report::CloseReason, route};

use crate::support::{
    client::{Client, get},
    gate::gate,
    local, patient, start, until,
};

const SHORT: Duration = Duration::from_millis(50);

fn impatient(timeouts: Timeouts) -> (Server, SocketAddr) {
    let routes = Router::new().any("/", route(|request: &Request| request.body().to_vec()).inline());
    start(local().timeouts(timeouts).routes(routes))
}

#[track_caller]
fn expect_close_reason(server: &Server, reason: CloseReason) {
    let report = server.stop(patient());
    assert_eq!((report.closes[reason], report.closes.total()), (1, 1), "{report}");
}

#[test]
fn a_head_that_does_not_come_to_its_end_is_answered_408() {
    let (server, address) = impatient(Timeouts::default().header(SHORT));
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost:");
    let response = client.read_response();
    assert_eq!((response.status, response.says_close()), (408, true));
    client.expect_end();
    drop(client);
    expect_close_reason(&server, CloseReason::RequestTimeout);
}

#[test]
fn a_client_that_never_says_anything_is_closed_without_a_word() {
    let (server, address) = impatient(Timeouts::default().header(SHORT));
    let mut client = Client::connect(address);
    client.expect_end();
    drop(client);
    expect_close_reason(&server, CloseReason::IdleTimeout);
}

#[test]
fn a_content_that_stops_coming_is_answered_408() {
    let (server, address) = impatient(Timeouts::default().body(SHORT));
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf ");
    let response = client.read_response();
    assert_eq!((response.status, response.says_close()), (408, true));
    client.expect_end();
    drop(client);
    expect_close_reason(&server, CloseReason::RequestTimeout);
}

#[test]
fn a_kept_connection_that_stays_silent_is_closed() {
    let (server, address) = impatient(Timeouts::default().idle(SHORT));
    let mut client = Client::connect(address);
    assert!(!client.get("/").says_close());
    client.expect_end();
    drop(client);
    expect_close_reason(&server, CloseReason::IdleTimeout);
}

#[test]
fn a_client_that_reads_nothing_is_closed() {
    let routes = Router::new().get("/", |_: &Request| vec![b'x'; 64 * 1024 * 1024]);
    let (server, address) = start(local().timeouts(Timeouts::default().write(SHORT)).routes(routes));
    let mut client = Client::connect_with_small_window(address);
    client.send(get("/"));
    // Only the end of the connection shows the time-out. The stop waits for this end, and would take much longer
    // without the time-out.
    let report = crate::support::begin_stop(&server, patient());
    let report = crate::support::soon(&report);
    assert_eq!((report.closes[CloseReason::WriteTimeout], report.requests.aborted), (1, 1), "{report}");
}

/// The kernel reports a socket as writable again only when a large part of its buffer, some megabytes, is free. The
/// absence of such reports does not mean that the client reads nothing.
#[test]
fn a_client_that_reads_slowly_is_not_closed() {
    let write = Duration::from_secs(2);
    let routes = Router::new()
        .get("/", |_: &Request| vec![b'x'; 64 * 1024 * 1024])
        .get("/small", route(|_: &Request| "small").inline());
    let (server, address) = start(local().timeouts(Timeouts::default().write(write)).routes(routes));
    let mut slow = Client::connect_with_small_window(address);
    let mut other = Client::connect(address);
    slow.send(get("/"));
    let began = Instant::now();
    let mut read = 0;
    while began.elapsed() < write * 3 {
        // The client reads some hundred kilobytes a second. In any two seconds the client reads much, but only a small
        // part of the kernel's buffer.
        while began.elapsed() < Duration::from_millis(read / 200) {
            assert_eq!(other.get("/small").text(), "small");
        }
        slow.read_bytes(4 * 1024);
        read += 4 * 1024;
    }
    drop(other);
    let report = server.stop(StopPolicy::now());
    assert_eq!(
        (report.closes[CloseReason::WriteTimeout], report.closes[CloseReason::Aborted]),
        (0, 1),
        "{report}"
    );
}

#[test]
fn no_time_out_ends_a_request_that_is_being_handled() {
    let (gate, held) = gate();
    let routes = Router::new().get("/", move |_: &Request| {
        gate.pass();
        "done"
    });
    let every = Timeouts::default().header(SHORT).body(SHORT).idle(SHORT).write(SHORT);
    let (_server, address) = start(local().timeouts(every).routes(routes));
    let mut client = Client::connect(address);
    client.send(get("/"));
    held.wait_entered();
    // Other clients are timed out here. By then the first client has also waited longer than any time-out.
    for _ in 0..2 {
        Client::connect(address).expect_end();
    }
    held.let_one_go();
    assert_eq!(client.read_response().text(), "done");
}

/// A handler holds the loop until the time is over, and again in the turn that would act on the end of the time. Bytes
/// that arrive meanwhile are in the kernel, and the loop has not been told of them.
#[test]
fn what_is_there_when_the_time_is_over_counts() {
    let upload = |target: &str| format!("POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n");
    // A new connection has this time too, until it has sent something. Here the time must suffice to be accepted and to
    // send.
    let longer = SHORT * 10;
    let idle = Timeouts::default().idle(SHORT);
    let header = Timeouts::default().header(longer);
    let body = Timeouts::default().body(SHORT);
    for (timeouts, time, begun, rest, [other_begun, other_rest]) in [
        (idle, SHORT, String::new(), get("/"), [&*upload("/held"), "whole"]),
        (
            header,
            longer,
            "GET / HTTP/1.1\r\n".to_owned(),
            "Host: test\r\n\r\n".to_owned(),
            ["", &get("/held")],
        ),
        (body, SHORT, upload("/") + "wh", "ole".to_owned(), ["", &get("/held")]),
    ] {
        let (gate, held) = gate();
        let routes = Router::new()
            .any("/", route(|request: &Request| request.body().to_vec()).inline())
            .any("/held", route(move |_: &Request| gate.pass()).inline());
        let (server, address) = start(local().loops(1).timeouts(timeouts).routes(routes));
        let mut other = Client::connect(address);
        // The other connection's current state has a different time-out from the one that is tested.
        other.send(if other_begun.is_empty() { get("/") } else { other_begun.to_owned() });
        let mut client = Client::connect(address);
        // The client's time begins with the loop's turn. A handler holds this turn for longer than that time.
        client.send(get("/held") + &begun);
        held.wait_entered();
        let entered = Instant::now();
        other.send(other_rest);
        until("the time of the client is over", || entered.elapsed() > time);
        held.let_one_go();
        held.wait_entered();
        assert_eq!(client.read_response().status, 204);
        client.send(rest);
        held.let_one_go();
        let response = client.read_response();
        assert_eq!((response.status, response.says_close()), (200, false), "{begun:?}");
        drop((client, other));
        assert!(server.stop(patient()).is_clean());
    }
}
