//! Requests that end at every possible byte: with a close, with a reset, or with a half-close.

use std::net::Shutdown;

use softstop::report::CloseReason;

use crate::{client::Client, crowds::reset, stage::attack};

const REQUESTS: [&str; 5] = [
    "GET /inline?number=1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /buffered HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789",
    "POST /streamed HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789",
    "POST /buffered HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\nA: b\r\n\r\n",
    "POST /streamed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\nA: b\r\n\r\n",
];

#[test]
fn closed_or_reset_at_every_byte() {
    for with_reset in [false, true] {
        let report = attack(
            |builder| builder,
            |address| {
                for request in REQUESTS {
                    for end in 0..=request.len() {
                        let client = Client::connect(address);
                        client.send(&request[..end]);
                        if with_reset {
                            reset(client.stream());
                        }
                    }
                }
            },
        );
        assert_eq!(report.closes[CloseReason::Aborted], 0, "{report}");
    }
}

#[test]
fn half_closed_at_every_byte() {
    attack(
        |builder| builder,
        |address| {
            for request in REQUESTS {
                for end in 0..=request.len() {
                    let mut client = Client::connect(address);
                    client.send(&request[..end]);
                    client.stream().shutdown(Shutdown::Write).unwrap();
                    if end > 0 {
                        let expected = if end == request.len() { 200 } else { 400 };
                        assert_eq!(client.answer().status, expected, "{:?}", &request[..end]);
                    }
                    client.assert_ended();
                }
            }
        },
    );
}
