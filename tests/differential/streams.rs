//! Streams for both parsers: the requests of the probe's cases, and generated requests that are then damaged.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::Union;
use serde_json::Value;

/// The bytes that the probe's cases send, each with its name. Pauses and the like are left out, because all bytes are
/// there at once.
pub(crate) fn of_the_probe() -> Vec<(String, Vec<u8>)> {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../probe/cases.json")).unwrap();
    let stream = |case: &Value| (case["id"].as_str().unwrap().to_owned(), bytes(&case["send"]));
    cases.iter().map(stream).collect()
}

/// The bytes that a step or a script of `cases.json` sends (see `probe/case.rs`).
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        // Every character stands for one byte.
        Value::String(text) => text.chars().map(|c| u8::try_from(c).unwrap()).collect(),
        Value::Array(pieces) => pieces.iter().flat_map(bytes).collect(),
        Value::Object(step) => match (step.get("repeat"), step.get("drip")) {
            (Some(repeated), _) => {
                bytes(repeated).repeat(step["times"].as_u64().unwrap().try_into().unwrap())
            }
            (None, Some(dripped)) => bytes(dripped),
            (None, None) => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// One to three requests, most of them valid. Half of the streams have one to three damages.
pub(crate) fn made_up() -> impl Strategy<Value = Vec<u8>> {
    (vec(request(), 1..4), prop_oneof![Just(Vec::new()), vec(damage(), 1..4)]).prop_map(
        |(requests, damages)| {
            let mut stream = requests.concat();
            damages.into_iter().for_each(|damage| damage.apply(&mut stream));
            stream
        },
    )
}

/// Mostly `usual`, and sometimes one of `others`.
fn mostly(usual: &'static str, others: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop_oneof![40 => Just(usual), 1 => select(others)]
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    const METHODS: &[&str] = &["GET", "POST", "HEAD", "PUT", "OPTIONS", "get", "M-SEARCH"];
    const TARGETS: &[&str] = &[
        "/",
        "/a/b?c=d",
        "/?",
        "/a?b?c",
        "http://a",
        "http://a/b?c",
        "http://a:80?b",
        "/%41",
        "//a",
        "/a?[b]^`\\c",
    ];
    const DOUBTFUL: &[&str] = &[
        "*",
        "a:80",
        "a",
        "[::1]:80",
        "https://a/",
        "http://u@a/",
        "/%",
        "/a|b",
        "/a?{\"b\"}",
        "/#a",
        "/é",
        "",
        "a/b",
        "/a?<b>",
        "/[a]",
        "ftp://a/",
    ];
    let line = (
        prop_oneof![20 => select(METHODS), 1 => select(&["CONNECT", "G@T", ""][..])],
        mostly(" ", &["  ", "\t", ""]),
        prop_oneof![10 => select(TARGETS), 1 => select(DOUBTFUL)],
        mostly(" ", &["  ", "\t", ""]),
        mostly("HTTP/1.1", &["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.10", "HTTP/01.1", ""]),
        mostly("\r\n", &["\n", "\r", "\r\r\n", " \r\n"]),
    );
    const HOSTS: &[&str] = &[
        "",
        "Host: a\r\nHost: a\r\n",
        "Host:\r\n",
        "Host: a:b\r\n",
        "Host: a b\r\n",
        "host:a,b\r\n",
        "Host: a\n",
    ];
    (
        mostly("", &["\r\n", "\r\n\r\n", "\r\n\r\n\r\n", "\n", " "]),
        line,
        mostly("Host: a\r\n", HOSTS),
        vec(field(), 0..4),
        content(),
    )
        .prop_map(|(before, line, host, fields, (framing, content))| {
            let (method, space, target, another, version, line_end) = line;
            let line = [before, method, space, target, another, version, line_end, host].concat();
            let fields = fields.concat();
            [line.as_bytes(), fields.as_bytes(), framing.as_bytes(), b"\r\n", &content].concat()
        })
}

fn field() -> impl Strategy<Value = &'static str> {
    const HARMLESS: &[&str] =
        &["A: b\r\n", "Connection: keep-alive\r\n", "Accept:*/*\r\n", "A:\r\n", "A: \t b \t\r\n"];
    const DOUBTFUL: &[&str] = &[
        "A : b\r\n",
        " A: b\r\n",
        "A: b\r\n c\r\n",
        "A: b\n",
        "A: b\rc\r\n",
        "A: \0\r\n",
        "A: \u{7f}\r\n",
        ": b\r\n",
        "A\r\n",
        "A: é\r\n",
        "Connection: close\r\n",
        "Connection: a, Close\r\n",
        "Connection: close, keep-alive\r\n",
        "Expect: 100-continue\r\n",
        "Expect: more\r\n",
        "Upgrade: h2c\r\n",
        "Te: trailers\r\n",
        "Trailer: a\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: ,\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length:\r\n",
        "Content_Length: 3\r\n",
    ];
    prop_oneof![20 => select(HARMLESS), 1 => select(DOUBTFUL)]
}

/// The fields that frame a content, and the content. In most streams the fields fit the content.
fn content() -> impl Strategy<Value = (String, Vec<u8>)> {
    let none = Just((String::new(), Vec::new()));
    let measured = vec(any::<u8>(), 0..20)
        .prop_map(|content| (format!("Content-Length: {}\r\n", content.len()), content));
    let size =
        mostly("", &[";a", ";a=b", ";a=\"b;\"", " ", ";", ";=", "\t;a", ";a=\"\n", ";\u{7f}", "x", ";a b"]);
    let end = mostly("\r\n", &["\n", "\r", "", " \r\n"]);
    let digits = mostly("", &["0", "00", "0x", "+", "-", " ", "f000000000000000"]);
    let chunk = (digits, vec(any::<u8>(), 1..20), size, end.boxed(), mostly("\r\n", &["\n", "", "x\r\n"]))
        .prop_map(|(digits, data, extension, end, behind)| {
            let size = format!("{digits}{:x}{extension}{end}", data.len());
            [size.as_bytes(), &data, behind.as_bytes()].concat()
        });
    let last = mostly(
        "0\r\n\r\n",
        &[
            "0\r\nA: b\r\n\r\n",
            "00\r\n\r\n",
            "0\r\nHost: b\r\n\r\n",
            "0\n\n",
            "0\r\nA\r\n\r\n",
            "0\r\n\n",
            "0\r\n A: b\r\n\r\n",
            "",
        ],
    );
    let coding = mostly(
        "Transfer-Encoding: chunked\r\n",
        &[
            "transfer-encoding:CHUNKED\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked;a\r\n",
        ],
    );
    let chunked = (coding, vec(chunk, 0..4), last).prop_map(|(coding, chunks, last)| {
        (coding.to_owned(), [chunks.concat().as_slice(), last.as_bytes()].concat())
    });
    Union::new_weighted(vec![(3, none.boxed()), (2, measured.boxed()), (3, chunked.boxed())])
}

/// A change of the stream at one position.
#[derive(Debug, Clone)]
enum Damage {
    Remove(Index),
    Insert(Index, u8),
    Replace(Index, u8),
    Repeat(Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let byte = || prop_oneof![4 => select(&b"\r\n \t:;,=0123fx\"/?#\0\x7f\x80"[..]), 1 => any::<u8>()];
    prop_oneof![
        any::<Index>().prop_map(Damage::Remove),
        (any::<Index>(), byte()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        (any::<Index>(), byte()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (any::<Index>(), 1_usize..30).prop_map(|(at, length)| Damage::Repeat(at, length)),
    ]
}

impl Damage {
    fn apply(self, stream: &mut Vec<u8>) {
        if stream.is_empty() {
            return;
        }
        let length = stream.len();
        match self {
            Damage::Remove(at) => drop(stream.remove(at.index(length))),
            Damage::Insert(at, byte) => stream.insert(at.index(length), byte),
            Damage::Replace(at, byte) => stream[at.index(length)] = byte,
            Damage::Repeat(at, count) => {
                let start = at.index(length);
                let part = stream[start..length.min(start + count)].to_vec();
                stream.splice(start..start, part);
            }
        }
    }
}
