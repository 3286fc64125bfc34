//! Many connections at once, or one after the other: idle ones, garbage, short ones, and more than the server accepts.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::SockRef;
use softstop::{Request, report::CloseReason};

use crate::{
    client::{Answer, Client, HUNG},
    stage::{attack, resident, routes, spare_descriptors},
};

const CHURN: u32 = 2000;

fn answer(number: impl std::fmt::Display) -> Answer {
    Answer { status: 200, close: false, content: format!("inline {number}").into_bytes() }
}

fn request(number: impl std::fmt::Display) -> String {
    format!("GET /inline?number={number} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// Closes with a reset instead of a FIN.
pub(crate) fn reset(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn thousands_of_idle_connections_cost_nobody_anything() {
    attack(
        |builder| builder,
        |address| {
            // This process owns both ends of each connection.
            let crowd = (spare_descriptors() / 2).min(5000);
            assert!(crowd >= 100, "too few descriptors for a crowd: raise ulimit -n");
            let mut clients = Vec::with_capacity(crowd);
            for number in 0..crowd {
                let mut client = Client::connect(address);
                if number % 2 == 0 {
                    client.send(request(number));
                    assert_eq!(client.answer(), answer(number));
                }
                clients.push(client);
            }
            for (number, client) in clients.iter_mut().enumerate() {
                client.send(request(number));
                assert_eq!(client.answer(), answer(number));
            }
        },
    );
}

#[test]
fn an_idle_connection_keeps_nothing_of_its_last_response() {
    const CROWD: usize = 1000;
    const LENGTH: usize = 16_000;
    /// A quarter of the total size of the responses.
    const BOUND: usize = CROWD * LENGTH / 4;
    let routes = routes().get("/page", |_: &Request| "p".repeat(LENGTH));
    attack(
        |builder| builder.routes(routes),
        |address| {
            let before = resident();
            let visit = |_| {
                let mut client = Client::connect(address);
                client.send("GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
                assert_eq!(client.answer().content.len(), LENGTH);
                // The memory of the reader's buffer would count too, so only the socket is kept.
                client.stream().try_clone().unwrap()
            };
            let idle: Vec<TcpStream> = (0..CROWD).map(visit).collect();
            let more = resident().saturating_sub(before);
            assert!(more < BOUND, "{} bytes each", more / idle.len());
        },
    );
}

#[test]
fn a_flood_of_garbage_is_refused() {
    let report = attack(
        |builder| builder,
        |address| {
            let mut random = 0x2545_f491_4f6c_dd1d_u64;
            let clients: Vec<TcpStream> = (0..500)
                .map(|number| {
                    let mut stream = TcpStream::connect(address).unwrap();
                    let mut garbage = vec![0; 1 + 37 * number];
                    for byte in &mut garbage {
                        // Marsaglia's xorshift makes the same garbage in every run.
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        *byte = random as u8;
                    }
                    stream.write_all(&garbage).unwrap();
                    stream
                })
                .collect();
            for mut stream in clients {
                stream.set_read_timeout(Some(HUNG)).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).unwrap();
                let status = String::from_utf8_lossy(answer.get(..12).unwrap_or_default()).into_owned();
                assert!(status.starts_with("HTTP/1.1 4"), "{status:?}");
            }
        },
    );
    assert!(report.closes[CloseReason::Refused] > 400, "{report}");
}

#[test]
fn connections_that_come_and_go() {
    let report = attack(
        |builder| builder,
        |address| {
            for number in 0..CHURN {
                let mut client = Client::connect(address);
                client.send(request(number));
                assert_eq!(client.answer(), answer(number));
            }
            (0..CHURN).for_each(|_| drop(Client::connect(address)));
            (0..CHURN).for_each(|_| reset(Client::connect(address).stream()));
            for number in 0..CHURN {
                let client = Client::connect(address);
                client.send(request(number));
                reset(client.stream());
            }
        },
    );
    // The kernel may not report connections that were reset while they waited to be accepted.
    assert!(report.closes.total() >= 2 * u64::from(CHURN), "{report}");
    assert_eq!(report.closes[CloseReason::Failed], 0, "{report}");
}

#[test]
fn above_the_most_connections_clients_wait_and_are_all_served() {
    const MOST: usize = 10;
    let serve_all = |address: SocketAddr| {
        let connect = |number| {
            let client = Client::connect(address);
            client.send(request(number));
            client
        };
        let mut waiting: Vec<Client> = (0..5 * MOST).map(connect).collect();
        let mut last = waiting.pop().unwrap();
        // The well-behaved client takes one or two of the places.
        let mut served: Vec<Client> = waiting.drain(..MOST - 2).collect();
        for (number, client) in served.iter_mut().enumerate() {
            assert_eq!(client.answer(), answer(number));
        }
        last.stream().set_nonblocking(true).unwrap();
        assert_eq!(last.stream().peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        last.stream().set_nonblocking(false).unwrap();
        drop(served);
        for (number, mut client) in waiting.into_iter().enumerate() {
            assert_eq!(client.answer(), answer(number + MOST - 2));
        }
        assert_eq!(last.answer(), answer(5 * MOST - 1));
    };
    for loops in [1, 2, 3] {
        let report = attack(|builder| builder.max_connections(MOST).loops(loops), serve_all);
        assert_eq!(report.requests.aborted, 0, "{report}");
    }
}
