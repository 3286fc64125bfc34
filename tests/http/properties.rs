//! Properties that hold for all input, tested with much random input.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use softstop::{Limits, Response, StatusCode, internals::http::Framing};

use crate::play::{Seen, agree, play, play_bytes, play_whole};
use crate::response::encode;

/// Cuts `length` bytes into pieces at the given places.
fn pieces(length: usize, cuts: &[prop::sample::Index]) -> Vec<Range<usize>> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(length + 1)).chain([0, length]).collect();
    places.sort_unstable();
    places.windows(2).map(|pair| pair[0]..pair[1]).collect()
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    vec(any::<prop::sample::Index>(), 0..8)
}

/// Bytes that resemble a request more than arbitrary bytes do.
fn near_requests() -> impl Strategy<Value = Vec<u8>> {
    let words: &[&[u8]] = &[
        b"GET",
        b"POST",
        b"HEAD",
        b"OPTIONS",
        b"CONNECT",
        b" ",
        b"  ",
        b"/",
        b"*",
        b"http://a",
        b"a:80",
        b"/?b",
        b" HTTP/1.1\r\n",
        b" HTTP/1.0\r\n",
        b" HTTP/2.0\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\r",
        b"\n",
        b"\0",
        b"\t",
        b":",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\n",
        b"Host: a\r\n",
        b"A: b\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: 0\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Connection: close\r\n",
        b"abc",
        b"3\r\nabc\r\n",
        b"0\r\n",
        b"3;a=\"b\"\r\n",
        b"f",
        b"0\r\n\r\n",
    ];
    let words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
    let piece = prop_oneof![8 => select(words), 1 => vec(any::<u8>(), 0..6)];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// A valid chunked coding of the content. Each chunk has at most `size` bytes.
fn chunks(content: &[u8], size: usize) -> Vec<u8> {
    let mut coded = Vec::new();
    for chunk in content.chunks(size) {
        coded.extend_from_slice(format!("{:x};size=\"{}\"\r\n", chunk.len(), chunk.len()).as_bytes());
        coded.extend_from_slice(chunk);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\nChecksum: none\r\n\r\n");
    coded
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn cuts_do_not_matter(input in near_requests(), cuts in cuts()) {
        let limits = Limits::default().target_bytes(20).header_bytes(200).header_count(5).body_bytes(100);
        let whole = play_whole(&input, &limits);
        for cut in [play(&input, &pieces(input.len(), &cuts), &limits), play_bytes(&input, &limits)] {
            prop_assert!(agree(&whole, &cut), "{:?} but {:?}", whole, cut);
        }
    }

    #[test]
    fn arbitrary_bytes_are_survived(input in vec(any::<u8>(), 0..300)) {
        let whole = play_whole(&input, &Limits::default());
        prop_assert!(agree(&whole, &play_bytes(&input, &Limits::default())));
    }

    #[test]
    fn requests_come_back_as_they_were_sent(
        method in "[A-Z]{1,8}",
        path in "/([a-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-F]{2}){0,40}",
        query in proptest::option::of("[a-z0-9=&?/|{}^]{0,20}"),
        host in "[a-z0-9.-]{1,20}(:[0-9]{0,5})?",
        fields in vec(("X-[A-Za-z0-9-]{0,12}", "([!-~]([\t -~]{0,20}[!-~])?)?"), 0..30),
        content in proptest::option::of(vec(any::<u8>(), 1..200)),
        chunk_size in proptest::option::of(1_usize..50),
        cuts in cuts(),
    ) {
        prop_assume!(method != "CONNECT");
        let target = match &query {
            Some(query) => format!("{path}?{query}"),
            None => path.clone(),
        };
        let mut input = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
        for (name, value) in &fields {
            input.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        let (framing, coded) = match (&content, chunk_size) {
            (None, _) => (Framing::None, Vec::new()),
            (Some(content), None) => {
                input.extend_from_slice(format!("Content-Length: {}\r\n", content.len()).as_bytes());
                (Framing::Length(content.len() as u64), content.clone())
            }
            (Some(content), Some(size)) => {
                input.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
                (Framing::Chunked, chunks(content, size))
            }
        };
        input.extend_from_slice(b"\r\n");
        input.extend_from_slice(&coded);

        let line = format!("{method} {target} Http11");
        let mut expected = vec![Seen::Request { line, host: Some(host), framing }];
        expected.extend(content.map(Seen::Content));
        expected.push(Seen::End);
        prop_assert_eq!(&play(&input, &pieces(input.len(), &cuts), &Limits::default()), &expected);
        prop_assert_eq!(&play_bytes(&input, &Limits::default()), &expected);
    }

    #[test]
    fn chunks_come_back_as_the_content(
        // Each chunk has an extension of 9 bytes. A message may have 16 KiB of extensions.
        content in vec(any::<u8>(), 0..1500),
        size in 1_usize..300,
        cuts in cuts(),
    ) {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let input = [&head[..], &chunks(&content, size)].concat();
        let seen = play(&input, &pieces(input.len(), &cuts), &Limits::default());
        let mut expected = vec![Seen::End];
        if !content.is_empty() {
            expected.insert(0, Seen::Content(content));
        }
        prop_assert_eq!(&seen[1..], expected);
    }

    #[test]
    fn handlers_cannot_break_the_framing(
        code in 200_u16..=999,
        fields in vec((".{0,12}|[A-Za-z-]{1,12}", ".{0,20}|[ -~]{0,20}|a\r\nContent-Length: 1"), 0..8),
        body in vec(any::<u8>(), 0..100),
    ) {
        let mut response = Response::new(StatusCode::from_u16(code).unwrap()).with_body(body.clone());
        for (name, value) in &fields {
            _ = response.try_header(name, value);
        }
        let out = encode("GET", &response);
        let mut lines = [httparse::EMPTY_HEADER; 32];
        let mut parsed = httparse::Response::new(&mut lines);
        let length = parsed.parse(&out).unwrap().unwrap();
        prop_assert_eq!(parsed.code, Some(code));
        let has_content = ![204, 205, 304].contains(&code);
        prop_assert_eq!(&out[length..], if has_content { &body[..] } else { b"" });
        let named = |name: &str| parsed.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).count();
        prop_assert_eq!(named("Content-Length"), usize::from(![204, 304].contains(&code)));
        prop_assert_eq!((named("Date"), named("Transfer-Encoding"), named("Connection")), (1, 0, 0));
        let own = usize::from(code != 204 && code != 304) + 1;
        prop_assert_eq!(parsed.headers.len(), own + response.headers().count());
    }
}
