//! Rules about the content of requests.

use softstop::{Limits, internals::http::Framing};

use crate::head::{play_every_way, refusal};
use crate::play::Seen;

fn chunked(coded: &[u8]) -> Vec<u8> {
    [b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", coded].concat()
}

/// The content of the first request, or `None` if the content does not end.
fn content(input: &[u8], limits: &Limits) -> Option<Vec<u8>> {
    match play_every_way(input, limits) {
        seen if !seen.contains(&Seen::End) => None,
        seen => Some(match &seen[1] {
            Seen::Content(content) => content.clone(),
            _ => Vec::new(),
        }),
    }
}

#[test]
fn valid_chunks_are_decoded() {
    let rows: &[(&str, &[u8], &[u8])] = &[
        ("9112 7.1", b"", b"0\r\n\r\n"),
        ("9112 7.1", b"hello", b"5\r\nhello\r\n0\r\n\r\n"),
        ("9112 7.1", b"hello", b"1\r\nh\r\n1\r\ne\r\n3\r\nllo\r\n0\r\n\r\n"),
        ("9112 7.1", b"0123456789abcdefXXXXXXXXXX", b"1a\r\n0123456789abcdefXXXXXXXXXX\r\n0\r\n\r\n"),
        ("9112 7.1", b"0123456789abcdefXXXXXXXXXX", b"1A\r\n0123456789abcdefXXXXXXXXXX\r\n0\r\n\r\n"),
        ("9112 7.1", b"hello", b"0005\r\nhello\r\n000\r\n\r\n"),
        ("9112 7.1", b"hello", b"00000000000000000000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("9112 7.1", b"0\r\n\r\n", b"5\r\n0\r\n\r\n\r\n0\r\n\r\n"),
        ("9112 7.1.1", b"hello", b"5;a\r\nhello\r\n0\r\n\r\n"),
        ("9112 7.1.1", b"hello", b"5;a=b\r\nhello\r\n0;c\r\n\r\n"),
        ("9112 7.1.1", b"hello", b"5;a=b;c;d=\"e\"\r\nhello\r\n0\r\n\r\n"),
        ("9112 7.1.1", b"hello", b"5;a=\"b c; d\"\r\nhello\r\n0\r\n\r\n"),
        ("9112 7.1.1", b"hello", b"5;a=\"\"\r\nhello\r\n0\r\n\r\n"),
        ("9112 7.1.1", b"hello", b"5;a=\"x\\\"y\\\\z\"\r\nhello\r\n0\r\n\r\n"),
        ("9112 7.1.1", b"hello", b"5;a=\"\xe9\t\"\r\nhello\r\n0\r\n\r\n"),
        ("9112 7.1.1", b"hello", b"5 ; a = b\r\nhello\r\n0\r\n\r\n"),
        ("9112 7.1.1", b"hello", b"5\t;\ta\t=\t\"b\"\t;\tc\r\nhello\r\n0\r\n\r\n"),
        ("9112 7.1.1", b"hello", b"5;a ;b\r\nhello\r\n0\r\n\r\n"),
        ("9112 7.1.2", b"hello", b"5\r\nhello\r\n0\r\nA: 1\r\n\r\n"),
        ("9112 7.1.2", b"hello", b"5\r\nhello\r\n0\r\nA: 1\r\nB:\r\nc:\t2\r\n\r\n"),
        ("9110 6.5.1", b"hello", b"5\r\nhello\r\n0\r\nContent-Length: 99\r\n\r\n"),
        ("9110 6.5.1", b"hello", b"5\r\nhello\r\n0\r\nTransfer-Encoding: identity\r\n\r\n"),
    ];
    for (section, decoded, coded) in rows {
        let input = chunked(coded);
        let found = content(&input, &Limits::default());
        assert_eq!(found.as_deref(), Some(*decoded), "RFC {section}: {}", coded.escape_ascii());
    }
}

#[test]
fn bad_chunks_are_refused() {
    let rows: &[(&str, &[u8])] = &[
        ("9112 7.1", b"\r\n"),
        ("9112 7.1", b";a\r\n"),
        ("9112 7.1", b"0x5\r\n"),
        ("9112 7.1", b"+5\r\n"),
        ("9112 7.1", b"-1\r\n"),
        ("9112 7.1", b" 5\r\n"),
        ("9112 7.1", b"\t5\r\n"),
        ("9112 7.1", b"5 \r\n"),
        ("9112 7.1", b"5\t\r\n"),
        ("9112 7.1", b"5 5\r\n"),
        ("9112 7.1", b"5g\r\n"),
        ("9112 7.1", b"0_5\r\n"),
        ("9112 7.1", b"5,5\r\n"),
        ("9112 7.1", b"5.\r\n"),
        ("9112 7.1", b"5:\r\n"),
        ("9112 7.1", b"\"5\"\r\n"),
        ("9112 7.1", b"5\0\r\n"),
        ("9112 7.1", b"5\x0b\r\n"),
        ("9112 7.1", b"\xef\xbc\x95\r\n"),
        ("9112 7.1", b"10000000000000005\r\n"),
        ("9112 7.1", b"ffffffffffffffffffffffff\r\n"),
        ("9112 7.1", b"000000000000000000000000000000005"),
        ("9112 7.1", b"5\n"),
        ("9112 7.1", b"5\rh"),
        ("9112 7.1", b"5\r\r\n"),
        ("9112 7.1", b"5;a\n"),
        ("9112 7.1", b"5;a\rb"),
        ("9112 7.1", b"5\r\nhelloX"),
        ("9112 7.1", b"5\r\nhell\r\n0\r\n"),
        ("9112 7.1", b"5\r\nhello\n"),
        ("9112 7.1", b"5\r\nhello\rX"),
        ("9112 7.1", b"5\r\nhello0\r\n"),
        ("9112 7.1", b"5\r\nhello\r\n\r\n"),
        ("9112 7.1.1", b"5;\r\n"),
        ("9112 7.1.1", b"5;;a\r\n"),
        ("9112 7.1.1", b"5;=b\r\n"),
        ("9112 7.1.1", b"5;a=\r\n"),
        ("9112 7.1.1", b"5;a b\r\n"),
        ("9112 7.1.1", b"5;a=b c\r\n"),
        ("9112 7.1.1", b"5;a=b=c\r\n"),
        ("9112 7.1.1", b"5;a \r\n"),
        ("9112 7.1.1", b"5;a=b \r\n"),
        ("9112 7.1.1", b"5;a=\"b\r\n"),
        ("9112 7.1.1", b"5;a=\"b\"c\r\n"),
        ("9112 7.1.1", b"5;a=b\"c\"\r\n"),
        ("9112 7.1.1", b"5;a=\"\\\r\n"),
        ("9112 7.1.1", b"5;a\0\r\n"),
        ("9112 7.1.1", b"5;a\x01b\r\n"),
        ("9112 7.1.1", b"5;a=\"\x7f\"\r\n"),
        ("9112 7.1.1", b"5;a=\"\n\"\r\n"),
        ("9112 7.1.1", b"5;\xe9\r\n"),
        ("9112 7.1.2", b"0\r\n\n"),
        ("9112 7.1.2", b"0\r\n\rX"),
        ("9112 7.1.2", b"0\r\n: 1\r\n"),
        ("9112 7.1.2", b"0\r\n A: 1\r\n"),
        ("9112 7.1.2", b"0\r\nA : 1\r\n"),
        ("9112 7.1.2", b"0\r\nA\r\n"),
        ("9112 7.1.2", b"0\r\nA: \0\r\n"),
        ("9112 7.1.2", b"0\r\nA: 1\n"),
        ("9112 7.1.2", b"0\r\nA: 1\r\n 2\r\n"),
    ];
    for (section, coded) in rows {
        let status = refusal(&chunked(coded), &Limits::default());
        assert_eq!(status, Some(400), "RFC {section}: {}", coded.escape_ascii());
    }
}

#[test]
fn unfinished_content_is_waited_for() {
    for coded in ["", "5", "5\r\nhell", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n", "0\r\nA: 1\r\n"] {
        let input = chunked(coded.as_bytes());
        let seen = play_every_way(&input, &Limits::default());
        assert!(!seen.iter().any(|seen| matches!(seen, Seen::End | Seen::Refused(_))), "{coded:?}");
    }
    let input = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nhello";
    assert_eq!(content(input, &Limits::default()), None);
}

#[test]
fn content_is_bounded() {
    let limits = Limits::default().target_bytes(10).header_bytes(100).header_count(2).body_bytes(10);
    let rows: &[(&str, Option<u16>, &[u8])] = &[
        ("9110 15.5.14", None, b"a\r\n0123456789\r\n0\r\n\r\n"),
        ("9110 15.5.14", Some(413), b"b\r\n"),
        ("9110 15.5.14", Some(413), b"ffffffffffffffff\r\n"),
        ("9110 15.5.14", Some(413), b"9\r\n012345678\r\n2\r\n"),
        ("6585 5", None, b"0\r\nA: 1\r\nB: 2\r\n\r\n"),
        ("6585 5", Some(431), b"0\r\nA: 1\r\nB: 2\r\nC: 3\r\n"),
        (
            "6585 5",
            Some(431),
            b"0\r\nA: 1234567890123456789012345678901234567890123456789\
              012345678901234567890123456789012345678901234567",
        ),
    ];
    for (section, status, coded) in rows {
        let found = refusal(&chunked(coded), &limits);
        assert_eq!(found, *status, "RFC {section}: {}", coded.escape_ascii());
    }
    for (length, status) in [("10", None), ("11", Some(413)), ("18446744073709551615", Some(413))] {
        let input = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n0123456789");
        assert_eq!(refusal(input.as_bytes(), &limits), status, "RFC 9110 15.5.14: {length}");
    }
}

#[test]
fn chunk_extensions_are_bounded_as_a_whole() {
    // RFC 9112 section 7.1.1.
    let chunks =
        |count: usize| chunked(&[b"1;a=23456\r\nx\r\n".repeat(count), b"0\r\n\r\n".to_vec()].concat());
    let played = |count| crate::play::play_bytes(&chunks(count), &Limits::default());
    // Each chunk has an extension of eight bytes.
    assert_eq!(played(2048)[1..], [Seen::Content(b"x".repeat(2048)), Seen::End]);
    assert!(matches!(played(2049).last(), Some(Seen::Refused(refusal)) if refusal.status().as_u16() == 400));
}

#[test]
fn requests_behind_one_another_are_told_apart() {
    // RFC 9112 section 9.3.2: the next request begins where the request before ends.
    let next = b"POST /next HTTP/1.1\r\nHost: b\r\nContent-Length: 4\r\n\r\nnext";
    let rows: &[(&[u8], &[u8])] = &[
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b""),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", b""),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", b""),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 14\r\n\r\nGET / HTTP/1.1", b"GET / HTTP/1.1"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\r\n\r\n", b"\r\n\r\n"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nHost: c\r\n\r\n",
            b"hello",
        ),
    ];
    for (first, content) in rows {
        let seen = play_every_way(&[first, &next[..]].concat(), &Limits::default());
        let mut expected = vec![Seen::End];
        expected.extend([
            Seen::Request {
                line: "POST /next Http11".into(),
                host: Some("b".into()),
                framing: Framing::Length(4),
            },
            Seen::Content(b"next".to_vec()),
            Seen::End,
        ]);
        if !content.is_empty() {
            expected.insert(0, Seen::Content(content.to_vec()));
        }
        assert_eq!(seen[1..], expected, "{}", first.escape_ascii());
    }
}
