//! Connections that are handed over: which requests may ask for one, which bytes come along, and what a stop does with
//! them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    time::Duration,
};

use softstop::{
    Cause, Context, Request, Router, StopPolicy,
    body::Upgraded,
    report::{CloseReason, Stuck},
};
use support::{begin_stop, client::Client, local, patient, serve, soon, start, until};
use tungstenite::{
    Message,
    handshake::derive_accept_key,
    protocol::{CloseFrame, Role, WebSocket, frame::coding::CloseCode},
};

/// Sends all bytes back.
fn echo(mut connection: Upgraded, _: &Context) {
    let mut buffer = [0; 1000];
    while let Ok(count @ 1..) = connection.read(&mut buffer) {
        connection.write_all(&buffer[..count]).unwrap();
    }
}

fn raw_echo() -> Router {
    Router::new()
        .get("/", |request: &Request| request.upgrade("raw", echo))
        .get("/plain", |_: &Request| "plain")
}

fn ask(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n")
}

#[test]
fn the_stream_begins_right_behind_the_request() {
    let (server, address) = serve(raw_echo());
    // The bytes come in one piece, or in two that are cut at several places. The upgrade gets early bytes with the
    // connection, and reads late bytes from the socket.
    let whole = ask("/") + "early bird";
    for split in [1, whole.len() - 10, whole.len() - 9, whole.len() - 1, whole.len()] {
        let mut client = Client::connect(address);
        client.send(&whole[..split]);
        client.send(&whole[split..]);
        let head = client.read_response_head();
        assert_eq!(
            (head.status, head.field("Upgrade"), head.field("Connection")),
            (101, Some("raw"), Some("upgrade"))
        );
        assert_eq!((head.field("Content-Length"), head.field("Transfer-Encoding")), (None, None));
        assert_eq!(client.read_bytes(10), b"early bird", "split at {split}");
        client.send("more");
        assert_eq!(client.read_bytes(4), b"more");
        client.half_close();
        client.expect_end();
    }
    let report = server.stop(patient());
    assert_eq!((report.closes[CloseReason::Upgraded], report.requests.completed), (5, 5), "{report}");
    assert!(report.is_clean(), "{report}");
}

#[test]
fn only_who_asks_for_it_is_given_it() {
    let (_server, address) = serve(raw_echo());
    for fields in
        ["", "Upgrade: raw\r\n", "Connection: upgrade\r\n", "Connection: upgrade\r\nUpgrade: h2c\r\n"]
    {
        let mut client = Client::connect(address);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let response = client.read_response();
        assert_eq!((response.status, response.field("Upgrade")), (426, Some("raw")), "{fields:?}");
        assert_eq!(client.get("/plain").text(), "plain", "the connection stays open");
        // A route without an upgrade answers as always.
        client.send(ask("/plain"));
        assert_eq!(client.read_response().text(), "plain");
    }
    let old = Client::once(address, "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n");
    assert_eq!(old.status, 426);
    for fields in [
        "Connection: keep-alive, Upgrade\r\nUpgrade: RAW\r\n",
        "connection: UPGRADE\r\nupgrade: h2c , raw\r\n",
    ] {
        let mut client = Client::connect(address);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(client.read_response_head().status, 101, "{fields:?}");
    }
}

#[test]
fn responses_before_it_arrive_and_its_thread_goes_with_it() {
    let (server, address) = start(local().name("takeover").routes(raw_echo()));
    let threads = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
        names.filter(|name| name.starts_with("takeover upgra")).count()
    };
    for _ in 0..10 {
        let mut client = Client::connect(address);
        client.send(support::client::get("/plain") + &ask("/") + "x");
        assert_eq!(client.read_response().text(), "plain");
        assert_eq!(client.read_response_head().status, 101);
        assert_eq!(client.read_bytes(1), b"x");
    }
    until("the threads of the upgrades are gone", || threads() == 0);
    assert!(server.stop(patient()).is_clean());
}

#[test]
fn a_stop_hints_waits_and_then_shuts_the_socket_down() {
    let (tell, told) = mpsc::channel();
    let handler = move |request: &Request| {
        let tell = tell.clone();
        request.upgrade("raw", move |mut connection, context| {
            tell.send(context.clone()).unwrap();
            // The upgrade ignores the hint, and blocks.
            let end = connection.read(&mut [0]);
            assert_eq!((end.unwrap(), context.cause()), (0, Some(Cause::Stopping)));
        })
    };
    let (server, address) = serve(Router::new().get("/", handler));
    let mut client = Client::connect(address);
    client.send(ask("/"));
    assert_eq!(client.read_response_head().status, 101);
    let context = soon(&told);
    assert!(!context.is_stopping());
    let report = begin_stop(&server, patient().grace(Duration::from_millis(50)));
    assert_eq!(context.stopping().wait(), Cause::Stopping);
    client.expect_end();
    let report = soon(&report);
    assert!(report.stragglers.is_empty(), "{report}");
}

#[test]
fn one_that_does_not_return_is_named_and_left_behind() {
    let (gate, held) = support::gate::gate();
    let handler = move |request: &Request| {
        let gate = gate.clone();
        request.upgrade("raw", move |_, _| gate.pass())
    };
    let (server, address) = serve(Router::new().get("/", handler));
    let mut client = Client::connect(address);
    client.send(ask("/"));
    held.wait_entered();
    let short = Duration::from_millis(20);
    let report = server.stop(StopPolicy::default().grace(short).cancel_grace(short));
    let [straggler] = &*report.stragglers else { panic!("{report}") };
    assert_eq!((&*straggler.request, straggler.stuck), ("GET /", Stuck::Handling), "{report}");
}

#[test]
fn a_panic_ends_the_connection_and_nothing_else() {
    let handler = |request: &Request| request.upgrade("raw", |_, _| panic!("on purpose"));
    let (server, address) = start(local().routes(Router::new().get("/", handler)).max_connections(1));
    for _ in 0..3 {
        let mut client = Client::connect(address);
        client.send(ask("/"));
        assert_eq!(client.read_response_head().status, 101);
        assert_eq!(client.read_all_there_is(), b"");
    }
    assert!(server.stop(patient()).stragglers.is_empty());
}

// ---- a real protocol with a real client ---------------------------------------------------------------------------

fn websocket_routes() -> Router {
    Router::new().get("/echo", |request: &Request| {
        let key = request.header("Sec-WebSocket-Key").unwrap_or_default();
        let accept = derive_accept_key(key.as_bytes());
        request
            .upgrade("websocket", |connection, _| {
                let mut socket = WebSocket::from_raw_socket(connection, Role::Server, None);
                while let Ok(message) = socket.read() {
                    if message.is_text() || message.is_binary() {
                        socket.send(message).unwrap();
                    }
                }
            })
            .header("Sec-WebSocket-Accept", &accept)
    })
}

fn websocket(address: SocketAddr) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(support::HUNG)).unwrap();
    tungstenite::client(format!("ws://{address}/echo"), stream).unwrap().0
}

#[test]
fn websocket_messages_of_every_size_come_back() {
    let (server, address) = serve(websocket_routes());
    let mut clients: Vec<_> = (0..10).map(|_| websocket(address)).collect();
    for length in [0, 1, 125, 126, 65_535, 65_536, 1_000_000] {
        for client in &mut clients {
            let message = Message::binary(vec![7; length]);
            client.send(message.clone()).unwrap();
            assert!(client.read().unwrap() == message, "{length}");
        }
    }
    for mut client in clients {
        client.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })).unwrap();
        while client.read().is_ok() {}
    }
    let report = server.stop(patient());
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.closes[CloseReason::Upgraded], 10);
}

#[test]
fn a_response_that_was_taken_apart_on_its_way_switches_nothing() {
    use softstop::{Response, StatusCode, middleware::Next};
    let dressed = Router::new()
        .get("/", |request: &Request| request.upgrade("raw", echo))
        .wrap(|request: &Request, next: &Next| next.run(request).with_body("dressed"));
    let undressed = Router::new().get("/", |request: &Request| {
        Response::new(StatusCode::OK).with_body(request.upgrade("raw", echo).into_body())
    });
    for routes in [dressed, undressed] {
        let (server, address) = serve(routes);
        let mut client = Client::connect(address);
        client.send(ask("/"));
        assert_eq!(client.read_response().status, 500);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let next = client.read_response();
        assert!([200, 426].contains(&next.status), "the connection still speaks HTTP: {next:?}");
        drop(client);
        assert!(server.stop(patient()).is_clean());
    }
}

#[test]
fn there_are_no_more_of_them_than_workers() {
    let (server, address) = start(local().max_workers(1).routes(raw_echo()));
    let mut first = Client::connect(address);
    first.send(ask("/"));
    assert_eq!(first.read_response_head().status, 101);
    first.send("x");
    assert_eq!(first.read_bytes(1), b"x", "the thread of the upgrade runs");
    let mut second = Client::connect(address);
    second.send(ask("/"));
    let refused = second.read_response();
    assert_eq!((refused.status, refused.field("Retry-After")), (503, Some("1")));
    assert_eq!(server.handle().metrics().busy_workers, 0, "the upgrade takes no worker");
    drop((first, second));
    assert!(server.stop(patient()).is_clean());
}
