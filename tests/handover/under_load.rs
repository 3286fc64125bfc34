//! Twenty handovers under new, kept-alive and pipelining clients, with a slow request always in flight: nobody is refused, and
//! no request is lost.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::{
    stage::Stage,
    support::{
        HUNG,
        client::{Client, get},
        until,
    },
};

const HANDOVERS: u32 = 20;

/// Calls `client` again and again until the handovers are over. Returns the number of answers.
fn crowd(over: &Arc<AtomicBool>, mut client: impl FnMut() -> usize + Send + 'static) -> JoinHandle<usize> {
    let over = Arc::clone(over);
    thread::spawn(move || {
        let mut answers = 0;
        while !over.load(Ordering::Relaxed) {
            answers += client();
        }
        answers
    })
}

/// Sends a batch of requests on one connection until the server says that it closes. Every request of a batch that the server
/// may have seen is answered, up to the answer that says `close`.
fn keeps_alive(address: SocketAddr, batch: usize) -> usize {
    let mut stream = TcpStream::connect(address).expect("no client is refused");
    stream.set_read_timeout(Some(HUNG)).unwrap();
    let (mut answers, mut received) = (0, Vec::new());
    for turn in 0..50 {
        let requests = get("/").repeat(batch);
        if let Err(error) = stream.write_all(requests.as_bytes()) {
            assert!(turn > 0 && [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset].contains(&error.kind()));
            return answers;
        }
        let mut of_batch = 0;
        while of_batch < batch {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).expect("the connection is not reset");
            assert!(count > 0, "request {of_batch} of a batch is lost, after {answers} answers");
            received.extend_from_slice(&bytes[..count]);
            while let Some(end) = received.windows(13).position(|window| window == b"Hello, world!") {
                let answer: Vec<u8> = received.drain(..end + 13).collect();
                assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
                of_batch += 1;
                answers += 1;
                if String::from_utf8_lossy(&answer).contains("Connection: close") {
                    return answers;
                }
            }
        }
    }
    answers
}

#[test]
fn nobody_is_refused_and_nothing_is_lost() {
    let stage = Stage::new();
    let serving = stage.start(&["--grace", "20s", "--log", "warn"]);
    let address = serving.hello;
    let over = Arc::new(AtomicBool::new(false));
    let slow = crowd(&over, move || {
        let response = Client::once(address, get("/sleep?ms=100"));
        assert_eq!((response.status, response.text()), (200, "slept"));
        1
    });
    let new = crowd(&over, move || {
        assert_eq!(Client::once(address, get("/")).status, 200);
        1
    });
    let kept = crowd(&over, move || keeps_alive(address, 1));
    let pipelined = crowd(&over, move || keeps_alive(address, 8));
    for generation in 2..=HANDOVERS + 1 {
        until("the process before has ended", || stage.status().older.is_none());
        assert_eq!(stage.reload().unwrap_or_else(|error| panic!("{error}")).generation, generation);
    }
    over.store(true, Ordering::Relaxed);
    let answers = [slow, new, kept, pipelined].map(|crowd| crowd.join().expect("nobody is refused or lost"));
    assert!(answers.iter().all(|answers| *answers > 10), "{answers:?}");
}
