//! A stop while a chunked request is incomplete. The tests cut the request at every byte: in a chunk size, in an
//! extension, in the data, before the line break after the data, in the last chunk, and in the trailers.

use std::{
    io,
    net::SocketAddr,
    sync::mpsc::{self, Sender},
    time::Duration,
};

use softstop::{
    Request, Router, Server, StopPolicy,
    report::{CloseReason, Stuck},
    route,
};

use crate::support::{
    HUNG, begin_stop,
    client::{Client, get},
    patient, serve, soon,
};

const CONTENT: &str = "5;note=\"x\"\r\nhello\r\n6\r\n world\r\n0\r\nSum: 11\r\nMore: no\r\n\r\n";

fn server() -> (Server, SocketAddr) {
    server_that_tells(mpsc::channel().0)
}

/// The server tells when a handler of `/streamed` has begun.
fn server_that_tells(begun: Sender<()>) -> (Server, SocketAddr) {
    let read = move |request: &Request| {
        _ = begun.send(());
        match io::read_to_string(request.reader()) {
            Ok(text) => text,
            Err(error) => format!("{:?}", error.kind()),
        }
    };
    let buffered = |request: &Request| request.body().to_vec();
    serve(
        Router::new()
            .get("/", route(|_: &Request| "first").inline())
            .post("/inline", route(buffered).inline())
            .post("/pool", buffered)
            .post("/streamed", route(read).streamed()),
    )
}

/// Connects one client for each position. Each client has sent the bytes before its position, and the server has read
/// them.
fn cut_at_each_byte(address: SocketAddr, target: &str) -> Vec<(Client, &'static str)> {
    let head = format!("POST {target} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let cut_at = |position: usize| {
        let (before, rest) = CONTENT.split_at(position);
        let mut client = Client::connect(address);
        // One read takes all bytes. When the first request is answered, the server has also read
        // the part of the second that was sent.
        client.send(get("/") + &head + before);
        assert_eq!(client.read_response().text(), "first");
        (client, rest)
    };
    (0..CONTENT.len()).map(cut_at).collect()
}

#[test]
fn one_that_is_completed_is_answered() {
    for target in ["/inline", "/pool", "/streamed"] {
        let (server, address) = server();
        let mut clients = cut_at_each_byte(address, target);
        let mut quiet = Client::connect(address);
        let report = begin_stop(&server, patient().quiet(Duration::ZERO));
        // The loop closes the quiet connection when the loop begins the drain.
        quiet.expect_end();
        for (client, rest) in &mut clients {
            client.send(&rest);
            let response = client.read_response();
            assert_eq!((response.text(), response.says_close()), ("hello world", true), "{target} {rest:?}");
            client.expect_end();
        }
        let requests = 2 * clients.len() as u64;
        drop((clients, quiet));
        let report = soon(&report);
        assert!(report.is_clean() && report.requests.completed == requests, "{target}: {report}");
    }
}

#[test]
fn one_that_is_not_is_cut_off_and_named() {
    let strict = StopPolicy::default().grace(Duration::from_millis(50));
    let strict = strict.cancel_grace(Duration::from_millis(50));
    for target in ["/inline", "/pool"] {
        let (server, address) = server();
        let clients = cut_at_each_byte(address, target);
        let report = server.stop(strict);
        let named = |name: &str| {
            let is_meant = |s: &&softstop::report::Straggler| s.request == name && s.stuck == Stuck::Reading;
            report.stragglers.iter().filter(is_meant).count()
        };
        assert_eq!(named(&format!("POST {target}")), clients.len(), "{report}");
        assert_eq!(report.stragglers.len(), clients.len(), "{report}");
        assert_eq!(report.requests.aborted, clients.len() as u64, "{report}");
        assert_eq!(report.closes[CloseReason::Aborted], clients.len() as u64, "{report}");
        for (mut client, rest) in clients {
            assert!(client.read_all_there_is().is_empty(), "{rest:?}: not answered");
        }
    }
}

/// The reader returns an error to the handler, and the handler has time to respond.
#[test]
fn the_reader_of_one_that_is_not_is_told() {
    let (begun, beginning) = mpsc::channel();
    let (server, address) = server_that_tells(begun);
    let mut clients = cut_at_each_byte(address, "/streamed");
    // A request that no worker has begun would be answered 503, because nobody reads it.
    for _ in &clients {
        soon(&beginning);
    }
    let report = begin_stop(&server, patient().grace(Duration::from_millis(50)).cancel_grace(HUNG));
    for (client, rest) in &mut clients {
        let response = client.read_response();
        assert_eq!((response.text(), response.says_close()), ("ConnectionAborted", true), "{rest:?}");
        client.expect_end();
    }
    let requests = clients.len() as u64;
    drop(clients);
    let report = soon(&report);
    assert!(report.is_clean(), "every client has been answered: {report}");
    assert_eq!(report.requests.cancelled, requests, "{report}");
}
