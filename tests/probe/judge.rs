//! Tests of the probe: which faults it must find, and which verdict a server of known behaviour gets. Without these
//! tests, a probe that accepts everything would look like a server without faults.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::case::{After, Case};
use super::expect::Verdict::{self, Miss, Pass, Warn};
use super::response::{Fault, Reader};

/// How the known server ends a connection.
#[derive(Debug, Clone, Copy)]
enum Ending {
    /// The server waits until the client has ended the connection.
    Stay,
    Close,
    Reset,
}

use Ending::{Close, Reset, Stay};

const HI: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nVary: Accept, Host\r\n\r\nhi";
const TWO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX: 1\r\n\r\na\
                   HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX: 2\r\n\r\nb";
const CUT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const DATED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
const OBSOLETE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: Sunday, 06-Nov-94 08:49:37 GMT\r\n\r\n";

/// The verdict on a server that answers a byte with `reply`, and then ends the connection as `ending` says.
fn verdict(reply: &'static str, ending: Ending, expect: &str) -> Verdict {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.read_exact(&mut [0])?;
        stream.write_all(reply.as_bytes())?;
        match ending {
            Stay => {}
            Close => stream.shutdown(Shutdown::Write)?,
            Reset => {
                // The server waits until the client has taken the reply, because a reset would discard the reply.
                stream.read_exact(&mut [0])?;
                return SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
        }
        stream.read_to_end(&mut Vec::new()).map(drop)
    });
    let send = match ending {
        Stay | Close => r#"["x", {"await": 1, "optional": true}]"#,
        Reset => r#"["x", {"await": 1, "optional": true}, "y"]"#,
    };
    let exchange: After =
        serde_json::from_str(&format!(r#"{{"role": "hello", "send": {send}, "expect": {expect}}}"#))
            .unwrap_or_else(|error| panic!("{expect}: {error}"));
    let report = exchange.run(address).expect("the server is there");
    server.join().expect("the server does not panic").expect("the client stays to the end");
    report.verdict
}

#[test]
fn verdicts() {
    let one = |response: &str| format!(r#"{{"pass": [{{"responses": [{response}]}}]}}"#);
    let ok = |more: &str| one(&format!(r#"{{"status": [200], {more}}}"#));
    let hi = |checks: &str| ok(&format!(r#""headers": {{{checks}}}"#));
    let ending = |end: &str| format!(r#"{{"pass": [{{"responses": [{{"status": [200]}}], {end}}}]}}"#);
    let differ = |name: &str| {
        format!(r#"{{"pass": [{{"responses": [{{"status": [200], "times": 2}}], "differ": ["{name}"]}}]}}"#)
    };
    let table = [
        (HI, Stay, one(r#"{"status": [400, 200], "version": "HTTP/1.1", "body": ["h", "i"]}"#), Pass),
        (HI, Stay, one(r#"{"status": [400]}"#), Miss),
        (HI, Stay, one(r#"{"status": [200], "version": "HTTP/1.0"}"#), Miss),
        (HI, Stay, one(r#"{"status": [200], "body": "ho"}"#), Miss),
        (HI, Stay, one(r#"{"status": [200], "body_any": ["ho", "hi"]}"#), Pass),
        (HI, Stay, one(r#"{"status": [200], "body_any": ["ho", "ha"]}"#), Miss),
        (HI, Stay, one(r#"{"status": [200], "body_has_not": "o"}"#), Pass),
        (HI, Stay, one(r#"{"status": [200], "body_has_not": "i"}"#), Miss),
        (HI, Stay, one(""), Miss),
        (HI, Stay, r#"{"pass": [], "warn": [{"responses": [{"status": [200]}]}]}"#.to_owned(), Warn),
        (HI, Stay, ending(r#""end": "open""#), Pass),
        (HI, Stay, ending(r#""end": "closed""#), Miss),
        (HI, Close, ending(r#""end": "closed""#), Pass),
        (HI, Close, ending(r#""end": "closed", "no_reset": true"#), Pass),
        (HI, Reset, ending(r#""end": "closed""#), Pass),
        (HI, Reset, ending(r#""end": "closed", "no_reset": true"#), Miss),
        (HI, Stay, hi(r#""vary": "present", "x": "absent", "content-length": "=2""#), Pass),
        (HI, Stay, hi(r#""x": "present""#), Miss),
        (HI, Stay, hi(r#""vary": "absent""#), Miss),
        (HI, Stay, hi(r#""content-length": "=3""#), Miss),
        (HI, Stay, hi(r#""vary": "~host", "x": "!~host""#), Pass),
        (HI, Stay, hi(r#""vary": "~cookie""#), Miss),
        (HI, Stay, hi(r#""vary": "!~host""#), Miss),
        (DATED, Stay, hi(r#""date": "imf""#), Pass),
        (DATED, Stay, hi(r#""date": "now""#), Miss),
        (OBSOLETE, Stay, hi(r#""date": "imf""#), Miss),
        (TWO, Stay, ok(r#""times": 2"#), Pass),
        (TWO, Stay, ok(r#""times": 3"#), Miss),
        (TWO, Stay, ok(r#""times": 1"#), Miss),
        (TWO, Stay, ok(r#""each": ["a", "b"]"#), Pass),
        (TWO, Stay, ok(r#""each": ["b", "a"]"#), Miss),
        (TWO, Stay, differ("x"), Pass),
        (TWO, Stay, differ("content-length"), Miss),
        (CONTINUE, Stay, one(r#"{"status": [200], "interim": [100]}"#), Pass),
        (CONTINUE, Stay, one(r#"{"status": [200], "interim": []}"#), Miss),
        (CUT, Close, r#"{"pass": [{"truncated": true}]}"#.to_owned(), Pass),
        (CUT, Close, one(r#"{"status": [200]}"#), Miss),
        (CUT, Stay, r#"{"pass": [{"truncated": true}]}"#.to_owned(), Miss),
        ("HTTP/1.1 20", Close, r#"{"pass": [{"truncated": true}]}"#.to_owned(), Pass),
        ("", Close, r#"{"pass": [{"responses": [], "end": "closed"}]}"#.to_owned(), Pass),
        ("", Close, r#"{"pass": [{"responses": [], "end": "open"}]}"#.to_owned(), Miss),
        ("", Stay, r#"{"pass": [{"responses": [], "end": "open"}]}"#.to_owned(), Pass),
        ("", Stay, r#"{"pass": [{"responses": [], "end": "closed"}]}"#.to_owned(), Miss),
    ];
    thread::scope(|scope| {
        for (reply, ending, expect, wanted) in &table {
            scope.spawn(move || assert_eq!(verdict(reply, *ending, expect), *wanted, "{reply:?} {expect}"));
        }
    });
}

/// The state of a reader that has got these bytes one by one.
fn read(bytes: &str, heads: &[usize]) -> Reader {
    let mut reader = Reader::new(heads);
    for byte in bytes.bytes() {
        reader.push(&[byte]);
        reader.advance(false);
    }
    reader.advance(true);
    reader
}

#[test]
fn good_responses_are_read() {
    let bodies = |bytes, heads| {
        let reader = read(bytes, heads);
        assert!(reader.fault.is_none() && reader.partial.is_none(), "{bytes:?}: {reader:?}");
        reader.done.into_iter().map(|response| String::from_utf8_lossy(&response.body).into_owned()).collect()
    };
    let wanted: [(&str, &[usize], Vec<&str>); 7] = [
        (HI, &[], vec!["hi"]),
        (TWO, &[], vec!["a", "b"]),
        (CONTINUE, &[], vec![""]),
        ("HTTP/1.0 200 \r\n\r\nto the end", &[], vec!["to the end"]),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", &[0], vec![""]),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", &[], vec![""]),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n\
             0a;x=y\r\n0123456789\r\n1\r\n!\r\n0\r\nT: v\r\n\r\n",
            &[],
            vec!["0123456789!"],
        ),
    ];
    for (bytes, heads, wanted) in wanted {
        let got: Vec<String> = bodies(bytes, heads);
        assert_eq!(got, wanted, "{bytes:?}");
    }
}

#[test]
fn bad_responses_are_found_out() {
    let chunked = |content: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{content}");
    let fields = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
    let bad = [
        "hello".to_owned(),
        "HTTP/1.1 200\r\n\r\n".to_owned(),
        "HTTP/1.2 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 099 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 +20 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 200 O\0K\r\n\r\n".to_owned(),
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        "HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n".to_owned() + HI,
        HI.to_owned() + "!",
        fields("no colon"),
        fields(": no name"),
        fields("Space : before the colon"),
        fields("X: a\nb"),
        fields("X: a\rb"),
        fields("X: a\x7fb"),
        fields("Content-Length: +1"),
        fields("Content-Length: 1, 1"),
        fields("Content-Length: 0\r\nContent-Length: 0"),
        fields("Content-Length: 0\r\nTransfer-Encoding: chunked"),
        fields("Transfer-Encoding: gzip, chunked"),
        chunked("\r\n"),
        chunked("+1\r\na\r\n0\r\n\r\n"),
        chunked("0x1\r\na\r\n0\r\n\r\n"),
        chunked("1\r\nab\r\n0\r\n\r\n"),
    ];
    for bytes in bad {
        assert!(matches!(read(&bytes, &[]).fault, Some(Fault::Malformed(_))), "{bytes:?}");
    }
    assert!(matches!(read("HTTP/1.1 200 OK\r\nX: ", &[]).fault, Some(Fault::CutHead)));
}

#[test]
fn misspelt_cases_are_refused() {
    let case = |key: &str| {
        let head = r#""id": "a", "group": "b", "rfc": "c", "level": "MUST", "role": "echo", "about": "d""#;
        serde_json::from_str::<Case>(&format!("{{{head}, {key}}}"))
    };
    assert!(case(r#""send": ["a", {"fin": true}]"#).is_ok());
    let bad = [
        r#""send": ["a"], "setle_ms": 5"#,
        r#""send": [{"fin": false}]"#,
        r#""send": [{"delay": 5}]"#,
        r#""send": [{"delay_ms": 5, "size": 1}]"#,
        r#""send": ["ā"]"#,
        r#""send": ["a"], "expect": {"pass": [{"responses": [], "ends": "closed"}]}"#,
        r#""send": ["a"], "expect": {"pass": [{"responses": [{"status": [200], "headers": {"a": "b"}}]}]}"#,
    ];
    for key in bad {
        assert!(case(key).is_err(), "{key}");
    }
}
