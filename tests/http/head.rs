//! Rules about the request line and the fields.

use softstop::{
    Limits, Method,
    http::Version,
    internals::http::{Conn, Framing, Head, ReadEvent, Refusal},
};

use crate::play::{Seen, play, play_bytes, play_whole};

/// Plays the input whole, byte by byte, and cut in two at every byte. All results must be the same.
pub(crate) fn play_every_way(input: &[u8], limits: &Limits) -> Vec<Seen> {
    let seen = play_whole(input, limits);
    assert_eq!(seen, play_bytes(input, limits), "byte by byte: {}", input.escape_ascii());
    for cut in 1..input.len() {
        let halves = play(input, &[0..cut, cut..input.len()], limits);
        assert_eq!(seen, halves, "cut at {cut}: {}", input.escape_ascii());
    }
    seen
}

/// The status of the refusal with which the input ends.
pub(crate) fn refusal(input: &[u8], limits: &Limits) -> Option<u16> {
    match play_every_way(input, limits).last() {
        Some(Seen::Refused(refusal)) => Some(refusal.status().as_u16()),
        _ => None,
    }
}

pub(crate) fn request_with(fields: &[u8]) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: a\r\n", fields, b"\r\n\r\n"].concat()
}

/// The head that makes up the whole input, or the refusal.
fn parse(input: &[u8]) -> Result<Head, Refusal> {
    let mut head = Head::default();
    let received = Conn::new().receive(input, &mut head, &Limits::default())?;
    assert_eq!(
        (received.event, received.consumed),
        (ReadEvent::Head, input.len()),
        "{}",
        input.escape_ascii()
    );
    Ok(head)
}

#[test]
fn bad_request_lines_are_refused() {
    let rows: &[(&str, u16, &[u8])] = &[
        // Bytes before the request line.
        ("9112 2.2", 400, b"\n"),
        ("9112 2.2", 400, b"\r\n\n"),
        ("9112 2.2", 400, b"\r\n\r\n\r\n"),
        ("9112 2.2", 400, b"\rGET / HTTP/1.1\r\n"),
        ("9112 3", 400, b" GET / HTTP/1.1\r\n"),
        ("9112 3", 400, b"\tGET / HTTP/1.1\r\n"),
        ("9112 3", 400, b"   \r\n"),
        ("9112 2.2", 400, b"\0"),
        ("9112 2.2", 400, b"\x16\x03\x01\x02\x00\x01"),
        ("9112 2.2", 400, b"\x80\x2e\x01"),
        ("9112 2.2", 400, b"\xef\xbb\xbfGET / HTTP/1.1\r\n"),
        // The method.
        ("9112 3.1", 400, b"/ HTTP/1.1\r\n"),
        ("9112 3.1", 400, b"GE(T / HTTP/1.1\r\n"),
        ("9112 3.1", 400, b"GET: / HTTP/1.1\r\n"),
        ("9112 3.1", 400, b"G@T / HTTP/1.1\r\n"),
        ("9112 3.1", 400, b"\"GET\" / HTTP/1.1\r\n"),
        ("9112 3.1", 400, b"GET\x7f / HTTP/1.1\r\n"),
        ("9112 3.1", 400, b"GET\xdf / HTTP/1.1\r\n"),
        ("9112 3.1", 400, b"GET\0 / HTTP/1.1\r\n"),
        ("9112 3", 400, b"GET\r\n"),
        ("9112 3", 400, b"GET\t/ HTTP/1.1\r\n"),
        ("9112 3", 501, b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG"),
        // The separators.
        ("9112 3", 400, b"GET  / HTTP/1.1\r\n"),
        ("9112 3", 400, b"GET /  HTTP/1.1\r\n"),
        ("9112 3", 400, b"GET /\tHTTP/1.1\r\n"),
        ("9112 3", 400, b"GET / HTTP/1.1 \r\n"),
        ("9112 3", 400, b"GET / HTTP/1.1\t\r\n"),
        ("9112 3", 400, b"GET /a b HTTP/1.1\r\n"),
        ("9112 3", 400, b"GET / HTTP/1.1 HTTP/1.0\r\n"),
        ("9112 3", 400, b"GET  HTTP/1.1\r\n"),
        ("9112 3", 400, b"GET /\x0bHTTP/1.1\r\n"),
        ("9112 3", 400, b"GET / \r\n"),
        // The version.
        ("9112 2.3", 400, b"GET /\r\n"),
        ("9112 2.3", 400, b"GET / http/1.1\r\n"),
        ("9112 2.3", 400, b"GET / Http/1.1\r\n"),
        ("9112 2.3", 400, b"GET / HTTP/1\r\n"),
        ("9112 2.3", 400, b"GET / HTTP/11\r\n"),
        ("9112 2.3", 400, b"GET / HTTP/1.\r\n"),
        ("9112 2.3", 400, b"GET / HTTP/.1\r\n"),
        ("9112 2.3", 400, b"GET / HTTP/1.1.1\r\n"),
        ("9112 2.3", 400, b"GET / HTTP/1.10\r\n"),
        ("9112 2.3", 400, b"GET / HTTP/01.1\r\n"),
        ("9112 2.3", 400, b"GET / HTTP/1.1x\r\n"),
        ("9112 2.3", 400, b"GET / HTTP/1. 1\r\n"),
        ("9112 2.3", 400, b"GET / HTTP /1.1\r\n"),
        ("9112 2.3", 400, b"GET / HTTP/-1.1\r\n"),
        ("9112 2.3", 400, b"GET / HTTP/+1.1\r\n"),
        ("9112 2.3", 400, b"GET / HTTP/1,1\r\n"),
        ("9112 2.3", 400, b"GET / HTTP/1.a\r\n"),
        ("9112 2.3", 400, b"GET / HTPP/1.1\r\n"),
        ("9112 2.3", 400, b"GET / XHTTP/1.1\r\n"),
        ("9112 2.3", 400, b"GET / HTTP/4294967297.1\r\n"),
        ("9112 2.3", 400, b"GET / HTTP/1.1\0\r\n"),
        ("9110 15.6.6", 505, b"GET / HTTP/2.0\r\n"),
        ("9110 15.6.6", 505, b"GET / HTTP/3.0\r\n"),
        ("9110 15.6.6", 505, b"GET / HTTP/0.9\r\n"),
        ("9110 15.6.6", 505, b"GET / HTTP/0.0\r\n"),
        ("9110 15.6.6", 505, b"GET / HTTP/9.9\r\n"),
        ("9113 3.4", 505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        // The end of the line.
        ("9112 2.2", 400, b"GET / HTTP/1.1\n"),
        ("9112 2.2", 400, b"GET / HTTP/1.1\rHost: a\r\r"),
        ("9112 2.2", 400, b"GET / HTTP/1.1\r\r\n"),
        ("9112 2.2", 400, b"GET\r/\rHTTP/1.1\r\n"),
        // The target.
        ("9112 3.2", 400, b"GET /a\rb HTTP/1.1\r\n"),
        ("9112 3.2", 400, b"GET /a\nb HTTP/1.1\r\n"),
        ("9112 3.2", 400, b"GET /a\0b HTTP/1.1\r\n"),
        ("9112 3.2", 400, b"GET /a\x7fb HTTP/1.1\r\n"),
        ("9112 3.2", 400, b"GET /caf\xc3\xa9 HTTP/1.1\r\n"),
        ("9112 3.2", 400, b"GET /?caf\xc3\xa9 HTTP/1.1\r\n"),
        ("9112 3.2", 400, b"GET /\xff HTTP/1.1\r\n"),
        ("9112 3.2", 400, b"GET /#part HTTP/1.1\r\n"),
        ("9112 3.2", 400, b"GET /?a#part HTTP/1.1\r\n"),
        ("3986 3.3", 400, b"GET /a\"b HTTP/1.1\r\n"),
        ("3986 3.3", 400, b"GET /<a> HTTP/1.1\r\n"),
        ("3986 3.3", 400, b"GET /a\\b HTTP/1.1\r\n"),
        ("3986 3.3", 400, b"GET /a^b HTTP/1.1\r\n"),
        ("3986 3.3", 400, b"GET /a`b HTTP/1.1\r\n"),
        ("3986 3.3", 400, b"GET /{a} HTTP/1.1\r\n"),
        ("3986 3.3", 400, b"GET /a|b HTTP/1.1\r\n"),
        ("3986 3.3", 400, b"GET /[a] HTTP/1.1\r\n"),
        ("9112 3.2.1", 400, b"GET ../../etc/passwd HTTP/1.1\r\n"),
        ("9112 3.2.1", 400, b"GET \\ HTTP/1.1\r\n"),
        ("9112 3.2.1", 400, b"GET ?name=x HTTP/1.1\r\n"),
        ("9112 3.2.1", 400, b"GET index.html HTTP/1.1\r\n"),
        ("9112 3.2.2", 400, b"GET http:/// HTTP/1.1\r\n"),
        ("9112 3.2.2", 400, b"GET http:// HTTP/1.1\r\n"),
        ("9112 3.2.2", 400, b"GET http:/a HTTP/1.1\r\n"),
        ("9112 3.2.2", 400, b"GET http://:80/ HTTP/1.1\r\n"),
        ("9112 3.2.2", 400, b"GET http://a:b/ HTTP/1.1\r\n"),
        ("9112 3.2.2", 400, b"GET http://a/[b] HTTP/1.1\r\n"),
        ("9112 3.2.2", 400, b"GET http://a/#x HTTP/1.1\r\n"),
        ("9112 3.2.2", 400, b"GET ftp://a/ HTTP/1.1\r\n"),
        ("9110 4.2.4", 400, b"GET http://user:pw@a/ HTTP/1.1\r\n"),
        ("9110 4.2.4", 400, b"GET http://user@a/ HTTP/1.1\r\n"),
        ("9110 7.4", 421, b"GET https://a/ HTTP/1.1\r\n"),
        ("9112 3.2.3", 400, b"GET a:80 HTTP/1.1\r\n"),
        ("9112 3.2.3", 400, b"CONNECT / HTTP/1.1\r\n"),
        ("9112 3.2.3", 400, b"CONNECT http://a:80/ HTTP/1.1\r\n"),
        ("9112 3.2.3", 400, b"CONNECT a:80?x HTTP/1.1\r\n"),
        ("9110 9.3.6", 400, b"CONNECT a HTTP/1.1\r\n"),
        ("9110 9.3.6", 400, b"CONNECT a: HTTP/1.1\r\n"),
        ("9112 3.2.4", 400, b"GET * HTTP/1.1\r\n"),
        ("9112 3.2.4", 400, b"OPTIONS *?x HTTP/1.1\r\n"),
        ("9112 3.2.4", 400, b"OPTIONS ** HTTP/1.1\r\n"),
    ];
    for (section, status, input) in rows {
        assert_eq!(
            refusal(input, &Limits::default()),
            Some(*status),
            "RFC {section}: {}",
            input.escape_ascii()
        );
    }
}

#[test]
fn bad_field_lines_are_refused() {
    let rows: &[(&str, u16, &[u8])] = &[
        ("9112 5", 400, b":"),
        ("9112 5", 400, b": b"),
        ("9112 5", 400, b"A"),
        ("9112 5", 400, b"A b"),
        ("9112 5.1", 400, b"A : b"),
        ("9112 5.1", 400, b"A\t: b"),
        ("9112 5.1", 400, b"Content-Length : 0"),
        ("9112 5.1", 400, b"Transfer-Encoding : chunked"),
        ("9112 5", 400, b"A B: c"),
        ("9112 5", 400, b"A\0B: c"),
        ("9112 5", 400, b"A\x01B: c"),
        ("9112 5", 400, b"A\x7fB: c"),
        ("9112 5", 400, b"A\xe9B: c"),
        ("9112 5", 400, b"A\xa0: c"),
        ("9112 5", 400, b"A(B: c"),
        ("9112 5", 400, b"A,B: c"),
        ("9112 5", 400, b"A/B: c"),
        ("9112 5", 400, b"A;B: c"),
        ("9112 5", 400, b"A<B: c"),
        ("9112 5", 400, b"A=B: c"),
        ("9112 5", 400, b"A@B: c"),
        ("9112 5", 400, b"A[B: c"),
        ("9112 5", 400, b"A\\B: c"),
        ("9112 5", 400, b"A{B: c"),
        ("9112 5", 400, b"A\"B: c"),
        ("9112 5", 400, b"\x0bA: b"),
        ("9112 5", 400, b"A-\r\nB: c"),
        ("9112 5.2", 400, b" A: b"),
        ("9112 5.2", 400, b"A: b\r\n c"),
        ("9112 5.2", 400, b"A: b\r\n\tc"),
        ("9112 5.2", 400, b"A: b\r\n \r\n c"),
        ("9112 5.2", 400, b"Transfer-Encoding:\r\n chunked"),
        ("9110 5.5", 400, b"A: b\0c"),
        ("9110 5.5", 400, b"A: \0"),
        ("9110 5.5", 400, b"A: b\x01c"),
        ("9110 5.5", 400, b"A: b\x0b"),
        ("9110 5.5", 400, b"A: \x0cb"),
        ("9110 5.5", 400, b"A: b\x1bc"),
        ("9110 5.5", 400, b"A: b\x7fc"),
        ("9112 2.2", 400, b"A: b\rC: d"),
        ("9112 2.2", 400, b"A:\rC: d"),
        ("9112 2.2", 400, b"A: b\r"),
        ("9112 2.2", 400, b"A: b\nC: d"),
        ("9112 2.2", 400, b"A: b \nC: d"),
        ("9112 2.2", 400, b"A:\nC: d"),
        ("9112 2.2", 400, b"A: b\n"),
        ("9112 2.2", 400, b"A: b\r\n\n"),
        ("9112 2.2", 400, b"A: b\r\n\rC: d"),
        // Content-Length.
        ("9110 8.6", 400, b"Content-Length:"),
        ("9110 8.6", 400, b"Content-Length: +5"),
        ("9110 8.6", 400, b"Content-Length: -5"),
        ("9110 8.6", 400, b"Content-Length: 0x5"),
        ("9110 8.6", 400, b"Content-Length: 5e0"),
        ("9110 8.6", 400, b"Content-Length: 5.0"),
        ("9110 8.6", 400, b"Content-Length: 5a"),
        ("9110 8.6", 400, b"Content-Length: 0 5"),
        ("9110 8.6", 400, b"Content-Length: \"5\""),
        ("9110 8.6", 400, b"Content-Length: 5_0"),
        ("9110 8.6", 400, b"Content-Length: 5;"),
        ("9110 8.6", 400, b"Content-Length: : 5"),
        ("9110 8.6", 400, b"Content-Length: 5,5"),
        ("9110 8.6", 400, b"Content-Length: 5, 6"),
        ("9110 8.6", 400, b"Content-Length: 5,"),
        ("9110 8.6", 400, b"Content-Length: \xef\xbc\x95"),
        ("9110 8.6", 400, b"Content-Length: 18446744073709551616"),
        ("9110 8.6", 400, b"Content-Length: 999999999999999999999999999999"),
        ("9112 6.3", 400, b"Content-Length: 5\r\nContent-Length: 5"),
        ("9112 6.3", 400, b"Content-Length: 5\r\ncontent-length: 6"),
        // Transfer-Encoding.
        ("9112 6.1", 400, b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
        ("9112 6.1", 400, b"Transfer-Encoding: chunked\r\nContent-Length: 0"),
        ("9112 6.1", 400, b"Transfer-Encoding: gzip\r\nContent-Length: 0"),
        ("9112 6.1", 400, b"Transfer-Encoding: chunked, gzip"),
        ("9112 6.1", 400, b"Transfer-Encoding: chunked, chunked"),
        ("9112 6.1", 400, b"Transfer-Encoding: gzip, chunked, gzip"),
        ("9112 6.1", 400, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        ("9112 6.1", 400, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        ("9112 6.1", 400, b"Transfer-Encoding: chunked\r\nTransfer-Encoding:"),
        ("9112 6.1", 400, b"Transfer-Encoding:"),
        ("9112 6.1", 400, b"Transfer-Encoding: ,"),
        ("9112 6.1", 400, b"Transfer-Encoding: , chunked"),
        ("9112 6.1", 400, b"Transfer-Encoding: chunked,"),
        ("9112 6.1", 400, b"Transfer-Encoding: x chunked"),
        ("9112 6.1", 400, b"Transfer-Encoding: chunked=1"),
        ("9112 6.1", 400, b"Transfer-Encoding: chunked;a=b"),
        ("9112 6.1", 400, b"Transfer-Encoding: \"chunked\""),
        ("9112 6.1", 400, b"Transfer-Encoding: \\chunked"),
        ("9112 6.1", 400, b"Transfer-Encoding: \xffchunked"),
        ("9112 6.1", 400, b"Transfer-Encoding: \x0bchunked"),
        ("9112 6.1", 501, b"Transfer-Encoding: gzip"),
        ("9112 6.1", 501, b"Transfer-Encoding: identity"),
        ("9112 6.1", 501, b"Transfer-Encoding: chunkedchunked"),
        ("9112 6.1", 501, b"Transfer-Encoding: gzip, chunked"),
        ("9112 6.1", 501, b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"),
        // Expect.
        ("9110 10.1.1", 417, b"Expect: a-pony"),
        ("9110 10.1.1", 417, b"Expect: 100-continue, a-pony"),
        ("9110 10.1.1", 417, b"Expect: 100-continued"),
        ("9110 10.1.1", 417, b"Expect: y 100-continue"),
        ("9110 10.1.1", 417, b"Expect: 100-continue\r\nExpect: a-pony"),
        // Host. The request has one Host field already.
        ("9112 3.2", 400, b"Host: a"),
        ("9112 3.2", 400, b"A: b\r\nHOST: other"),
    ];
    for (section, status, field) in rows {
        let input = request_with(field);
        assert_eq!(
            refusal(&input, &Limits::default()),
            Some(*status),
            "RFC {section}: {}",
            field.escape_ascii()
        );
    }
}

#[test]
fn bad_hosts_are_refused() {
    let rows: &[(&str, &[u8])] = &[
        ("9110 4.2.1", b""),
        ("9110 4.2.1", b":80"),
        ("9110 4.2.4", b"user@a"),
        ("9110 4.2.4", b"user:pw@a"),
        ("9112 3.2", b"a b"),
        ("9112 3.2", b"a, b"),
        ("9112 3.2", b"a/b"),
        ("9112 3.2", b"http://a"),
        ("9112 3.2", b"a?b"),
        ("9112 3.2", b"a#b"),
        ("9112 3.2", b"a\\b"),
        ("9112 3.2", b"\"a\""),
        ("9112 3.2", b"<a>"),
        ("9112 3.2", b"ex\xc3\xa4mple"),
        ("3986 3.2.3", b"a:b"),
        ("3986 3.2.3", b"a:-1"),
        ("3986 3.2.3", b"a:80:80"),
        ("3986 3.2.3", b"a:8 0"),
        ("3986 2.1", b"a%"),
        ("3986 2.1", b"a%2"),
        ("3986 2.1", b"a%zz"),
        ("3986 3.2.2", b"::1"),
        ("3986 3.2.2", b"[::1"),
        ("3986 3.2.2", b"::1]"),
        ("3986 3.2.2", b"[]"),
        ("3986 3.2.2", b"[a]"),
        ("3986 3.2.2", b"[1.2.3.4]"),
        ("3986 3.2.2", b"[::1]80"),
        ("3986 3.2.2", b"[::1]:x"),
        ("3986 3.2.2", b"[1::2::3]"),
        ("3986 3.2.2", b"[12345::]"),
        ("3986 3.2.2", b"[fe80::1%25eth0]"),
        ("3986 3.2.2", b"[v.a]"),
        ("3986 3.2.2", b"[v1.]"),
        ("3986 3.2.2", b"[vg.a]"),
        ("3986 3.2.2", b"[v1]"),
    ];
    for (section, host) in rows {
        for version in ["HTTP/1.0", "HTTP/1.1"] {
            let input = [b"GET / ", version.as_bytes(), b"\r\nHost: ", host, b"\r\n\r\n"].concat();
            let status = refusal(&input, &Limits::default());
            assert_eq!(status, Some(400), "RFC {section}: {}", input.escape_ascii());
        }
    }
    // RFC 9112 section 3.2: the number of Host fields.
    let counts: &[(Option<u16>, &[u8])] = &[
        (Some(400), b"GET / HTTP/1.1\r\n\r\n"),
        (Some(400), b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n"),
        (Some(400), b"GET / HTTP/1.9\r\n\r\n"),
        (Some(400), b"GET http://a/ HTTP/1.1\r\n\r\n"),
        (Some(400), b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        (Some(400), b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
        (None, b"GET / HTTP/1.0\r\n\r\n"),
    ];
    for (status, input) in counts {
        assert_eq!(refusal(input, &Limits::default()), *status, "{}", input.escape_ascii());
    }
}

#[test]
fn valid_hosts_are_taken() {
    for host in [
        "a",
        "EXAMPLE.com",
        "example.com.",
        "example.com:80",
        "example.com:",
        "example.com:65536",
        "127.0.0.1:7000",
        "a_b-c~d!$&'()*+,;=",
        "%41%c3%a4.example",
        "[::1]",
        "[::1]:",
        "[2001:DB8::1]:443",
        "[::ffff:192.0.2.1]",
        "[v1.fe:x]:1",
    ] {
        let input = format!("GET / HTTP/1.1\r\nHost: \t{host} \r\n\r\n");
        assert_eq!(parse(input.as_bytes()).unwrap().host(), Some(host));
        let input = format!("GET http://{host}/ HTTP/1.1\r\nHost: other\r\n\r\n");
        assert_eq!(parse(input.as_bytes()).unwrap().host(), Some(host), "absolute-form");
    }
}

#[test]
fn targets_are_taken_apart() {
    // RFC 9112 section 3.2. The columns: method, target, path, query, host.
    let rows: &[(&str, &str, &str, Option<&str>, &str)] = &[
        ("GET", "/", "/", None, "a"),
        ("GET", "/?", "/", Some(""), "a"),
        ("GET", "/?a=b", "/", Some("a=b"), "a"),
        ("GET", "/a/b?c?d/e", "/a/b", Some("c?d/e"), "a"),
        ("GET", "//b/c", "//b/c", None, "a"),
        ("GET", "/%00%zz%", "/%00%zz%", None, "a"),
        ("GET", "/a-._~!$&'()*+,;=:@b", "/a-._~!$&'()*+,;=:@b", None, "a"),
        ("GET", "/?\\^`{|}[]\"<>", "/", Some("\\^`{|}[]\"<>"), "a"),
        ("GET", "/../..", "/../..", None, "a"),
        ("GET", "http://b", "/", None, "b"),
        ("GET", "HTTP://b:8/c?d", "/c", Some("d"), "b:8"),
        ("GET", "http://b?c", "/", Some("c"), "b"),
        ("GET", "http://[::1]:8/c", "/c", None, "[::1]:8"),
        ("GET", "http://b//c", "//c", None, "b"),
        ("OPTIONS", "*", "*", None, "a"),
        ("OPTIONS", "/", "/", None, "a"),
        ("CONNECT", "b:443", "/", None, "b:443"),
        ("CONNECT", "[::1]:443", "/", None, "[::1]:443"),
        ("get", "/", "/", None, "a"),
        ("M-SEARCH", "/", "/", None, "a"),
        ("!#$%&'*+-.^_`|~09", "/", "/", None, "a"),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF", "/", "/", None, "a"),
    ];
    for (method, target, path, query, host) in rows {
        let input = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = parse(input.as_bytes()).unwrap();
        assert_eq!((head.method_str(), head.target()), (*method, *target));
        assert_eq!((head.path(), head.query(), head.host()), (*path, *query, Some(*host)), "{target}");
        let seen = play_every_way(input.as_bytes(), &Limits::default());
        assert!(matches!(seen[..2], [Seen::Request { .. }, Seen::End]), "{target}");
    }
}

#[test]
fn methods_have_case() {
    let named = |name: &str| {
        let target = if name == "CONNECT" { "a:1" } else { "/" };
        parse(format!("{name} {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap().method()
    };
    for method in [
        Method::Get,
        Method::Head,
        Method::Post,
        Method::Put,
        Method::Delete,
        Method::Connect,
        Method::Options,
        Method::Trace,
        Method::Patch,
    ] {
        assert_eq!(named(method.as_str()), method);
    }
    for other in ["get", "Get", "GE", "GETS", "Q", "PROPFIND"] {
        assert_eq!(named(other), Method::Other, "{other}");
    }
}

#[test]
fn versions_are_told_apart() {
    // RFC 9110 section 6.2: a higher minor version is handled as 1.1.
    for (text, version) in [
        ("HTTP/1.0", Version::Http10),
        ("HTTP/1.1", Version::Http11),
        ("HTTP/1.2", Version::Http11),
        ("HTTP/1.9", Version::Http11),
    ] {
        let head = parse(format!("GET / {text}\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(head.version(), version, "{text}");
    }
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    // RFC 9112 section 2.2.
    for lines in ["", "\r\n", "\r\n\r\n"] {
        let input = format!("{lines}GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let seen = play_every_way(input.as_bytes(), &Limits::default());
        assert!(matches!(seen[..], [Seen::Request { .. }, Seen::End]), "{lines:?}");
        assert_eq!(parse(input.as_bytes()).unwrap().header("host"), Some(&b"a"[..]));
    }
}

#[test]
fn field_values_may_hold_what_the_grammar_allows() {
    // RFC 9110 section 5.5.
    let rows: &[(&[u8], &[u8])] = &[
        (b"", b""),
        (b" ", b""),
        (b" \t b \t ", b"b"),
        (b"b", b"b"),
        (b" a:b: c::", b"a:b: c::"),
        (b" a\tb", b"a\tb"),
        (b" \xe9\x80\xff", b"\xe9\x80\xff"),
        (b" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    ];
    for (sent, value) in rows {
        let input = request_with(&[b"A:", *sent].concat());
        assert!(matches!(play_every_way(&input, &Limits::default())[..], [Seen::Request { .. }, Seen::End]));
        assert_eq!(parse(&input).unwrap().header("a"), Some(*value));
    }
    let head = parse(&request_with(b"!#$%&'*+-.^_`|~09aZ: b\r\nA: 1\r\na: 2")).unwrap();
    let fields: Vec<_> = head.headers().collect();
    let expected: &[(&str, &[u8])] =
        &[("Host", b"a"), ("!#$%&'*+-.^_`|~09aZ", b"b"), ("A", b"1"), ("a", b"2")];
    assert_eq!(fields, expected);
    assert_eq!((head.header("A"), head.header("b")), (Some(&b"1"[..]), None));
}

#[test]
fn framing_follows_from_the_fields() {
    // RFC 9112 section 6.3.
    let rows: &[(&[u8], Framing)] = &[
        (b"A: b", Framing::None),
        (b"Content-Length: 0", Framing::Length(0)),
        (b"Content-Length: 5", Framing::Length(5)),
        (b"content-length:\t 010 ", Framing::Length(10)),
        (b"CONTENT-LENGTH: 0000000000000000000000000000000000000005", Framing::Length(5)),
        (b"Content-Length: 18446744073709551615", Framing::Length(u64::MAX)),
        (b"Transfer-Encoding: chunked", Framing::Chunked),
        (b"TRANSFER-ENCODING: CHUNKED", Framing::Chunked),
        (b"transfer-encoding:\tChunkeD \t", Framing::Chunked),
        // These names only resemble those of the framing fields.
        (b"Content_Length: 5", Framing::None),
        (b"ContentLength: 5", Framing::None),
        (b"TransferEncoding: chunked", Framing::None),
        (b"TE: chunked", Framing::None),
        (b"Content-Encoding: chunked", Framing::None),
    ];
    for (field, framing) in rows {
        assert_eq!(parse(&request_with(field)).unwrap().framing(), *framing, "{}", field.escape_ascii());
    }
    // Section 6.1: HTTP/1.0 has no transfer codings.
    let input = b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refusal(input, &Limits::default()), Some(400));
}

#[test]
fn persistence_follows_from_version_and_options() {
    // RFC 9112 section 9.3.
    let rows: &[(&[u8], bool, bool)] = &[
        (b"A: b", false, true),
        (b"Connection: close", false, false),
        (b"Connection: Close", false, false),
        (b"connection: x, CLOSE", false, false),
        (b"Connection: x,close,y", false, false),
        (b"Connection: ,\t,close", false, false),
        (b"Connection: x\r\nConnection: close", false, false),
        (b"Connection: close\r\nConnection: x", false, false),
        (b"Connection: keep-alive, close", false, false),
        (b"Connection: close\r\nConnection: keep-alive", false, false),
        (b"Connection: Keep-Alive", true, true),
        (b"Connection: x, keep-alive", true, true),
        (b"Connection:", false, true),
        (b"Connection: closed", false, true),
        (b"Connection: x close", false, true),
        (b"Connection: \"close\"", false, true),
        (b"X-Connection: close", false, true),
        (b"Proxy-Connection: keep-alive", false, true),
    ];
    for (fields, http10, http11) in rows {
        for (version, keep_alive) in [("1.0", http10), ("1.1", http11)] {
            let start = format!("GET / HTTP/{version}\r\nHost: a\r\n");
            let head = parse(&[start.as_bytes(), fields, b"\r\n\r\n"].concat()).unwrap();
            assert_eq!(head.keep_alive(), *keep_alive, "{version} {}", fields.escape_ascii());
        }
    }
}

#[test]
fn expectations_are_for_http_1_1() {
    // RFC 9110 section 10.1.1.
    for value in ["100-continue", "100-Continue", "\t100-CONTINUE ", "100-continue, 100-continue"] {
        for (version, expects) in [("1.0", false), ("1.1", true)] {
            let input = format!("GET / HTTP/{version}\r\nHost: a\r\nExpect: {value}\r\n\r\n");
            assert_eq!(parse(input.as_bytes()).unwrap().expects_continue(), expects, "{input}");
        }
    }
    assert!(!parse(b"GET / HTTP/1.0\r\nExpect: a-pony\r\n\r\n").unwrap().expects_continue());
}

#[test]
fn heads_are_bounded() {
    let limits = Limits::default().target_bytes(10).header_bytes(40).header_count(3).body_bytes(10);
    let rows: &[(&str, Option<u16>, &[u8])] = &[
        ("9112 3", None, b"GET /456789abc"),
        ("9112 3", Some(414), b"GET /123456789a"),
        ("9112 3", Some(414), b"GET /?123456789"),
        ("9112 3", Some(414), b"CONNECT aaaaaaaaaaa"),
        ("9112 3", None, b"GET /123456789 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("9112 3", Some(414), b"GET /1234567890 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("6585 5", None, b"GET / HTTP/1.1\r\nHost: a\r\nB: 890123456789012345678901\r\n\r\n"),
        ("6585 5", Some(431), b"GET / HTTP/1.1\r\nHost: a\r\nB: 8901234567890123456789012\r\n\r\n"),
        ("6585 5", Some(431), b"GET / HTTP/1.1\r\nNeverEndingNeverEndingNeverEndingNeverEn"),
        ("6585 5", None, b"GET / HTTP/1.1\r\nHost: a\r\nB: 1\r\nC: 2\r\n\r\n"),
        ("6585 5", Some(431), b"GET / HTTP/1.1\r\nHost: a\r\nB: 1\r\nC: 2\r\nD: 3\r\n"),
    ];
    for (section, status, input) in rows {
        assert_eq!(refusal(input, &limits), *status, "RFC {section}: {}", input.escape_ascii());
    }
}

#[test]
fn long_heads_come_out_the_same_in_small_pieces() {
    // The head has more lines than the parser takes at a time. The head has more bytes than the parser looks at again
    // for each new byte.
    let mut input = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    let limit = Limits::default().get_header_count();
    for number in 1..limit {
        input.extend_from_slice(format!("Field-{number}: {}\r\n", "v".repeat(number)).as_bytes());
    }
    let complete = [&input[..], b"\r\n"].concat();
    assert_eq!(parse(&complete).unwrap().headers().count(), limit);
    assert!(matches!(play_every_way(&complete, &Limits::default())[..], [Seen::Request { .. }, Seen::End]));
    let one_more = [&input[..], b"a:b\r\n\r\n"].concat();
    assert_eq!(refusal(&one_more, &Limits::default()), Some(431));
    let bare_line_feed = [&input[..], b"a:b\n\r\n"].concat();
    let many = Limits::default().header_count(1000);
    assert_eq!(refusal(&bare_line_feed, &many), Some(400));
}
