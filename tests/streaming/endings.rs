//! How a content can end before it is complete, and what the handler and the client see of this end.

use std::{
    io::{self, ErrorKind, Read},
    net::Shutdown,
    time::Duration,
};

use socket2::SockRef;
use softstop::{Cause, Request, StatusCode, Timeouts, route};

use crate::{Channel, Served, client::Client, drain, flow::nothing_comes};

/// The report of a handler: how its reading ended, and with which cause its context ended.
type Seen = (Result<u64, ErrorKind>, Option<Cause>);

/// A server whose handler reads one byte, reports this, reads on, and reports what it saw.
fn observed(
    configure: impl FnOnce(softstop::ServerBuilder) -> softstop::ServerBuilder,
    limit: Option<u64>,
) -> Observed {
    let (begun, seen) = (Channel::new(), Channel::new());
    let (tell_begun, tell_seen) = (begun.clone(), seen.clone());
    let handler = move |request: &Request| {
        let mut reader = request.reader();
        let first = reader.read_exact(&mut [0]);
        if first.is_ok() {
            tell_begun.put(());
        }
        let result = first.map_err(|error| error.kind()).and_then(|()| drain(reader));
        tell_seen.put((result, request.context().cause()));
        "an answer\n"
    };
    let route = route(handler).streamed();
    let route = match limit {
        Some(limit) => route.body_limit(limit),
        None => route,
    };
    Observed { served: Served::with(route, configure), begun, seen }
}

struct Observed {
    served: Served,
    begun: std::sync::Arc<Channel<()>>,
    seen: std::sync::Arc<Channel<Seen>>,
}

impl Observed {
    /// A client whose handler has begun to read.
    fn post(&self, rest: &str) -> Client {
        let client = self.served.post(rest);
        self.begun.take();
        client
    }
}

#[test]
fn a_client_that_goes_is_an_error_and_ends_the_context() {
    let observed = observed(|builder| builder, None);
    for framing in ["Content-Length: 100\r\n\r\nx", "Transfer-Encoding: chunked\r\n\r\n5\r\nx"] {
        for with_reset in [false, true] {
            let client = observed.post(framing);
            if with_reset {
                SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).unwrap();
            }
            drop(client);
            let seen = observed.seen.take();
            let expected = (Err(ErrorKind::ConnectionReset), Some(Cause::ClientGone));
            assert_eq!(seen, expected, "{framing:?}, reset: {with_reset}");
        }
    }
}

#[test]
fn a_half_closed_client_is_told_that_its_request_is_not_whole() {
    let observed = observed(|builder| builder, None);
    let mut client = observed.post("Content-Length: 100\r\n\r\nx");
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(observed.seen.take(), (Err(ErrorKind::ConnectionReset), Some(Cause::ClientGone)));
    assert_eq!(client.answer().status, 400);
    client.assert_ended();
}

#[test]
fn a_malformed_chunk_is_refused_and_an_error() {
    let observed = observed(|builder| builder, None);
    for malformed in ["y\r\n", "\r\n", "5\n", "-1\r\n", "5\r\n12345oops"] {
        let mut client = observed.post("Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
        client.send(malformed);
        let answer = client.answer();
        assert_eq!((answer.status, answer.close), (400, true), "{malformed:?}");
        client.assert_ended();
        let (result, cause) = observed.seen.take();
        assert_eq!((result, cause), (Err(ErrorKind::InvalidData), Some(Cause::ClientGone)), "{malformed:?}");
    }
}

#[test]
fn a_client_that_is_too_slow_is_answered_408() {
    let pause = Timeouts::default().body(Duration::from_millis(100));
    let observed = observed(|builder| builder.timeouts(pause), None);
    let mut client = observed.post("Content-Length: 100\r\n\r\nx");
    let answer = client.answer();
    assert_eq!((answer.status, answer.close), (408, true));
    client.assert_ended();
    assert_eq!(observed.seen.take().0, Err(ErrorKind::TimedOut));
}

#[test]
fn more_than_the_limit_is_answered_413() {
    let observed = observed(|builder| builder, Some(10));
    // The length is declared, so the server does not even call the handler.
    let mut client = observed.served.post("Content-Length: 11\r\n\r\n");
    assert_eq!((client.answer().status, client.assert_ended()), (413, ()));
    let mut client = observed.post("Transfer-Encoding: chunked\r\n\r\na\r\nxxxxxxxxxx\r\n");
    client.send("1\r\n");
    assert_eq!((client.answer().status, client.assert_ended()), (413, ()));
    assert_eq!(observed.seen.take().0, Err(ErrorKind::InvalidData));
    // The content has exactly the length of the limit.
    for whole in [
        "Content-Length: 10\r\n\r\nxxxxxxxxxx",
        "Transfer-Encoding: chunked\r\n\r\na\r\nxxxxxxxxxx\r\n0\r\n\r\n",
    ] {
        let mut client = observed.post(whole);
        assert_eq!((client.answer().status, observed.seen.take()), (200, (Ok(9), None)));
    }
}

#[test]
fn an_early_answer_arrives_whole_and_ends_the_connection() {
    let served = Served::new(|request: &Request| {
        request.reader().read_exact(&mut [0]).unwrap();
        (StatusCode::FORBIDDEN, "x".repeat(100_000))
    });
    for rest in ["Content-Length: 100\r\n\r\nab", "Transfer-Encoding: chunked\r\n\r\n5\r\nab"] {
        let mut client = served.post(rest);
        let answer = client.answer();
        assert_eq!((answer.status, answer.close, answer.content.len()), (403, true, 100_000));
        client.assert_ended();
    }
}

#[test]
fn the_go_ahead_is_sent_when_the_handler_first_reads() {
    const EXPECT: &str = "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let (begun, go_on) = (Channel::new(), Channel::new());
    let (tell, wait) = (begun.clone(), go_on.clone());
    let served = Served::new(move |request: &Request| {
        tell.put(());
        if wait.take() { format!("{:?}", drain(request.reader())) } else { "no, thank you".to_owned() }
    });
    let mut client = served.post(EXPECT);
    begun.take();
    nothing_comes(&mut client, Duration::from_millis(50));
    go_on.put(true);
    assert_eq!(client.answer().status, 100);
    client.send("hello");
    let answer = client.answer();
    assert_eq!((answer.text(), answer.close), ("Ok(5)", false));
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{EXPECT}"));
    begun.take();
    go_on.put(false);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text(), answer.close), (200, "no, thank you", true));
    client.assert_ended();
    // A client that does not wait needs no interim response.
    let mut client = served.post(format!("{EXPECT}hello"));
    begun.take();
    go_on.put(true);
    assert!(matches!(client.answer().status, 100 | 200), "the server may have the content already");
}

#[test]
fn several_requests_behind_each_other() {
    let served = Served::new(|request: &Request| {
        let mut text = String::new();
        request
            .reader()
            .read_to_string(&mut text)
            .map(|_| text)
            .unwrap_or_else(|error: io::Error| error.to_string())
    });
    let mut client = Client::connect(served.address());
    let one = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none";
    let two = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n";
    client.send([one, two].concat().repeat(50));
    for _ in 0..50 {
        assert_eq!((client.answer().text(), client.answer().text()), ("one", "two"));
    }
}
