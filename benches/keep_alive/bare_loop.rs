//! The limit for any epoll server: a loop that parses nothing and answers every read with a constant.

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

/// Serves for ever, on one thread.
pub(crate) fn serve(listener: std::net::TcpListener) -> io::Result<()> {
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
                let done = match stream.read(&mut scratch) {
                    Ok(0) => true,
                    Ok(_) => stream.write_all(ANSWER).is_err(),
                    Err(error) => error.kind() != io::ErrorKind::WouldBlock,
                };
                if done {
                    connections.remove(&event.token());
                }
            }
        }
    }
}
