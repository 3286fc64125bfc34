//! Contents of any size: the server gets the bytes that were sent, at the pace of the slower side, in constant memory.

use std::{
    io::{ErrorKind, Read, Write},
    time::{Duration, Instant},
};

use softstop::{Request, Timeouts, route, routing::IntoRoute};

use crate::{
    Channel, Served,
    client::{Client, HUNG},
    drain,
};

/// A write that takes no byte for this long has stalled, as far as a test can know.
const STALLED: Duration = Duration::from_millis(300);
const MIB: usize = 1 << 20;

/// Byte number `position` of the content that these tests send. No two pieces of the content are alike.
fn pattern(position: usize) -> u8 {
    (position.wrapping_mul(0x9e37_79b1) >> 13) as u8
}

/// Sends `length` bytes of the pattern in pieces, with or without chunked coding.
fn send_pattern(client: &Client, length: usize, chunked: bool) {
    // The piece lengths do not divide the size of a server's buffer.
    let piece_length = if chunked { 77_777 } else { 99_991 };
    let mut begin = 0;
    while begin < length {
        let end = length.min(begin + piece_length);
        let piece: Vec<u8> = (begin..end).map(pattern).collect();
        if chunked {
            client.send(format!("{:x}\r\n", piece.len()));
        }
        client.send(&piece);
        if chunked {
            client.send("\r\n");
        }
        begin = end;
    }
    if chunked {
        client.send("0\r\n\r\n");
    }
}

fn framing(length: usize, chunked: bool) -> String {
    if chunked {
        "Transfer-Encoding: chunked\r\n\r\n".to_owned()
    } else {
        format!("Content-Length: {length}\r\n\r\n")
    }
}

/// The number of bytes, if all of them follow the pattern.
fn check_pattern(request: &Request) -> String {
    let (mut reader, mut buffer, mut position) = (request.reader(), vec![0; 10_007], 0);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return position.to_string(),
            Ok(count) => {
                if !buffer[..count]
                    .iter()
                    .enumerate()
                    .all(|(offset, byte)| *byte == pattern(position + offset))
                {
                    return format!("damaged after {position}");
                }
                position += count;
            }
            Err(error) => return format!("{error} after {position}"),
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_large_content_arrives_whole_in_little_memory() {
    const LENGTH: usize = 64 * MIB;
    /// The pipe holds 128 KiB at most, and the loop holds as much again. The rest is for other tests that run beside
    /// this one.
    const BOUND: usize = 16 * MIB;
    let high_water = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    };
    let served = Served::new(check_pattern);
    for chunked in [false, true] {
        let before = high_water();
        let mut client = served.post(framing(LENGTH, chunked));
        send_pattern(&client, LENGTH, chunked);
        assert_eq!(client.answer().text(), LENGTH.to_string());
        // The kernel may update its count a little late.
        let more = high_water().saturating_sub(before);
        assert!(more < BOUND, "{more} bytes more");
    }
}

#[test]
fn every_length_around_the_buffers_arrives_whole_and_the_connection_goes_on() {
    let served = Served::new(check_pattern);
    let mut client = Client::connect(served.address());
    let edges = [1, 4, 32, 64, 96, 128, 192, 256].map(|kib| kib * 1024_usize);
    for length in edges.into_iter().flat_map(|edge| edge - 1..=edge + 1).chain([0, 1, 2]) {
        for chunked in [false, true] {
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{}", framing(length, chunked)));
            send_pattern(&client, length, chunked);
            let answer = client.answer();
            assert_eq!((answer.text(), answer.close), (&*length.to_string(), false), "chunked: {chunked}");
        }
    }
}

/// The last bytes fill the pipe. So the server sees the end of the content only after the handler has made room.
#[test]
fn an_end_right_behind_a_full_pipe_is_seen() {
    const CAPACITY: usize = 64 * 1024;
    let go_on = Channel::new();
    let wait = go_on.clone();
    let served = Served::new(move |request: &Request| {
        wait.take();
        drain(request.reader()).unwrap().to_string()
    });
    for _ in 0..20 {
        let mut client = served.post(format!("Content-Length: {CAPACITY}\r\n\r\n"));
        send(&client, CAPACITY);
        go_on.put(());
        let answer = client.answer();
        assert_eq!((answer.text(), answer.close), (&*CAPACITY.to_string(), false));
    }
}

/// Sends this many bytes in pieces, because the memory of the client must not hide the memory of the server.
fn send(client: &Client, length: usize) {
    static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];
    let mut left = length;
    while left > 0 {
        let count = left.min(PIECE.len());
        client.send(&PIECE[..count]);
        left -= count;
    }
}

/// Writes until the socket takes no more. Returns the number of bytes.
fn fill(client: &Client, most: usize) -> usize {
    let mut stream = client.stream();
    stream.set_write_timeout(Some(STALLED)).unwrap();
    let piece = [b'x'; 64 * 1024];
    let mut taken = 0;
    while taken < most {
        match stream.write(&piece[..piece.len().min(most - taken)]) {
            Ok(count) => taken += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    stream.set_write_timeout(Some(HUNG)).unwrap();
    taken
}

#[test]
fn a_handler_that_does_not_read_holds_its_client_back() {
    /// More than the largest socket buffers on either side.
    const LENGTH: usize = 256 * MIB;
    let go_on = Channel::new();
    let wait = go_on.clone();
    let served = Served::new(move |request: &Request| {
        wait.take();
        drain(request.reader()).unwrap().to_string()
    });
    let mut client = served.post(format!("Content-Length: {LENGTH}\r\n\r\n"));
    let taken = fill(&client, LENGTH);
    assert!(taken < LENGTH / 2, "the server took {taken} bytes that the handler does not read");
    go_on.put(());
    send(&client, LENGTH - taken);
    assert_eq!(client.answer().text(), LENGTH.to_string());
}

/// The time-outs of a content apply to the client. The time of the handler does not count.
#[test]
fn a_slow_handler_is_not_the_clients_fault() {
    // The bytes that fit into the pipe give the client no extra time. The client sends the rest far faster than this
    // rate.
    let timeouts = Timeouts::default().body(Duration::from_millis(200)).body_rate(1_000_000);
    for expect in ["", "Expect: 100-continue\r\n"] {
        let (begun, go_on) = (Channel::new(), Channel::new());
        let (tell, wait) = (begun.clone(), go_on.clone());
        let handler = move |request: &Request| {
            tell.put(());
            wait.take();
            format!("{:?}", drain(request.reader()))
        };
        let served = Served::with(route(handler).streamed(), |builder| builder.timeouts(timeouts.clone()));
        let length = 64 * MIB;
        let mut client = served.post(format!("{expect}Content-Length: {length}\r\n\r\n"));
        begun.take();
        let taken = if expect.is_empty() { fill(&client, length) } else { 0 };
        // The handler waits for longer than the time-out, and the client is ready to send all the time.
        nothing_comes(&mut client, 2 * timeouts.get_body());
        go_on.put(());
        if !expect.is_empty() {
            assert_eq!(client.answer().status, 100);
        }
        send(&client, length - taken);
        assert_eq!(client.answer().text(), format!("Ok({length})"));
    }
}

#[track_caller]
pub(crate) fn nothing_comes(client: &mut Client, within: Duration) {
    let began = Instant::now();
    client.stream().set_read_timeout(Some(within)).unwrap();
    let seen = client.stream().peek(&mut [0]);
    client.stream().set_read_timeout(Some(HUNG)).unwrap();
    assert!(seen.is_err(), "the server does not wait, after {:?}", began.elapsed());
}

#[test]
fn a_content_without_bytes_and_a_buffered_one_are_read_the_same_way() {
    let count = |request: &Request| format!("{:?}, {}", drain(request.reader()), request.body().len());
    let rows = [
        (route(count).streamed(), "\r\n", "Ok(0), 0"),
        (route(count).streamed(), "Content-Length: 0\r\n\r\n", "Ok(0), 0"),
        (route(count).streamed(), "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Ok(0), 0"),
        (route(count).streamed(), "Content-Length: 3\r\n\r\nabc", "Ok(3), 0"),
        (count.into_route(), "Content-Length: 3\r\n\r\nabc", "Ok(3), 3"),
        (count.into_route(), "\r\n", "Ok(0), 0"),
    ];
    for (route, rest, expected) in rows {
        let served = Served::with(route, |builder| builder);
        let mut client = served.post(rest);
        let answer = client.answer();
        assert_eq!((answer.text(), answer.close), (expected, false), "{rest:?}");
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().status, 405, "the connection stays open");
    }
}
