//! Plays the bytes of a client against a connection, and records what the connection reads.

use std::ops::Range;

use softstop::{
    IntoResponse, Limits, StatusCode,
    internals::http::{
        AfterResponse, Conn, Framing, Head, ReadEvent, Refusal, ResponseOptions, parts, refusal_parts,
    },
};

/// An event that a connection reads from its input. The events do not depend on how the input was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Request { line: String, host: Option<String>, framing: Framing },
    Content(Vec<u8>),
    End,
    Refused(Refusal),
    Closed,
}

pub(crate) const RESPOND: ResponseOptions<'static> =
    ResponseOptions { date: b"Sun, 06 Nov 1994 08:49:37 GMT", close: false };

/// Gives `input` to a new connection, cut at the ends of `pieces`. Answers every request. Checks on the way that the
/// connection keeps its promises.
pub(crate) fn play(input: &[u8], pieces: &[Range<usize>], limits: &Limits) -> Vec<Seen> {
    let (mut connection, mut head) = (Conn::new(), Head::default());
    let (mut seen, mut out) = (Vec::new(), Vec::new());
    let mut start = 0;
    for piece in pieces {
        loop {
            let available = &input[start..piece.end];
            let received = match connection.receive(available, &mut head, limits) {
                Ok(received) => received,
                Err(refusal) => {
                    refuse(&mut connection, refusal, &mut seen);
                    return seen;
                }
            };
            assert!(received.consumed <= available.len(), "the connection consumed too much");
            match received.event {
                ReadEvent::NeedInput => {
                    start += received.consumed;
                    break;
                }
                ReadEvent::Head => {
                    seen.push(Seen::Request {
                        line: format!("{} {} {:?}", head.method_str(), head.target(), head.version()),
                        host: head.host().map(str::to_owned),
                        framing: head.framing(),
                    });
                    if let Err(refusal) = connection.read_body(limits.get_body_bytes()) {
                        refuse(&mut connection, refusal, &mut seen);
                        return seen;
                    }
                }
                ReadEvent::Data(range) => {
                    assert!(
                        !range.is_empty() && range.end <= received.consumed,
                        "the content is a part of the input"
                    );
                    match seen.last_mut() {
                        Some(Seen::Content(content)) => content.extend_from_slice(&available[range]),
                        _ => seen.push(Seen::Content(available[range].to_vec())),
                    }
                }
                ReadEvent::End => {
                    seen.push(Seen::End);
                    out.clear();
                    let after = connection.respond(&parts(&"ok".into_response()), RESPOND, &mut out);
                    assert!(out.starts_with(b"HTTP/1.1 200 OK\r\n"));
                    if after == AfterResponse::Close {
                        seen.push(Seen::Closed);
                        return seen;
                    }
                }
            }
            start += received.consumed;
        }
    }
    seen
}

/// A refusal ends the connection with an answer. Further input does not change this end.
fn refuse(connection: &mut Conn, refusal: Refusal, seen: &mut Vec<Seen>) {
    let mut out = Vec::new();
    connection.refuse(&refusal_parts(&refusal), RESPOND, &mut out);
    let status_line = format!("HTTP/1.1 {}\r\n", refusal.status());
    assert!(out.starts_with(status_line.as_bytes()));
    assert!(out.windows(21).any(|window| window == b"\r\nConnection: close\r\n"));
    assert!(refusal.status() >= StatusCode::BAD_REQUEST && !refusal.reason().is_empty());
    let later = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let received = connection.receive(later, &mut Head::default(), &Limits::default());
    assert_eq!(
        received.map(|received| (received.consumed, received.event)),
        Ok((later.len(), ReadEvent::NeedInput))
    );
    seen.push(Seen::Refused(refusal));
}

/// Plays all of the input at once.
pub(crate) fn play_whole(input: &[u8], limits: &Limits) -> Vec<Seen> {
    let whole = 0..input.len();
    play(input, std::slice::from_ref(&whole), limits)
}

/// Plays the input byte by byte.
pub(crate) fn play_bytes(input: &[u8], limits: &Limits) -> Vec<Seen> {
    let pieces: Vec<_> = (0..input.len()).map(|at| at..at + 1).collect();
    play(input, &pieces, limits)
}

/// Whether the same bytes gave the same events at once and in pieces. One difference is allowed: an error within a line
/// may be refused at once, or only at the end of the line.
pub(crate) fn agree(whole: &[Seen], pieces: &[Seen]) -> bool {
    match whole {
        _ if whole == pieces => true,
        [before @ .., Seen::Refused(_)] => before == pieces,
        _ => false,
    }
}
