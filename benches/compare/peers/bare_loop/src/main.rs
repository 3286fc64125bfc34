//! The limit for any epoll server: a loop that parses nothing and answers every read with a constant. It cannot tell
//! requests apart, so it must be told how many there are in a read (`--batch 16` for a load that is pipelined 16 deep).

use std::{
    collections::HashMap,
    io::{self, Read, Write},
};

use mio::{Events, Interest, Poll, Token, net::TcpListener, net::TcpStream};
use peer_answers::{Arguments, announce, value};

const LISTENER: Token = Token(0);
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 13\r\n\
    Date: Sat, 21 Nov 2026 22:00:00 GMT\r\n\r\n\
    Hello, world!";

fn main() -> io::Result<()> {
    let answer = ANSWER.repeat(value("--batch").unwrap_or(1));
    let mut listener = TcpListener::bind(Arguments::parse().listen)?;
    announce(listener.local_addr()?)?;
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
