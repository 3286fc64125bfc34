//! Rules about the connection: the responses, their form, and whether the connection stays open.

use softstop::{
    IntoResponse, Limits, Method, StatusCode,
    internals::http::{
        AfterResponse, Conn, Head, ReadEvent, ReadPhase, Received, Refusal, ResponseOptions, parts,
        refusal_parts,
    },
};

use crate::play::RESPOND;

/// A connection under test, with its buffers.
struct Session {
    connection: Conn,
    head: Head,
    limits: Limits,
    out: Vec<u8>,
}

impl Session {
    fn new() -> Self {
        let limits = Limits::default();
        Session { connection: Conn::new(), head: Head::default(), limits, out: Vec::new() }
    }

    /// A session that has received a head.
    fn with_head(input: &[u8]) -> Self {
        let mut session = Session::new();
        assert_eq!(session.receive(input), (input.len(), ReadEvent::Head), "{}", input.escape_ascii());
        session
    }

    fn receive(&mut self, input: &[u8]) -> (usize, ReadEvent) {
        let Received { consumed, event } =
            self.connection.receive(input, &mut self.head, &self.limits).unwrap();
        (consumed, event)
    }

    fn respond(&mut self, options: ResponseOptions<'_>) -> (AfterResponse, String) {
        let start = self.out.len();
        let after = self.connection.respond(&parts(&"hi".into_response()), options, &mut self.out);
        (after, String::from_utf8(self.out[start..].to_vec()).unwrap())
    }
}

const NEED_INPUT: (usize, ReadEvent) = (0, ReadEvent::NeedInput);

#[test]
fn a_connection_is_small() {
    // A server may have a hundred thousand connections.
    assert!(size_of::<Conn>() <= 64, "{} bytes", size_of::<Conn>());
}

#[test]
fn phases_follow_the_request() {
    let mut session = Session::new();
    assert_eq!(session.connection.phase(), ReadPhase::Idle);
    assert_eq!(session.receive(b""), NEED_INPUT);
    assert_eq!(session.receive(b"\r\n"), NEED_INPUT);
    assert_eq!(session.connection.phase(), ReadPhase::Idle, "an empty line is no request");
    assert_eq!(session.receive(b"\r\nP"), NEED_INPUT);
    assert_eq!(session.connection.phase(), ReadPhase::InHead);
    let head = b"\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(session.receive(head), (head.len(), ReadEvent::Head));
    assert_eq!(session.connection.phase(), ReadPhase::InBody);
    assert_eq!(session.receive(b"hi"), NEED_INPUT, "the handler has not asked for the content");
    session.connection.read_body(2).unwrap();
    assert_eq!(session.receive(b""), NEED_INPUT);
    assert_eq!(session.receive(b"h"), (1, ReadEvent::Data(0..1)));
    assert_eq!(session.connection.phase(), ReadPhase::InBody);
    assert_eq!(session.receive(b"iGET"), (1, ReadEvent::Data(0..1)));
    assert_eq!(session.receive(b"GET"), (0, ReadEvent::End));
    assert_eq!(session.connection.phase(), ReadPhase::Handling);
    assert_eq!(session.respond(RESPOND).0, AfterResponse::KeepAlive);
    assert_eq!(session.connection.phase(), ReadPhase::Idle);
    assert_eq!(session.receive(b"GET"), NEED_INPUT);
    assert_eq!(session.connection.phase(), ReadPhase::InHead);
    session.connection.refuse(
        &refusal_parts(&Refusal::new(StatusCode::REQUEST_TIMEOUT, "Too slow.")),
        RESPOND,
        &mut session.out,
    );
    assert!(session.out.ends_with(b"\r\n\r\nToo slow."));
    assert_eq!(session.connection.phase(), ReadPhase::Closed);
    assert_eq!(session.receive(b"GET"), (3, ReadEvent::NeedInput), "the input is discarded");
}

#[test]
fn responses_have_a_length_and_a_date() {
    // RFC 9112 section 4, RFC 9110 sections 6.6.1 and 8.6.
    let mut session = Session::with_head(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(session.receive(b""), (0, ReadEvent::End));
    let expected = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(session.respond(RESPOND), (AfterResponse::KeepAlive, expected.into()));
}

#[test]
fn responses_say_what_becomes_of_the_connection() {
    // RFC 9112 sections 9.3 and 9.6. The columns: the request, whether the server wants to close, what the connection
    // does afterwards, the field of the response.
    let rows: &[(&[u8], bool, AfterResponse, &str)] = &[
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, AfterResponse::KeepAlive, ""),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true, AfterResponse::Close, "Connection: close\r\n"),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            false,
            AfterResponse::Close,
            "Connection: close\r\n",
        ),
        (b"GET / HTTP/1.0\r\n\r\n", false, AfterResponse::Close, "Connection: close\r\n"),
        (
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            false,
            AfterResponse::KeepAlive,
            "Connection: keep-alive\r\n",
        ),
        (
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            true,
            AfterResponse::Close,
            "Connection: close\r\n",
        ),
        // RFC 9110 section 9.3.6: tunnelled bytes may follow the head.
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", false, AfterResponse::Close, "Connection: close\r\n"),
    ];
    for (input, close, after, line) in rows {
        let mut session = Session::with_head(input);
        assert_eq!(session.receive(b""), (0, ReadEvent::End));
        let (found, text) = session.respond(ResponseOptions { close: *close, ..RESPOND });
        assert_eq!(found, *after, "{}", input.escape_ascii());
        let said = text.split_inclusive("\r\n").find(|line| line.starts_with("Connection")).unwrap_or("");
        assert_eq!(said, *line, "{}", input.escape_ascii());
        let phase = if *after == AfterResponse::Close { ReadPhase::Closed } else { ReadPhase::Idle };
        assert_eq!(session.connection.phase(), phase);
    }
}

#[test]
fn nothing_follows_whoever_has_asked_for_the_close_and_sent_everything() {
    let nothing_follows = |input: &[u8], is_whole: bool| {
        let mut session = Session::with_head(input);
        if is_whole {
            assert_eq!(session.receive(b""), (0, ReadEvent::End));
        }
        session.respond(ResponseOptions { close: true, ..RESPOND });
        session.connection.nothing_follows()
    };
    assert!(nothing_follows(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", true));
    assert!(nothing_follows(b"GET / HTTP/1.0\r\n\r\n", true));
    // These requests do not ask for a close.
    assert!(!nothing_follows(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true));
    assert!(!nothing_follows(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true));
    assert!(!nothing_follows(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", true));
    // The content of this request is still on its way.
    let asks = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\n";
    assert!(!nothing_follows(asks, false));
    // After a refusal, the server cannot know what follows.
    let mut refused = Session::with_head(b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\n");
    let refusal = refused.connection.read_body(1).unwrap_err();
    refused.connection.refuse(&refusal_parts(&refusal), RESPOND, &mut refused.out);
    assert!(!refused.connection.nothing_follows());
}

#[test]
fn early_responses_close() {
    let rows: &[(&[u8], AfterResponse)] = &[
        // Nothing more of the first two requests is to come.
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", AfterResponse::KeepAlive),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", AfterResponse::KeepAlive),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", AfterResponse::Close),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
            AfterResponse::Close,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", AfterResponse::Close),
    ];
    for (input, after) in rows {
        assert_eq!(Session::with_head(input).respond(RESPOND).0, *after, "{}", input.escape_ascii());
    }
    let mut session = Session::with_head(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
    session.connection.read_body(2).unwrap();
    assert_eq!(session.receive(b"h"), (1, ReadEvent::Data(0..1)));
    assert_eq!(session.respond(RESPOND).0, AfterResponse::Close, "a byte of the content is missing");
}

#[test]
fn answers_to_head_end_at_their_head() {
    // RFC 9110 section 9.3.2.
    let mut session = Session::with_head(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(session.connection.method(), Method::Head);
    assert_eq!(session.receive(b""), (0, ReadEvent::End));
    let (after, text) = session.respond(RESPOND);
    assert_eq!(after, AfterResponse::KeepAlive);
    assert!(text.ends_with("\r\nContent-Length: 2\r\n\r\n"), "{text}");

    // The first bytes tell HEAD from other methods, even if the head is not valid. The next request starts anew.
    for (input, is_head_request) in [
        (&b"HEAD / HTTP/1.1\r\nA B\r\n\r\n"[..], true),
        (b"\r\nHEAD / HTTP/1.1 \r\n", true),
        (b"GET / HTTP/1.1\r\nA B\r\n\r\n", false),
        (b"HEADS / HTTP/1.1\r\nA B\r\n\r\n", false),
    ] {
        let refusal = session.connection.receive(input, &mut session.head, &session.limits).unwrap_err();
        assert_eq!(session.connection.method() == Method::Head, is_head_request, "{}", input.escape_ascii());
        session.out.clear();
        session.connection.refuse(&refusal_parts(&refusal), RESPOND, &mut session.out);
        assert_eq!(session.out.ends_with(b"\r\n\r\n"), is_head_request, "{}", input.escape_ascii());
        session = Session::with_head(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        session.respond(RESPOND);
    }
}

#[test]
fn a_go_ahead_is_given_to_those_who_wait_for_it() {
    // RFC 9110 section 10.1.1. The columns: the version, the fields, whether an interim response is owed.
    let rows: &[(&str, &str, bool)] = &[
        ("1.1", "Content-Length: 5\r\nExpect: 100-continue", true),
        ("1.1", "Transfer-Encoding: chunked\r\nExpect: 100-Continue", true),
        ("1.1", "Content-Length: 5", false),
        ("1.1", "Content-Length: 0\r\nExpect: 100-continue", false),
        ("1.1", "Expect: 100-continue", false),
        ("1.0", "Content-Length: 5\r\nExpect: 100-continue", false),
    ];
    for (version, fields, owed) in rows {
        let input = format!("POST / HTTP/{version}\r\nHost: a\r\n{fields}\r\n\r\n");
        let mut session = Session::with_head(input.as_bytes());
        assert!(!session.connection.wants_continue(), "the handler has not asked for the content");
        session.connection.read_body(5).unwrap();
        assert_eq!(session.connection.wants_continue(), *owed, "{input}");
        session.connection.write_continue(&mut session.out);
        let sent: &[u8] = if *owed { b"HTTP/1.1 100 Continue\r\n\r\n" } else { b"" };
        assert_eq!(session.out, sent, "{input}");
        assert!(!session.connection.wants_continue(), "the connection owes one interim response only");
    }
    // This client did not wait for the interim response.
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
    let mut session = Session::with_head(head);
    session.connection.read_body(5).unwrap();
    assert_eq!(session.receive(b""), NEED_INPUT);
    assert!(session.connection.wants_continue());
    assert_eq!(session.receive(b"5"), (1, ReadEvent::NeedInput));
    assert!(!session.connection.wants_continue());
    session.connection.write_continue(&mut session.out);
    assert!(session.out.is_empty());
}

#[test]
fn unwanted_content_is_refused_before_it_comes() {
    // RFC 9110 section 15.5.14.
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n";
    let mut session = Session::with_head(head);
    let refusal = session.connection.read_body(5).unwrap_err();
    assert_eq!(refusal.status(), StatusCode::CONTENT_TOO_LARGE);
    assert!(!session.connection.wants_continue());
    assert_eq!(session.connection.phase(), ReadPhase::Closed);
    session.connection.refuse(&refusal_parts(&refusal), RESPOND, &mut session.out);
    let text = String::from_utf8(session.out).unwrap();
    assert!(
        text.starts_with("HTTP/1.1 413 Content Too Large\r\n") && text.contains("\r\nConnection: close\r\n")
    );
    assert!(text.ends_with(refusal.reason()));
}

#[test]
fn a_slow_peer_costs_little() {
    // This test would take minutes if each byte made the connection parse everything again.
    let limits = Limits::default().target_bytes(1 << 20).header_bytes(1 << 20);
    let long = "v".repeat(1 << 19);
    let input = format!("GET /{long} HTTP/1.1\r\nHost: a\r\nA: {long}\r\n\r\n").into_bytes();
    let (mut connection, mut head) = (Conn::new(), Head::default());
    for length in 1..input.len() {
        let received = connection.receive(&input[..length], &mut head, &limits).unwrap();
        assert_eq!((received.consumed, received.event), NEED_INPUT);
    }
    assert_eq!(connection.receive(&input, &mut head, &limits).unwrap().event, ReadEvent::Head);
}

#[test]
fn a_head_is_reused_without_allocation() {
    let input = b"GET /a?b HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
    let mut session = Session::with_head(input);
    let place = |head: &Head| (head.method_str().as_ptr(), head.headers().count());
    let before = place(&session.head);
    for _ in 0..3 {
        assert_eq!(session.receive(b""), (0, ReadEvent::End));
        session.respond(RESPOND);
        assert_eq!(session.receive(input), (input.len(), ReadEvent::Head));
        assert_eq!(place(&session.head), before);
    }
}
