//! A caller that makes every permitted call, in an arbitrary order. The first bytes choose the calls, and the other
//! bytes are the received data.
#![no_main]

use libfuzzer_sys::fuzz_target;
use softstop::{
    IntoResponse, Limits, StatusCode,
    internals::http::{AfterResponse, Conn, Head, ReadEvent, ReadPhase, Refusal, ResponseOptions, parts, refusal_parts},
};

fuzz_target!(|input: &[u8]| {
    let Some((script, input)) = input.split_at_checked(16) else { return };
    let limits = Limits::default().target_bytes(300).header_bytes(500).header_count(20).body_bytes(1000);
    let (mut connection, mut head, mut out) = (Conn::new(), Head::default(), Vec::new());
    let (mut start, mut end) = (0, 0);
    for &step in script.iter().cycle().take(4 * (input.len() + script.len())) {
        let options = ResponseOptions { date: b"Sun, 06 Nov 1994 08:49:37 GMT", close: step & 128 != 0 };
        out.clear();
        let phase = connection.phase();
        match (phase, step % 32) {
            (ReadPhase::Closed, _) => {
                let received = connection.receive(input, &mut head, &limits);
                assert_eq!(received.map(|received| received.consumed), Ok(input.len()));
                return;
            }
            (ReadPhase::Handling, _) | (ReadPhase::InBody, 0) => {
                let after = connection.respond(&parts(&"ok".into_response()), options, &mut out);
                assert!(out.starts_with(b"HTTP/1.1 200 OK\r\n"));
                let closing = out.windows(19).any(|window| window == b"\r\nConnection: close");
                assert_eq!(closing, after == AfterResponse::Close);
                assert_eq!(connection.phase() == ReadPhase::Closed, after == AfterResponse::Close);
            }
            (_, 1) => {
                connection.refuse(&refusal_parts(&Refusal::new(StatusCode::REQUEST_TIMEOUT, "slow")), options, &mut out);
                assert!(out.starts_with(b"HTTP/1.1 408 Request Timeout\r\n"));
                assert_eq!(connection.phase(), ReadPhase::Closed);
            }
            (_, 2) => {
                let owed = connection.wants_continue();
                connection.write_continue(&mut out);
                assert_eq!(owed, out.starts_with(b"HTTP/1.1 100 Continue\r\n\r\n"));
                assert!(!connection.wants_continue());
            }
            (_, more) => {
                end = (end + usize::from(more)).min(input.len());
                let Ok(received) = connection.receive(&input[start..end], &mut head, &limits) else {
                    assert_eq!(connection.phase(), ReadPhase::Closed);
                    continue;
                };
                assert!(received.consumed <= end - start);
                if let ReadEvent::Data(range) = &received.event {
                    assert!(!range.is_empty() && range.end <= received.consumed);
                }
                if received.event == ReadEvent::Head {
                    assert!(head.path() == "*" || head.path().starts_with('/'));
                    assert!(head.headers().all(|(name, _)| head.header(name).is_some()));
                    if step & 64 == 0 {
                        assert_eq!(
                            connection.read_body(1000).is_err(),
                            connection.phase() == ReadPhase::Closed
                        );
                    }
                }
                start += received.consumed;
            }
        }
    }
});
