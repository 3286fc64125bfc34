//! Connections that have been served once and send nothing more.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use peer_answers::HELLO;
use rustix::process::{Resource, getrlimit, setrlimit};

/// The longest that one of them may wait for its answer.
const ANSWERED: Duration = Duration::from_secs(10);

/// Opens `count` of them.
pub(super) fn open(address: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let open = || {
        let mut stream = TcpStream::connect(address)?;
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
        Ok(stream)
    };
    (0..count).map(|_| open()).collect()
}

/// Lets this process, and the servers that it starts, have as many descriptors as the system allows at all.
///
/// # Errors
///
/// If the system does not.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}
