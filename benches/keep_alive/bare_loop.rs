//! The limit for any server on epoll: a loop that parses nothing and answers every read with a constant. `benches/keep_alive`
//! runs the loop in its own process, and `benches/compare` builds a peer of this file.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
};

use mio::{Events, Interest, Poll, Token, net::TcpListener, net::TcpStream};

const LISTENER: Token = Token(0);
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 13\r\n\
    Date: Sat, 21 Nov 2026 22:00:00 GMT\r\n\r\n\
    Hello, world!";

/// Serves for ever, on one thread. The loop cannot tell requests apart, so the caller says how many of them arrive in one
/// read: more than one if the load pipelines.
pub(crate) fn serve(listener: std::net::TcpListener, requests_a_read: usize) -> io::Result<()> {
    let answer = ANSWER.repeat(requests_a_read);
    listener.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut connections: HashMap<Token, TcpStream> = HashMap::new();
    let mut next = 1;
    let mut scratch = vec![0; 64 * 1024];
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    poll.registry().register(&mut stream, Token(next), Interest::READABLE)?;
                    connections.insert(Token(next), stream);
                    next += 1;
                }
            } else if let Some(stream) = connections.get_mut(&event.token()) {
                let is_over = match stream.read(&mut scratch) {
                    Ok(0) => true,
                    Ok(_) => stream.write_all(&answer).is_err(),
                    Err(error) => error.kind() != io::ErrorKind::WouldBlock,
                };
                if is_over {
                    connections.remove(&event.token());
                }
            }
        }
    }
}
