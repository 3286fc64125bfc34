//! Plays the bytes of a client against a connection and notes down what they meant.

use std::ops::Range;

use softstop::{
    IntoResponse,
    http::{After, Conn, Event, Framing, Head, Limits, Refusal, Respond, StatusCode},
};

/// What a connection made of its input, independent of how that was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Request { line: String, host: Option<String>, framing: Framing },
    Content(Vec<u8>),
    End,
    Refused(Refusal),
    Closed,
}

pub(crate) const RESPOND: Respond<'static> = Respond { date: b"Sun, 06 Nov 1994 08:49:37 GMT", close: false };

/// Presents `input`, cut at the ends of `pieces`, to a new connection whose every request is answered. Checks on the
/// way that the connection keeps its promises.
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
            assert!(received.consumed <= available.len(), "no more is consumed than there is");
            match received.event {
                Event::NeedInput => {
                    start += received.consumed;
                    break;
                }
                Event::Head => {
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
                Event::Data(range) => {
                    assert!(
                        !range.is_empty() && range.end <= received.consumed,
                        "data are bytes of the input"
                    );
                    match seen.last_mut() {
                        Some(Seen::Content(content)) => content.extend_from_slice(&available[range]),
                        _ => seen.push(Seen::Content(available[range].to_vec())),
                    }
                }
                Event::End => {
                    seen.push(Seen::End);
                    out.clear();
                    let after = connection.respond(&"ok".into_response().parts(), RESPOND, &mut out);
                    assert!(out.starts_with(b"HTTP/1.1 200 OK\r\n"));
                    if after == After::Close {
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

/// A refusal ends the connection with an answer, and nothing that follows changes that.
fn refuse(connection: &mut Conn, refusal: Refusal, seen: &mut Vec<Seen>) {
    let mut out = Vec::new();
    connection.refuse(&refusal, RESPOND, &mut out);
    let status_line = format!("HTTP/1.1 {}\r\n", refusal.status());
    assert!(out.starts_with(status_line.as_bytes()));
    assert!(out.windows(21).any(|window| window == b"\r\nConnection: close\r\n"));
    assert!(refusal.status() >= StatusCode::BAD_REQUEST && !refusal.reason().is_empty());
    let later = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let received = connection.receive(later, &mut Head::default(), &Limits::default());
    assert_eq!(
        received.map(|received| (received.consumed, received.event)),
        Ok((later.len(), Event::NeedInput))
    );
    seen.push(Seen::Refused(refusal));
}

/// All of the input at once.
pub(crate) fn play_whole(input: &[u8], limits: &Limits) -> Vec<Seen> {
    let whole = 0..input.len();
    play(input, std::slice::from_ref(&whole), limits)
}

/// Byte by byte.
pub(crate) fn play_bytes(input: &[u8], limits: &Limits) -> Vec<Seen> {
    let pieces: Vec<_> = (0..input.len()).map(|at| at..at + 1).collect();
    play(input, &pieces, limits)
}

/// Whether the same bytes, presented at once and in pieces, came to the same. There is one thing in which they may
/// differ: what is wrong within a line may be refused at once, or only with the line's end.
pub(crate) fn agree(whole: &[Seen], pieces: &[Seen]) -> bool {
    match whole {
        _ if whole == pieces => true,
        [before @ .., Seen::Refused(_)] => before == pieces,
        _ => false,
    }
}
