//! Connections whose last response is written, and whose clients keep their sockets open. A stop waits for each of them
//! until the client's kernel has acknowledged the FIN, and no longer. The linger time is one hour here. Only an
//! acknowledgement, the client's own close or the end of the stop can end the linger earlier.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use softstop::{
    Body, Request, Response, Router, ServerBuilder, StatusCode, StopPolicy, Timeouts,
    observe::{Event, Observer},
    report::CloseReason,
    route,
};

use crate::support::{
    begin_stop,
    client::{Client, get},
    gate::gate,
    local, patient, soon, start, transport,
};

/// More unread bytes than the client's kernel takes, and fewer than the server's kernel keeps.
const LENGTH: usize = 200_000;
/// The duration of a stop that a client holds to its end.
const BOUND: Duration = Duration::from_millis(300);

fn lingering() -> ServerBuilder {
    let timeouts = Timeouts::default().linger(Duration::from_secs(3600));
    local().timeouts(timeouts)
}

/// A stop that ends the remaining connections after [`BOUND`].
fn bounded() -> StopPolicy {
    StopPolicy::default().grace(BOUND).cancel_grace(Duration::ZERO)
}

/// Tells the test when a response has been written.
struct Written(Sender<()>);

impl Observer for Written {
    fn observe(&self, _: &str, event: &Event<'_>) {
        if let Event::ResponsesWritten { .. } = event {
            // The send fails only when the test is over.
            _ = self.0.send(());
        }
    }
}

fn written(builder: ServerBuilder) -> (ServerBuilder, Receiver<()>) {
    let (sender, receiver) = channel();
    (builder.observer(Written(sender)), receiver)
}

#[test]
fn a_client_that_keeps_its_socket_open_does_not_hold_the_stop() {
    for close in ["", "Connection: close\r\n"] {
        for target in ["/inline", "/pool", "/stream"] {
            let (gate, held) = gate();
            let [of_inline, of_pool, of_stream] = [(); 3].map(|()| gate.clone());
            let routes = Router::new()
                .get("/inline", route(move |_: &Request| of_inline.pass()).inline())
                .get("/pool", move |_: &Request| of_pool.pass())
                .get("/stream", move |_: &Request| {
                    of_stream.pass();
                    let (sender, body) = Body::stream(64);
                    sender.send("bit by bit").unwrap();
                    Response::new(StatusCode::OK).with_body(body)
                });
            let (server, address) = start(lingering().routes(routes));
            let mut client = Client::connect(address);
            client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n{close}\r\n"));
            held.wait_entered();
            let report = begin_stop(&server, patient());
            held.let_one_go();
            // The client reads nothing before the stop is over. The client's kernel already has everything.
            let report = soon(&report);
            assert!(report.is_clean() && report.requests.completed == 1, "{report}");
            assert_eq!(report.closes.total(), 1, "{report}");
            let response = String::from_utf8(client.read_to_end()).unwrap();
            assert!(response.contains("\r\nConnection: close\r\n"), "{response}");
            assert_eq!(response.contains("bit by bit"), target == "/stream", "{response}");
        }
    }
}

#[test]
fn a_connection_that_lingers_already_does_not_hold_the_stop() {
    let (builder, written) = written(lingering().max_requests_per_connection(1));
    let routes = Router::new().get("/", route(|_: &Request| "served").inline());
    let (server, address) = start(builder.routes(routes));
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.send(get("/")));
    clients.iter().for_each(|_| soon(&written));
    let report = soon(&begin_stop(&server, patient()));
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.closes[CloseReason::Completed], 8, "{report}");
    for client in &mut clients {
        assert_eq!(client.read_response().text(), "served");
        client.expect_end();
    }
}

/// The process may exit after the stop, and bytes that only the server's kernel has may be lost with the process.
#[test]
fn a_client_whose_kernel_has_not_taken_everything_is_waited_for() {
    // What a Unix-domain socket has taken is in the client's queue already.
    if transport::is_unix() {
        return;
    }
    let content = |_: &Request| vec![b'x'; LENGTH];
    for close in ["", "Connection: close\r\n"] {
        let (gate, held) = gate();
        let (builder, written) = written(lingering());
        let held_content = move |request: &Request| {
            gate.pass();
            content(request)
        };
        let (server, address) = start(builder.routes(Router::new().get("/", held_content)));
        let mut client = Client::connect_with_window(address, 8 * 1024);
        client.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{close}\r\n"));
        held.wait_entered();
        let report = begin_stop(&server, patient());
        held.let_one_go();
        soon(&written);
        assert!(report.try_recv().is_err(), "the client's kernel cannot have everything");
        assert_eq!(client.read_response().body.len(), LENGTH);
        client.expect_end();
        let report = soon(&report);
        assert!(report.is_clean() && report.requests.completed == 1, "{report}");
    }
}

#[test]
fn a_client_that_does_not_acknowledge_holds_the_stop_to_its_end() {
    if transport::is_unix() {
        return;
    }
    let (builder, written) = written(lingering().max_requests_per_connection(1));
    let (server, address) =
        start(builder.routes(Router::new().get("/", route(|_: &Request| vec![b'x'; LENGTH]).inline())));
    let mut client = Client::connect_with_window(address, 8 * 1024);
    client.send(get("/"));
    soon(&written);
    let report = server.stop(bounded());
    assert!(report.duration() >= BOUND, "closed before the client's kernel had everything: {report}");
    assert!(report.is_clean(), "{report}");
    // The server's kernel still delivers the bytes that it has.
    assert_eq!(client.read_response().body.len(), LENGTH);
}

/// A close with unread bytes sends a reset. The reset takes the response from a client that has not read it yet.
#[test]
fn a_client_that_has_sent_more_holds_the_stop_to_its_end() {
    let unfinished =
        "POST /early HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    for (first, behind) in
        [(get("/"), get("/")), (get("/"), "\r\n".to_owned()), (unfinished.into(), String::new())]
    {
        for is_one_piece in [true, false] {
            let (builder, written) = written(lingering().max_requests_per_connection(1));
            let (server, address) =
                start(builder.routes(Router::new().get("/", route(|_: &Request| "served").inline())));
            let mut client = Client::connect(address);
            if is_one_piece {
                client.send(first.clone() + &behind);
                soon(&written);
            } else {
                client.send(&first);
                soon(&written);
                client.send(&behind);
            }
            let report = server.stop(bounded());
            assert!(report.duration() >= BOUND, "closed over {behind:?}: {report}");
            assert!(report.is_clean(), "{report}");
            assert!(client.read_response().says_close());
            client.expect_end();
        }
    }
}
