//! Servers that send fixed answers.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use crate::support::HUNG;

/// A peer that answers each request of each connection with these pieces. If `closes` is set, the peer closes the
/// connection after the answer.
pub(crate) fn peer(pieces: &'static [&'static str], closes: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(stream, pieces, closes));
        }
    });
    address
}

/// A peer that accepts one connection, closes its listener, answers the first request, and closes the connection.
pub(crate) fn peer_of_one_request(response: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        drop(listener);
        answer(stream, &[response], true)
    });
    address
}

fn answer(mut stream: TcpStream, pieces: &[&str], closes: bool) -> io::Result<()> {
    stream.set_read_timeout(Some(HUNG))?;
    stream.set_nodelay(true)?;
    let mut request = [0; 4096];
    // The requests here are small, and arrive one at a time.
    while stream.read(&mut request)? > 0 {
        for piece in pieces {
            stream.write_all(piece.as_bytes())?;
        }
        if closes {
            break;
        }
    }
    Ok(())
}
