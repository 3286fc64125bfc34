//! Connections that have been served once and send nothing more.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use peer_answers::HELLO;
use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::SockRef;

/// The longest wait for the answer on one connection.
const ANSWERED: Duration = Duration::from_secs(10);
/// Descriptors that this process and a server need besides these connections.
const SPARE_DESCRIPTORS: u64 = 500;

/// Opens `count` idle connections.
pub(super) fn open(address: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let request = request(address);
    (0..count).map(|_| Ok(greet(address, &request)?.0)).collect()
}

pub(super) fn request(address: SocketAddr) -> String {
    format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n")
}

/// A connection on which one request has been answered, and the number of bytes of that answer. Closing the connection
/// resets it, because thousands of closed connections would leave thousands of ports in TIME-WAIT.
pub(super) fn greet(address: SocketAddr, request: &str) -> io::Result<(TcpStream, usize)> {
    let mut stream = TcpStream::connect(address)?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    stream.set_read_timeout(Some(ANSWERED))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    while !answer.ends_with(HELLO.as_bytes()) {
        let mut bytes = [0; 1024];
        match stream.read(&mut bytes)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => answer.extend_from_slice(&bytes[..count]),
        }
    }
    Ok((stream, answer.len()))
}

/// Raises the descriptor limit of this process, and of the servers that it starts, to the hard limit.
///
/// # Errors
///
/// If the system refuses the new limit.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// Whether this process and a server have descriptors for so many connections.
pub(super) fn is_room_for(count: usize) -> bool {
    getrlimit(Resource::Nofile).current.is_none_or(|limit| count as u64 + SPARE_DESCRIPTORS <= limit)
}
