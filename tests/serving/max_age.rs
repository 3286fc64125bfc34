//! Connections that are old enough end, and no client loses anything.

use std::{
    net::SocketAddr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use softstop::{
    Body, Request, Response, Router, ServerBuilder, StatusCode, Timeouts, report::CloseReason, route,
};

use crate::support::{
    client::{Client, get},
    local, patient, soon, start,
};

fn aged(age: Duration) -> ServerBuilder {
    let routes = Router::new()
        .get("/", route(|_: &Request| "served").inline())
        .get("/pool", |_: &Request| "served by a worker");
    local().routes(routes).max_connection_age(age)
}

/// Sends requests on one connection until a response says `Connection: close`. Returns how many there were.
fn until_told(client: &mut Client, target: &str) -> usize {
    for count in 1.. {
        let response = client.get(target);
        assert_eq!(response.status, 200);
        if response.says_close() {
            client.expect_end();
            return count;
        }
    }
    unreachable!("a range without end has no end")
}

/// A connection whose first response does not say `Connection: close`, because it came quickly enough.
fn young(address: SocketAddr, mut says_close: impl FnMut(&mut Client) -> bool) -> Client {
    loop {
        let mut client = Client::connect(address);
        if !says_close(&mut client) {
            return client;
        }
    }
}

/// Waits until a connection that is younger than all before has been told: a fifth of the age, and some more, must pass
/// before that is a proof, so three connections are told, one after the other.
fn until_all_are_old(address: SocketAddr) {
    for _ in 0..3 {
        until_told(&mut Client::connect(address), "/");
    }
}

#[test]
fn kept_alive_clients_lose_nothing_under_load() {
    const AGE: Duration = Duration::from_millis(300);
    const CLIENTS: usize = 8;
    const LIVES: usize = 4;
    let (server, address) = start(aged(AGE));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            thread::spawn(move || {
                let target = if number % 2 == 0 { "/" } else { "/pool" };
                for _ in 0..LIVES {
                    let began = Instant::now();
                    // Any request without a whole response fails in here.
                    until_told(&mut Client::connect(address), target);
                    let lived = began.elapsed();
                    assert!(lived >= AGE.mul_f64(0.9), "a connection may grow old: {lived:?}");
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let report = server.stop(patient());
    let ended = report.closes[CloseReason::MaxAge];
    assert_eq!((ended, report.closes.total()), ((CLIENTS * LIVES) as u64, ended), "{report}");
    assert_eq!(report.requests.aborted, 0, "{report}");
}

#[test]
fn pipelined_requests_are_answered_before_the_end() {
    let (server, address) = start(aged(Duration::ZERO));
    for target in ["/", "/pool"] {
        let mut client = Client::connect(address);
        client.send(get(target).repeat(3));
        let said_close: Vec<bool> = (0..3).map(|_| client.read_response().says_close()).collect();
        assert_eq!(said_close, [false, false, true], "{target}");
        client.expect_end();
    }
    let report = server.stop(patient());
    assert_eq!((report.closes[CloseReason::MaxAge], report.requests.completed), (2, 6), "{report}");
}

#[test]
fn a_stream_is_not_cut() {
    let (give, sender) = mpsc::channel();
    let stream = move |_: &Request| {
        let (sender, body) = Body::stream(100);
        give.send(sender).unwrap();
        Response::new(StatusCode::OK).with_body(body)
    };
    let (server, address) = start(
        aged(Duration::from_millis(200))
            .routes(Router::new().get("/stream", stream).get("/", route(|_: &Request| "served").inline())),
    );
    let mut open = None;
    let mut client = young(address, |client| {
        client.send(get("/stream"));
        open = Some(soon(&sender));
        client.read_head_text().contains("close")
    });
    let sender = open.unwrap();
    sender.send("begun").unwrap();
    until_all_are_old(address);
    sender.send("ended").unwrap();
    sender.finish();
    assert_eq!(client.read_bytes(25), b"5\r\nbegun\r\n5\r\nended\r\n0\r\n\r\n");
    assert_eq!(until_told(&mut client, "/"), 1, "the next response is the last one");
    let report = server.stop(patient());
    assert!(report.closes[CloseReason::MaxAge] >= 4, "{report}");
}

#[test]
fn a_silent_client_of_which_little_is_known_keeps_its_idle_time() {
    let (server, address) = start(aged(Duration::from_millis(50)));
    let mut client = young(address, |client| client.get("/").says_close());
    until_all_are_old(address);
    assert_eq!(until_told(&mut client, "/"), 1, "the request is served, and the response is the last one");
    drop(server);
}

/// A client that was quick, and then is silent for two seconds, has nothing to say. (Idle is 8 s, and a quarter of it counts.)
#[test]
fn a_quick_client_that_has_fallen_silent_is_closed() {
    let idle = Duration::from_secs(8);
    let (server, address) = start(aged(Duration::from_secs(2)).timeouts(Timeouts::default().idle(idle)));
    let mut began = Instant::now();
    let mut client = young(address, |client| {
        began = Instant::now();
        (0..20).any(|_| client.get("/").says_close())
    });
    client.expect_end();
    let lived = began.elapsed();
    // The server has accepted the connection at some moment before `began`.
    assert!(lived >= Duration::from_millis(2000), "at least the age: {lived:?}");
    drop(client);
    let report = server.stop(patient());
    assert_eq!(report.closes[CloseReason::MaxAge], 1, "{report}");
}

#[test]
fn without_a_limit_a_connection_grows_old() {
    let (server, address) = start(local().routes(Router::new().get("/", route(|_: &Request| "").inline())));
    let mut client = Client::connect(address);
    (0..100).for_each(|_| assert!(!client.get("/").says_close()));
    drop(client);
    let report = server.stop(patient());
    assert_eq!(report.closes[CloseReason::MaxAge], 0, "{report}");
}
