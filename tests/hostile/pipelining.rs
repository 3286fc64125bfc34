//! Clients that send many requests without waiting for an answer.

use std::{
    io::{self, ErrorKind, Write},
    net::{Shutdown, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use softstop::{Request, route};

use crate::{
    client::{Answer, Client, HUNG},
    slow::narrow,
    stage::{MEDIUM, attack, resident, routes},
};

/// A write that takes no byte for this time counts as stalled.
const STALLED: Duration = Duration::from_millis(500);

/// Writes until the socket has taken nothing for a while. Returns the rest.
fn write_until_stalled<'a>(mut stream: &TcpStream, mut bytes: &'a [u8]) -> &'a [u8] {
    stream.set_write_timeout(Some(STALLED)).unwrap();
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    stream.set_write_timeout(Some(HUNG)).unwrap();
    bytes
}

/// Sends requests without reading until the socket stalls. Then reads while another thread sends the rest.
fn pipeline(stream: TcpStream, requests: &[u8], once_stalled: impl FnOnce(), read: impl FnOnce(&mut Client)) {
    let rest = write_until_stalled(&stream, requests);
    once_stalled();
    let mut writer = stream.try_clone().unwrap();
    let mut client = Client::over(stream);
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(rest).unwrap());
        read(&mut client);
    });
}

fn ok(content: impl Into<Vec<u8>>) -> Answer {
    Answer { status: 200, close: false, content: content.into() }
}

#[test]
fn a_hundred_thousand_requests_take_no_memory_and_are_answered_in_order() {
    const MANY: usize = 100_000;
    /// A quarter of the total size of the answers.
    const BOUND: usize = 4 << 20;
    attack(
        |builder| builder,
        |address| {
            let request = |number| format!("GET /inline?number={number} HTTP/1.1\r\nHost: a\r\n\r\n");
            let requests: String = (0..MANY).map(request).collect();
            let before = resident();
            let check_memory = || {
                let more = resident().saturating_sub(before);
                assert!(more < BOUND, "{more} bytes more");
            };
            pipeline(narrow(address, 64 * 1024), requests.as_bytes(), check_memory, |client| {
                for number in 0..MANY {
                    assert_eq!(client.answer(), ok(format!("inline {number}")));
                }
            });
        },
    );
}

#[test]
fn answers_of_the_pool_queue_up_behind_unsent_ones() {
    const ROUNDS: usize = 300;
    /// Five responses of `/medium` fit into the output buffer. Sooner or later they do not fit into the socket's
    /// buffer. Then an answer of the pool comes while the five are half sent.
    const BEFORE: usize = 5;
    let served = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&served);
    let count = move |_: &Request| counting.fetch_add(1, Ordering::SeqCst).to_string();
    attack(
        |builder| builder.routes(routes().get("/count", count)),
        |address| {
            let medium = "GET /medium HTTP/1.1\r\nHost: a\r\n\r\n".repeat(BEFORE);
            let round = format!("{medium}GET /count HTTP/1.1\r\nHost: a\r\n\r\n");
            let until_it_is_stuck = || {
                let mut known = 0;
                loop {
                    thread::park_timeout(STALLED);
                    match served.load(Ordering::SeqCst) {
                        0 => {}
                        still if still == known => break,
                        more => known = more,
                    }
                }
            };
            let requests = round.repeat(ROUNDS);
            pipeline(narrow(address, 64 * 1024), requests.as_bytes(), until_it_is_stuck, |client| {
                for number in 0..ROUNDS {
                    for _ in 0..BEFORE {
                        assert!(client.answer() == ok(MEDIUM), "an answer before number {number} is damaged");
                    }
                    assert_eq!(client.answer(), ok(number.to_string()));
                }
            });
        },
    );
}

#[test]
fn a_greedy_connection_gets_its_turn_and_no_more() {
    const SAMPLES: usize = 200;
    /// Turns of 128 requests each: the current turn, the next turn, and one more turn as a margin.
    const BOUND: usize = 3 * 128;
    let served = Arc::new(AtomicUsize::new(0));
    let (counting, telling) = (Arc::clone(&served), Arc::clone(&served));
    let routes = routes()
        .get(
            "/greedy",
            route(move |_: &Request| counting.fetch_add(1, Ordering::SeqCst).to_string()).inline(),
        )
        .get("/served", route(move |_: &Request| telling.load(Ordering::SeqCst).to_string()).inline());
    attack(
        |builder| builder.loops(1).routes(routes),
        |address| {
            let enough = AtomicBool::new(false);
            thread::scope(|scope| {
                let mut reader = TcpStream::connect(address).unwrap();
                let mut writer = reader.try_clone().unwrap();
                let enough = &enough;
                scope.spawn(move || {
                    let requests = "GET /greedy HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
                    while !enough.load(Ordering::Relaxed) {
                        writer.write_all(requests.as_bytes()).unwrap();
                    }
                    writer.shutdown(Shutdown::Write).unwrap();
                });
                // This reader is faster than the server, so the server always has another request to read and room for
                // its answer.
                scope.spawn(move || io::copy(&mut reader, &mut io::sink()).unwrap());
                let mut client = Client::connect(address);
                while served.load(Ordering::SeqCst) < 10 * BOUND {
                    thread::yield_now();
                }
                let mut delays: Vec<usize> = (0..SAMPLES)
                    .map(|_| {
                        let before = served.load(Ordering::SeqCst);
                        client.send("GET /served HTTP/1.1\r\nHost: a\r\n\r\n");
                        client.answer().text().parse::<usize>().unwrap() - before
                    })
                    .collect();
                enough.store(true, Ordering::Relaxed);
                delays.sort_unstable();
                // The bound applies to the third quartile, because this thread may be preempted between its look and
                // its request.
                let usual = delays[SAMPLES * 3 / 4];
                assert!(usual <= BOUND, "{usual} requests of the greedy client went before: {delays:?}");
            });
        },
    );
}
