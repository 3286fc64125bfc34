//! Rules about responses, which no handler can break.

use std::borrow::Cow;

use softstop::{
    IntoResponse, Limits, Method, Response, StatusCode,
    internals::http::{Conn, Head, LARGE_BODY, ReadEvent, body_is_separate, parts},
};

use crate::play::RESPOND;

/// The bytes of the response to a request with this method.
pub(crate) fn encode(method: &str, response: &Response) -> Vec<u8> {
    let (mut connection, mut head, mut out) = (Conn::new(), Head::default(), Vec::new());
    let input = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
    let received = connection.receive(input.as_bytes(), &mut head, &Limits::default()).unwrap();
    assert_eq!(received.event, ReadEvent::Head);
    connection.respond(&parts(response), RESPOND, &mut out);
    out
}

#[test]
fn some_responses_have_no_content() {
    // RFC 9110 sections 8.6, 15.3.5, 15.3.6 and 15.4.5.
    let rows = [
        (200, "GET", Some("Content-Length: 4"), "text"),
        (200, "HEAD", Some("Content-Length: 4"), ""),
        (204, "GET", None, ""),
        (205, "GET", Some("Content-Length: 0"), ""),
        (304, "GET", None, ""),
        (404, "GET", Some("Content-Length: 4"), "text"),
        (404, "HEAD", Some("Content-Length: 4"), ""),
    ];
    for (status, method, length, content) in rows {
        let response = (StatusCode::from_u16(status).unwrap(), "text").into_response();
        let text = String::from_utf8(encode(method, &response)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let found = head.lines().find(|line| line.starts_with("Content-Length"));
        assert_eq!((found, body), (length, content), "{status} to {method}");
    }
}

#[test]
fn status_lines_are_complete() {
    // RFC 9112 section 4: the space stays even if the phrase is empty.
    for (status, line) in [
        (200, "HTTP/1.1 200 OK"),
        (404, "HTTP/1.1 404 Not Found"),
        (299, "HTTP/1.1 299 "),
        (999, "HTTP/1.1 999 "),
    ] {
        let response = StatusCode::from_u16(status).unwrap().into_response();
        let text = String::from_utf8(encode("GET", &response)).unwrap();
        assert_eq!(text.split("\r\n").next(), Some(line));
    }
    assert!([0, 99, 1000, u16::MAX].into_iter().all(|code| StatusCode::from_u16(code).is_none()));
}

#[test]
fn large_content_is_left_to_the_caller() {
    for (length, separate) in [(0, false), (LARGE_BODY, false), (LARGE_BODY + 1, true)] {
        let response = vec![b'x'; length].into_response();
        assert_eq!(body_is_separate(&parts(&response), Method::Get), separate);
        assert!(!body_is_separate(&parts(&response), Method::Head), "a response to HEAD has no content");
        let out = encode("GET", &response);
        let start = out.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(out.len() - start, if separate { 0 } else { length });
        let line = format!("\r\nContent-Length: {length}\r\n");
        assert!(String::from_utf8_lossy(&out[..start]).contains(&line));
    }
    let not_modified = (StatusCode::NOT_MODIFIED, vec![b'x'; LARGE_BODY + 1]).into_response();
    assert!(!body_is_separate(&parts(&not_modified), Method::Get));
}

#[test]
fn fields_are_checked() {
    let refused: &[(&str, &str)] = &[
        ("", "a"),
        ("A B", "c"),
        ("A:", "b"),
        ("A\r\nB", "c"),
        ("\u{e4}", "a"),
        ("A", "b\r\nC: d"),
        ("A", "b\nC: d"),
        ("A", "b\r"),
        ("A", "b\0"),
        ("A", "b\x7f"),
        ("A", "\u{e4}"),
        ("A", " b"),
        ("A", "b\t"),
        ("Content-Type", "a\r\nB: c"),
        ("Content-Length", "5"),
        ("content-length", "5"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "keep-alive"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "close"),
        ("Trailer", "A"),
        ("TE", "trailers"),
        ("Upgrade", "websocket"),
        ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ];
    for (name, value) in refused {
        let mut response = Response::new(StatusCode::CREATED).header("A", "1").with_body("kept");
        let error = response.try_header(name, value).unwrap_err();
        assert!(error.to_string().contains(": "), "the error says what to do: {error}");
        assert_eq!(error.name(), *name);
        let kept = (response.status().as_u16(), response.headers().count(), response.body().as_bytes());
        assert_eq!(kept, (201, 1, Some(&b"kept"[..])), "the response is as it was");
        // A handler gives this answer if it returns the error with `?`.
        let answer = Err::<Response, _>(error).into_response();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    for (name, value) in [("A", ""), ("Set-Cookie", "a=\"b\"; Path=/"), ("!#$%&'*+-.^_`|~", "a\tb")] {
        let response = Response::new(StatusCode::OK).header(name, value);
        assert_eq!(response.headers().collect::<Vec<_>>(), [(name, value)]);
        let line = format!("\r\n{name}: {value}\r\n");
        assert!(String::from_utf8(encode("GET", &response)).unwrap().contains(&line));
    }
}

#[test]
fn there_is_one_content_type() {
    // RFC 9110 section 8.3.
    let response =
        "<p>".into_response().content_type("text/html").header("CONTENT-TYPE", "text/plain").header("A", "1");
    assert_eq!(response.headers().collect::<Vec<_>>(), [("Content-Type", "text/plain"), ("A", "1")]);
    let response = response.content_type("text/html");
    assert_eq!(response.headers().next(), Some(("Content-Type", "text/html")));
}

#[test]
#[should_panic(expected = "\"Connection\" is a field of the server's own")]
fn framing_fields_panic() {
    let _ = Response::new(StatusCode::OK).header("Connection", "close");
}

#[test]
#[should_panic(expected = "\"Content-Type\" has an invalid value")]
fn invalid_media_types_panic() {
    let _ = Response::new(StatusCode::OK).content_type("a\r\n");
}

#[test]
#[should_panic(expected = "100 Continue announces a response")]
fn interim_responses_panic() {
    let _ = (StatusCode::CONTINUE, "text").into_response();
}

#[test]
fn values_become_responses() {
    const TEXT: Option<&str> = Some("text/plain; charset=utf-8");
    const BINARY: Option<&str> = Some("application/octet-stream");
    let teapot = StatusCode::from_u16(418).unwrap();
    let rows: Vec<(Response, u16, Option<&str>, &[u8])> = vec![
        ("a".into_response(), 200, TEXT, b"a"),
        (String::from("a").into_response(), 200, TEXT, b"a"),
        (Cow::Borrowed("a").into_response(), 200, TEXT, b"a"),
        (Cow::<str>::Owned("a".into()).into_response(), 200, TEXT, b"a"),
        (vec![1].into_response(), 200, BINARY, &[1]),
        ((&[1_u8][..]).into_response(), 200, BINARY, &[1]),
        (StatusCode::NOT_FOUND.into_response(), 404, None, b""),
        (().into_response(), 204, None, b""),
        ((teapot, "a").into_response(), 418, TEXT, b"a"),
        ((teapot, StatusCode::OK).into_response(), 418, None, b""),
        (Ok::<_, StatusCode>("a").into_response(), 200, TEXT, b"a"),
        (Err::<(), _>((teapot, "a")).into_response(), 418, TEXT, b"a"),
        (Response::new(teapot).with_body("a").into_response(), 418, None, b"a"),
    ];
    for (response, status, media_type, body) in rows {
        let found = response.headers().next().map(|(_, value)| value);
        assert_eq!((response.status().as_u16(), found), (status, media_type), "{response:?}");
        assert_eq!(response.body().as_bytes(), Some(body));
    }
}
