//! Responses that are sent in pieces: all framings, all endings, and what both sides see. The client has its own reader
//! of such responses.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod downloads;
mod endings;
mod flow;
mod framing;
mod on_stop;
mod readers;
mod stopping;

use std::{net::SocketAddr, sync::mpsc};

use softstop::{Body, Request, Response, Router, Server, ServerBuilder, StatusCode, body::BodySender, route};
use support::{
    client::{Client, get},
    local, soon, start,
};

/// A server. The test sends the content of its stream `/`. Its `/plain` is an ordinary response.
struct Streams {
    server: Server,
    address: SocketAddr,
    senders: mpsc::Receiver<BodySender>,
}

impl Streams {
    fn new(capacity: usize) -> Streams {
        Streams::with(|builder| builder, move || Body::stream(capacity))
    }

    fn with(
        configure: impl FnOnce(ServerBuilder) -> ServerBuilder,
        make: impl Fn() -> (BodySender, Body) + Send + Sync + 'static,
    ) -> Streams {
        let (tell, senders) = mpsc::channel();
        let handler = move |_: &Request| {
            let (sender, body) = make();
            tell.send(sender).unwrap();
            Response::new(StatusCode::OK).with_body(body)
        };
        let routes = Router::new().get("/", handler).get("/plain", route(|_: &Request| "plain").inline());
        let (server, address) = start(configure(local().routes(routes)));
        Streams { server, address, senders }
    }

    /// Opens a stream. Returns a client that has read the head, and the sender of the stream.
    #[track_caller]
    fn open(&self) -> (Client, BodySender) {
        let mut client = Client::connect(self.address);
        let sender = self.ask(&mut client);
        (client, sender)
    }

    #[track_caller]
    fn ask(&self, client: &mut Client) -> BodySender {
        client.send(get("/"));
        let head = client.read_response_head();
        assert_eq!((head.status, head.field("Transfer-Encoding")), (200, Some("chunked")), "{head:?}");
        assert_eq!((head.field("Content-Length"), head.says_close()), (None, false));
        soon(&self.senders)
    }
}

/// Reads the next chunk. An empty chunk is the last one.
#[track_caller]
fn read_chunk(client: &mut Client) -> Vec<u8> {
    let size = usize::from_str_radix(&read_line(client), 16).unwrap();
    let chunk = client.read_bytes(size);
    assert_eq!(client.read_bytes(2), b"\r\n");
    chunk
}

/// Reads the rest of a content, up to its proper end.
#[track_caller]
fn read_chunks(client: &mut Client) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        match &*read_chunk(client) {
            [] => return content,
            chunk => content.extend_from_slice(chunk),
        }
    }
}

#[track_caller]
fn read_line(client: &mut Client) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend(client.read_bytes(1));
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).unwrap()
}

/// Checks that the connection is over without the end of the content.
#[track_caller]
fn assert_cut(client: &mut Client) {
    let rest = client.read_all_there_is();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "the content looks complete: {}", String::from_utf8_lossy(&rest));
}
