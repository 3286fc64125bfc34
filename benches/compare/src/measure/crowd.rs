//! A load by thousands of connections. All connections are open before the measurement counts anything.
//!
//! wrk cannot make such a load, for two reasons. wrk connects all clients at once, and the listener's queue holds only
//! some of them. The kernel repeats the SYNs of the others one or three seconds later. wrk also counts from its first
//! moment on, so the figures would include the time in which ten thousand clients connect.

use std::{
    cmp::Ordering,
    io::{self, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};

use super::idle;

/// Clients that send the next request as soon as they have the answer to the last one.
pub(super) struct Crowd {
    poll: Poll,
    connections: Vec<Connection>,
    exchange: Exchange,
}

/// The request and the answer of every connection.
struct Exchange {
    request: String,
    /// Bytes of an answer. The server always sends the same answer, so the length is constant.
    answer: usize,
}

struct Connection {
    stream: TcpStream,
    /// Bytes of the answer so far.
    received: usize,
    /// Answers in this run.
    answered: u64,
}

impl Crowd {
    /// Opens the connections one after the other, and waits for an answer on each. Afterwards, each connection has its
    /// next request under way.
    pub(super) fn open(address: SocketAddr, count: usize) -> io::Result<Crowd> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(count);
        let mut exchange = Exchange { request: idle::request(address), answer: 0 };
        for number in 0..count {
            let (stream, answer) = idle::greet(address, &exchange.request)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            exchange.answer = answer;
            connections.push(Connection { stream, received: 0, answered: 0 });
        }
        for connection in &mut connections {
            connection.stream.write_all(exchange.request.as_bytes())?;
        }
        Ok(Crowd { poll, connections, exchange })
    }

    /// Runs the load for `duration`, and then until every connection has been served, within `patience`. Returns the
    /// number of answered requests. The next run finishes the requests that are under way at the end.
    pub(super) fn run(&mut self, duration: Duration, patience: Duration) -> io::Result<u64> {
        self.connections.iter_mut().for_each(|connection| connection.answered = 0);
        let mut starved = self.connections.len();
        let mut events = Events::with_capacity(1024);
        let begin = Instant::now();
        loop {
            let time = if starved > 0 { duration + patience } else { duration };
            let left = time.saturating_sub(begin.elapsed());
            if left.is_zero() {
                break;
            }
            self.poll.poll(&mut events, Some(left))?;
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                let was_starved = connection.answered == 0;
                connection.go_on(&self.exchange)?;
                if was_starved && connection.answered > 0 {
                    starved -= 1;
                }
            }
        }
        match starved {
            0 => Ok(self.connections.iter().map(|connection| connection.answered).sum()),
            starved => Err(io::Error::other(format!("{starved} connections were not served at all"))),
        }
    }
}

impl Connection {
    /// Reads the received bytes. Further bytes cause an event of their own, so one read is enough.
    fn go_on(&mut self, exchange: &Exchange) -> io::Result<()> {
        let mut bytes = [0; 4096];
        self.received += match self.stream.read(&mut bytes) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed a connection")),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        match self.received.cmp(&exchange.answer) {
            Ordering::Less => Ok(()),
            Ordering::Equal => {
                self.received = 0;
                self.answered += 1;
                self.stream.write_all(exchange.request.as_bytes())
            }
            Ordering::Greater => {
                let text = String::from_utf8_lossy(&bytes);
                let line = text.lines().next().unwrap_or_default();
                Err(io::Error::other(format!("an answer is longer than the first one was: {line}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::mpsc, thread};

    use peer_answers::HELLO;

    use super::*;

    const NONE: Duration = Duration::ZERO;
    /// Longer than any run that something else ends.
    const HUNG: Duration = Duration::from_secs(20);

    /// A server for one connection. The server answers each request with these pieces, and closes.
    fn server(answers: &'static [&'static [&'static str]]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let request = idle::request(address);
            for pieces in answers {
                let mut bytes = vec![0; request.len()];
                stream.read_exact(&mut bytes).unwrap();
                assert_eq!(bytes, request.as_bytes());
                pieces.iter().for_each(|piece| stream.write_all(piece.as_bytes()).unwrap());
            }
            // Read the request that gets no answer, so that the close does not reset.
            let _ = stream.read(&mut [0; 512]);
        });
        address
    }

    #[test]
    fn answers_are_counted_in_whatever_pieces_they_come() {
        let address = server(&[&["head ", HELLO], &["he", "ad ", HELLO], &["head Hello, ", "world!"]]);
        let mut crowd = Crowd::open(address, 1).unwrap();
        let error = crowd.run(HUNG, NONE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
        // The greeting was the first answer.
        assert_eq!(crowd.connections[0].answered, 2);
    }

    #[test]
    fn an_answer_of_another_length_is_an_error() {
        let mut crowd = Crowd::open(server(&[&[HELLO], &["more ", HELLO]]), 1).unwrap();
        let error = crowd.run(HUNG, NONE).unwrap_err();
        assert!(error.to_string().contains("longer"), "{error}");
    }

    #[test]
    fn goes_on_until_every_connection_has_been_served() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, greeted) = mpsc::channel();
        let server = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut request = vec![0; idle::request(address).len()];
            let mut answer = || {
                stream.read_exact(&mut request).unwrap();
                stream.write_all(HELLO.as_bytes()).unwrap();
            };
            answer();
            greeted.recv().unwrap();
            answer();
            stream
        });
        let mut crowd = Crowd::open(address, 1).unwrap();
        let error = crowd.run(Duration::from_millis(1), NONE).unwrap_err();
        assert!(error.to_string().starts_with("1 connections"), "{error}");
        sender.send(()).unwrap();
        // The duration is over at once, but the answer is still to come.
        assert_eq!(crowd.run(NONE, HUNG).unwrap(), 1);
        drop(server.join().unwrap());
    }
}
