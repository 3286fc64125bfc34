//! Refusals that the server sends while the client still sends. The client gets the whole answer, and no reset.

use std::{io::Write, net::SocketAddr};

use softstop::{Limits, Request, route};

use crate::{
    client::Client,
    stage::{attack, routes},
};

static PIECE: [u8; 64 * 1024] = [b'z'; 64 * 1024];
const PIECES: usize = 800;
const LENGTH: usize = PIECE.len() * PIECES;

/// Sends the request, then `pieces` pieces of its content, and reads only then.
fn refused(address: SocketAddr, path: &str, chunked: bool, pieces: usize) -> u16 {
    let mut client = Client::connect(address);
    let framing =
        if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {LENGTH}") };
    client.send(format!("POST /{path} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
    let mut stream = client.stream();
    for _ in 0..pieces {
        if chunked {
            write!(stream, "{:x}\r\n", PIECE.len()).unwrap();
            client.send(PIECE);
            client.send("\r\n");
        } else {
            client.send(PIECE);
        }
    }
    let answer = client.answer();
    assert!(answer.close && !answer.content.is_empty());
    client.assert_ended();
    answer.status
}

#[test]
fn a_client_that_sends_everything_before_it_reads_gets_the_answer() {
    attack(
        |builder| builder,
        |address| {
            for chunked in [false, true] {
                assert_eq!(refused(address, "buffered", chunked, PIECES), 413, "chunked: {chunked}");
            }
        },
    );
}

#[test]
fn a_client_that_stops_sending_gets_the_answer() {
    attack(
        |builder| builder,
        |address| {
            for pieces in [0, 1, 20] {
                assert_eq!(refused(address, "buffered", false, pieces), 413);
            }
            // The content exceeds the limit of 8 MiB, and the client stops before the last chunk.
            assert_eq!(refused(address, "buffered", true, PIECES / 4), 413);
        },
    );
}

#[test]
fn an_unknown_path_is_answered_404_behind_the_content() {
    let limits = Limits::default().body_bytes(LENGTH as u64);
    attack(
        |builder| builder.limits(limits),
        |address| {
            let mut client = Client::connect(address);
            client.send(format!("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n"));
            (0..PIECES).for_each(|_| client.send(PIECE));
            let answer = client.answer();
            assert_eq!((answer.status, answer.close), (404, false));
            client.send("GET /inline?number=1 HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.answer().text(), "inline 1");
        },
    );
}

#[test]
fn a_streamed_route_may_refuse_without_reading() {
    let refuse = |_: &Request| (softstop::StatusCode::FORBIDDEN, "not you\n");
    let routes = routes()
        .post("/refuse", route(refuse).streamed())
        .post("/little", route(refuse).streamed().body_limit(5));
    attack(
        |builder| builder.routes(routes),
        |address| {
            for chunked in [false, true] {
                for pieces in [0, 1, PIECES] {
                    assert_eq!(refused(address, "refuse", chunked, pieces), 403, "{pieces}, {chunked}");
                }
            }
            assert_eq!(refused(address, "little", false, PIECES), 413);
        },
    );
}
