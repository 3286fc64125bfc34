//! Stops of a server whose clients never rest. A request is lost if the client could send it, and no response came, although no
//! response before it has said that the connection closes.

use std::thread;

use super::*;

const STOPS: usize = 200;
/// How many requests a pipelining client sends at once.
const BATCH: usize = 4;

/// What a client has seen.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    answered: u64,
    lost: u64,
}

/// One connection, until the server has closed it or said that it will.
fn converse(stream: &mut UnixStream, batch: usize, is_last: impl Fn() -> bool, seen: &mut Seen) {
    let close = if is_last() { "Connection: close\r\n" } else { "" };
    let requests = format!("GET / HTTP/1.1\r\nHost: test\r\n{close}\r\n").repeat(batch);
    let mut received = Vec::new();
    loop {
        let is_sent = stream.write_all(requests.as_bytes()).is_ok();
        let mut answered = 0;
        while answered < batch {
            let end = received.windows(9).position(|window| window == b"\r\n\r\nhello");
            if let Some(end) = end {
                let head = String::from_utf8(received.drain(..end + 9).collect()).unwrap();
                assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                (answered, seen.answered) = (answered + 1, seen.answered + 1);
                if head.contains("Connection: close") {
                    return;
                }
                continue;
            }
            let mut bytes = [0; 4096];
            match stream.read(&mut bytes) {
                Ok(count @ 1..) => received.extend_from_slice(&bytes[..count]),
                _ => {
                    seen.lost += u64::from(is_sent) * (batch - answered) as u64 + u64::from(!is_sent);
                    return;
                }
            }
        }
    }
}

/// Connects again and again, until nobody listens any more.
fn client(path: &Path, batch: usize, is_new: bool) -> Seen {
    let mut seen = Seen::default();
    while let Ok(mut stream) = UnixStream::connect(path) {
        stream.set_read_timeout(Some(HUNG)).unwrap();
        converse(&mut stream, batch, || is_new, &mut seen);
    }
    seen
}

#[test]
fn two_hundred_stops_lose_nothing() {
    let folder = Folder::new();
    let server = builder(Router::new().get("/", route(|_: &Request| "hello").inline()))
        .loops(2)
        .listen(format!("unix:{}", folder.socket().display()))
        .build();
    let mut all = Seen::default();
    for stop in 0..STOPS {
        let before = server.handle().metrics().requests.completed;
        server.start().unwrap();
        let path = folder.socket();
        let clients: Vec<_> = [(1, true), (1, true), (1, false), (BATCH, false)]
            .map(|(batch, is_new)| {
                let path = path.clone();
                thread::spawn(move || client(&path, batch, is_new))
            })
            .into();
        // Different moments of the clients: the stop comes after so many requests.
        let enough = before + 5 + (stop as u64 * 7) % 60;
        support::until("some requests are answered", || {
            server.handle().metrics().requests.completed >= enough
        });
        let report = server.stop(StopPolicy::default());
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.listener, Some(ListenerEnd::Refused), "{report}");
        for client in clients {
            let seen = client.join().unwrap();
            (all.answered, all.lost) = (all.answered + seen.answered, all.lost + seen.lost);
        }
        assert_eq!(all.lost, 0, "after {stop} stops: {all:?}");
    }
    println!("{STOPS} stops: {all:?}");
}
