use super::*;

/// The outcome of a connection: its responses, and the defect that ended the reading.
type Story = (Vec<Ended>, Option<Malformed>);

fn play<'a>(is_head: bool, pieces: impl IntoIterator<Item = &'a [u8]>) -> Story {
    let mut reader = Reader::new(is_head);
    let mut ended = Vec::new();
    for mut piece in pieces {
        loop {
            match reader.read(&mut piece) {
                Ok(Some(response)) => ended.push(response),
                Ok(None) => break,
                Err(malformed) => return (ended, Some(malformed)),
            }
        }
        assert!(piece.is_empty(), "nothing is left lying");
    }
    ended.extend(reader.end());
    (ended, None)
}

/// The story of these bytes. The story has to be the same for whole input, single bytes and every split.
#[track_caller]
fn story(is_head: bool, bytes: &[u8]) -> Story {
    let whole = play(is_head, [bytes]);
    assert_eq!(play(is_head, bytes.chunks(1)), whole, "byte by byte");
    for split in 0..=bytes.len() {
        let (one, other) = bytes.split_at(split);
        assert_eq!(play(is_head, [one, other]), whole, "split at {split}");
    }
    whole
}

fn ended(status: u16, keeps_alive: bool) -> Ended {
    Ended { status, keeps_alive }
}

#[test]
fn responses_end_where_they_say() {
    let rows: [(&str, &[Ended]); 12] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", &[ended(200, true)]),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &[ended(200, true)]),
        ("HTTP/1.1 200\r\nContent-Length: 1\r\nConnection: Close\r\n\r\nx", &[ended(200, false)]),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: a, close\r\n\r\nx", &[ended(200, false)]),
        ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", &[ended(200, false)]),
        ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx", &[ended(200, true)]),
        ("HTTP/1.1 200 OK\r\n\r\nas much as comes", &[ended(200, false)]),
        ("HTTP/1.1 200 OK\r\n\r\n", &[ended(200, false)]),
        ("HTTP/1.1 204 No Content\r\n\r\n", &[ended(204, true)]),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", &[ended(304, true)]),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n\
             HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
            &[ended(404, true)],
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
            &[ended(200, true), ended(503, true)],
        ),
    ];
    for (bytes, expected) in rows {
        assert_eq!(story(false, bytes.as_bytes()), (expected.to_vec(), None), "{bytes:?}");
    }
}

#[test]
fn chunks_end_with_the_last_one() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for content in [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;name=value\r\nhello\r\n1;x\r\n!\r\n000\r\n\r\n",
        "a\r\n0123456789\r\n0\r\nDigest: x\r\nOther: y\r\n\r\n",
        "1A\r\n0123456789ABCDEF0123456789\r\n0\r\n\r\n",
    ] {
        let two = format!("{head}{content}HTTP/1.1 204 No Content\r\n\r\n");
        let both = vec![ended(200, true), ended(204, true)];
        assert_eq!(story(false, two.as_bytes()), (both, None), "{content:?}");
    }
    for content in
        ["", "\r\n", "5", "5\r\nhello", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n", "0\r\n\r", "0\r\nA: b\r\n"]
    {
        let (responses, _) = story(false, format!("{head}{content}").as_bytes());
        assert_eq!(responses, [], "it has not ended: {content:?}");
    }
    for content in ["g\r\n", "5\nhello", "5\r\nhelloX", "-1\r\n", " 5\r\n", "5\rX", "10000000000000000\r\n"] {
        let (responses, malformed) = story(false, format!("{head}{content}").as_bytes());
        assert!(responses.is_empty() && malformed.is_some(), "{content:?}");
    }
}

#[test]
fn contents_are_kept_on_request() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\nA: b\r\n\r\n";
    let counted = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nde";
    let empty = "HTTP/1.1 204 No Content\r\n\r\n";
    let bytes = [chunked, counted, empty].concat();
    for size in 1..=bytes.len() {
        let mut reader = Reader::new(false).keeping_contents();
        let mut contents = Vec::new();
        for mut piece in bytes.as_bytes().chunks(size) {
            while reader.read(&mut piece).unwrap().is_some() {
                contents.push(reader.content().to_vec());
            }
        }
        assert_eq!(contents, [&b"abc"[..], b"de", b""], "in pieces of {size}");
    }
}

#[test]
fn an_endless_overhead_is_not_read_for_ever() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let endless = "x".repeat(HEAD_BYTES + 1);
    for bytes in [
        format!("HTTP/1.1 200 OK\r\nA: {endless}"),
        format!("{head}1;{endless}"),
        format!("{head}0\r\nA: {endless}"),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(FIELDS + 1)),
    ] {
        let (whole, pieces) = (play(false, [bytes.as_bytes()]), play(false, bytes.as_bytes().chunks(1000)));
        assert!(whole.1.is_some() && whole == pieces, "{whole:?} {pieces:?}");
    }
}

#[test]
fn a_response_to_head_has_no_content() {
    let two = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\
               HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(story(true, two.as_bytes()), (vec![ended(200, true); 2], None));
}

#[test]
fn a_response_that_is_cut_off_is_none() {
    for bytes in ["", "HTTP", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"] {
        assert_eq!(story(false, bytes.as_bytes()), (vec![], None), "{bytes:?}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_not_read() {
    for bytes in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ] {
        let (responses, malformed) = story(false, bytes.as_bytes());
        assert!(responses.is_empty() && malformed.is_some(), "{bytes:?}");
    }
}
