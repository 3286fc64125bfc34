//! Slow clients: slow in sending the head, in sending the content, or in reading the response.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};
use softstop::{Timeouts, report::CloseReason};

use crate::{
    client::{Client, HUNG},
    stage::{LARGE, attack},
};

const SHORT: Duration = Duration::from_millis(200);
/// The number of clients of one kind at the same time.
const CROWD: usize = 50;

/// Sends `byte` again and again until the server has answered. The bytes themselves never make the server answer. The
/// test is about the pause between the bytes.
fn trickle(client: &mut Client, byte: u8, pause: Duration) -> u16 {
    let answered = AtomicBool::new(false);
    let mut writer = client.stream().try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            // The write fails if the server has closed meanwhile. The other thread waits for the server's answer.
            while !answered.load(Ordering::Relaxed) && writer.write_all(&[byte]).is_ok() {
                thread::park_timeout(pause);
            }
        });
        let answer = client.answer();
        answered.store(true, Ordering::Relaxed);
        answer.status
    })
}

#[test]
fn a_trickling_head_ends_at_its_deadline_however_it_trickles() {
    let timeouts = Timeouts::default().header(SHORT);
    let report = attack(
        |builder| builder.timeouts(timeouts),
        |address| {
            for (pause, begin, byte) in
                [(5, "GET /", b'x'), (20, "", b'G'), (150, "GET / HTTP/1.1\r\nA: ", b'x')]
            {
                let mut client = Client::connect(address);
                let began = Instant::now();
                client.send(begin);
                assert_eq!(trickle(&mut client, byte, Duration::from_millis(pause)), 408, "{pause} ms");
                assert!(began.elapsed() >= SHORT && began.elapsed() < HUNG, "{:?}", began.elapsed());
            }
        },
    );
    assert_eq!(report.closes[CloseReason::RequestTimeout], 3);
}

#[test]
fn heads_that_never_end_are_answered_and_silence_is_closed() {
    let timeouts = Timeouts::default().header(SHORT);
    let report = attack(
        |builder| builder.timeouts(timeouts),
        |address| {
            let connect = |_| Client::connect(address);
            let mut halves: Vec<Client> = (0..CROWD).map(connect).collect();
            let mut silent: Vec<Client> = (0..CROWD).map(connect).collect();
            halves.iter().for_each(|client| client.send("GET /inline HTTP/1.1\r\nHost: a\r\nX: "));
            for client in &mut halves {
                assert_eq!(client.answer().status, 408);
                client.assert_ended();
            }
            silent.iter_mut().for_each(Client::assert_ended);
        },
    );
    assert_eq!(report.closes[CloseReason::RequestTimeout], CROWD as u64);
    assert_eq!(report.closes[CloseReason::IdleTimeout], CROWD as u64);
}

#[test]
fn a_content_below_the_minimum_rate_is_answered_408() {
    let timeouts = Timeouts::default().body(SHORT).body_rate(1000);
    let report = attack(
        |builder| builder.timeouts(timeouts),
        |address| {
            for path in ["buffered", "streamed", "nowhere"] {
                let mut client = Client::connect(address);
                client.send(format!("POST /{path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"));
                // No pause is as long as the time-out, but one byte every 10 ms is a tenth of the rate.
                assert_eq!(trickle(&mut client, b'x', Duration::from_millis(10)), 408, "{path}");
            }
        },
    );
    assert_eq!(report.closes[CloseReason::RequestTimeout], 3);
}

#[test]
fn a_pause_inside_a_content_is_answered_408() {
    let timeouts = Timeouts::default().body(SHORT);
    attack(
        |builder| builder.timeouts(timeouts),
        |address| {
            let framings = ["Content-Length: 10\r\n\r\nhal", "Transfer-Encoding: chunked\r\n\r\n5\r\nhal"];
            for (path, framing) in
                [("buffered", framings[0]), ("streamed", framings[1]), ("nowhere", framings[1])]
            {
                let mut client = Client::connect(address);
                client.send(format!("POST /{path} HTTP/1.1\r\nHost: a\r\n{framing}"));
                assert_eq!(client.answer().status, 408, "{path}");
                client.assert_ended();
            }
        },
    );
}

#[test]
fn a_client_that_does_not_read_its_response_is_closed() {
    let timeouts = Timeouts::default().write(SHORT);
    let report = attack(
        |builder| builder.timeouts(timeouts),
        |address| {
            let clients: Vec<TcpStream> = (0..CROWD).map(|_| narrow(address, 1)).collect();
            for mut client in &clients {
                client.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            }
            // A close with unsent bytes ends in a reset. The clients see the reset without reading a byte.
            for client in &clients {
                wait_for_the_reset(client);
            }
        },
    );
    assert_eq!(report.closes[CloseReason::WriteTimeout], CROWD as u64);
    assert_eq!(report.requests.aborted, CROWD as u64);
}

/// The kernel reports room only when a third of its buffer is free. A client may need longer to free so much, and still
/// take bytes all the time. The server must not close such a client.
#[test]
fn a_client_that_reads_slowly_gets_everything() {
    let timeouts = Timeouts::default().write(2 * SHORT);
    let report = attack(
        |builder| builder.timeouts(timeouts.clone()),
        |address| {
            let mut stream = narrow(address, 64 * 1024);
            stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
            stream.set_read_timeout(Some(HUNG)).unwrap();
            let (mut response, mut piece, began) = (Vec::new(), vec![0; 16 * 1024], Instant::now());
            while began.elapsed() < 4 * timeouts.get_write() {
                let count = stream.read(&mut piece).unwrap();
                response.extend_from_slice(&piece[..count]);
                thread::park_timeout(SHORT / 10);
            }
            stream.read_to_end(&mut response).unwrap();
            assert!(response.ends_with(&LARGE[..]) && response.len() < LARGE.len() + 300);
        },
    );
    assert_eq!(report.closes[CloseReason::WriteTimeout], 0);
}

/// A connection with a receive buffer of `bytes`, or of the smallest size that the system grants. A client that reads
/// needs room for some packets. With less room, the two kernels exchange a few hundred bytes five times a second.
pub(crate) fn narrow(address: SocketAddr, bytes: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(bytes).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.into()
}

/// Writes again and again until a write fails, because this client must not read.
fn wait_for_the_reset(mut client: &TcpStream) {
    let began = Instant::now();
    client.set_nonblocking(true).unwrap();
    loop {
        match client.write(b"\r\n") {
            Err(error) if error.kind() != ErrorKind::WouldBlock => break,
            _ => assert!(began.elapsed() < HUNG, "the server keeps a connection that does not read"),
        }
        thread::yield_now();
    }
}
