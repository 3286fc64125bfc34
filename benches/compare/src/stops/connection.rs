//! One connection of a client, blocking: looks whether the server has closed it, writes requests, reads responses.

use std::{
    io::{self, ErrorKind, Read, Write},
    mem::MaybeUninit,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use socket2::SockRef;

use super::Patience;

/// What a `connect` came to.
pub(super) enum Connected {
    Yes(Connection),
    Refused,
    Unheard,
    /// It was established, and reset before `connect` returned.
    Reset,
}

pub(super) struct Connection {
    stream: TcpStream,
    /// Read, but not used yet.
    buffer: Vec<u8>,
    pub(super) local_port: u16,
    /// Responses that came on it.
    pub(super) answered: usize,
}

/// A whole response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    /// It said that it is the last one.
    pub(super) is_last: bool,
    pub(super) content: Vec<u8>,
}

/// Why there is no whole response.
#[derive(Debug)]
pub(super) enum NoResponse {
    TimedOut,
    /// So many bytes of it came, and then this.
    Cut {
        bytes: usize,
        seen: String,
    },
}

impl Connection {
    /// # Panics
    ///
    /// If this machine has no port or descriptor left: nothing that would be counted from then on were true.
    pub(super) fn to(address: SocketAddr, patience: Patience) -> Connected {
        let stream = match TcpStream::connect_timeout(&address, patience.connect) {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                ErrorKind::ConnectionRefused => return Connected::Refused,
                ErrorKind::TimedOut => return Connected::Unheard,
                ErrorKind::ConnectionReset => return Connected::Reset,
                _ => panic!("cannot connect: {error}"),
            },
        };
        stream.set_nodelay(true).expect("it is a TCP socket");
        stream.set_read_timeout(Some(patience.answer)).expect("the time is not zero");
        let local_port = stream.local_addr().map_or(0, |address| address.port());
        Connected::Yes(Connection { stream, buffer: Vec::new(), local_port, answered: 0 })
    }

    /// Whether the kernel knows by now that no response will come: a FIN, a reset, or bytes that nobody asked for (some
    /// servers say 408 before they close).
    pub(super) fn is_closed_by_server(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(&self.stream).recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT) {
            Ok(_) => true,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }

    /// Writes all of it; how much was written before an error, otherwise.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut written = 0;
        while written < bytes.len() {
            match self.stream.write(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(written),
            }
        }
        Ok(())
    }

    /// Reads one response, from what is left of the last read and from the socket.
    pub(super) fn read_response(&mut self) -> Result<Response, NoResponse> {
        let (length, response) = loop {
            if let Some(response) = parse(&self.buffer).map_err(|what| self.cut(what))? {
                break response;
            }
            self.read_some()?;
        };
        self.buffer.drain(..length);
        self.answered += 1;
        Ok(response)
    }

    /// Waits for bytes and keeps them for the next response.
    pub(super) fn read_some(&mut self) -> Result<(), NoResponse> {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(self.cut("the end of the stream".to_owned())),
                Ok(count) => {
                    self.buffer.extend_from_slice(&bytes[..count]);
                    return Ok(());
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    // What a time-out is called depends on the system.
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Err(NoResponse::TimedOut),
                    _ => return Err(self.cut(describe(&error))),
                },
            }
        }
    }

    /// Closes with a reset, as a kernel does for a process that had not read everything.
    pub(super) fn reset(self) {
        // An error: it was reset by the other side.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    fn cut(&self, seen: String) -> NoResponse {
        NoResponse::Cut { bytes: self.buffer.len(), seen }
    }
}

fn describe(error: &io::Error) -> String {
    format!("{:?}", error.kind())
}

/// The first response in `bytes` and its length, if it is whole; an error if it never will be.
fn parse(bytes: &[u8]) -> Result<Option<(usize, Response)>, String> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut fields);
    let head_length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("no HTTP: {error}")),
    };
    let status = head.code.unwrap_or(0);
    if status == 100 {
        let rest = parse(&bytes[head_length..])?;
        return Ok(rest.map(|(length, response)| (head_length + length, response)));
    }
    let field = |name: &str| {
        let field = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        field.map(|field| String::from_utf8_lossy(field.value).to_ascii_lowercase())
    };
    let rest = &bytes[head_length..];
    let content = match (field("Content-Length"), field("Transfer-Encoding")) {
        (Some(length), None) => {
            let length: usize = length.parse().map_err(|_| format!("a Content-Length of {length}"))?;
            rest.get(..length).map(|content| (length, content.to_vec()))
        }
        (None, Some(coding)) if coding == "chunked" => chunked(rest)?,
        _ => return Err("a response without a length".to_owned()),
    };
    let is_last = field("Connection").is_some_and(|options| options.contains("close"));
    Ok(content.map(|(length, content)| (head_length + length, Response { status, is_last, content })))
}

/// The content in `bytes` and how many of them it takes, if it is whole (RFC 9112 section 7.1).
fn chunked(bytes: &[u8]) -> Result<Option<(usize, Vec<u8>)>, String> {
    let mut content = Vec::new();
    let mut position = 0;
    loop {
        let (begin, size) = match httparse::parse_chunk_size(&bytes[position..]) {
            Ok(httparse::Status::Complete((length, size))) => (position + length, size as usize),
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err("a chunk without a size".to_owned()),
        };
        // Nobody here sends trailers, so the last chunk ends like any other.
        let end = begin + size;
        let Some(chunk) = bytes.get(begin..end) else { return Ok(None) };
        match bytes.get(end..end + 2) {
            None => return Ok(None),
            Some(b"\r\n") => {}
            Some(_) => return Err("a chunk without an end".to_owned()),
        }
        content.extend_from_slice(chunk);
        position = end + 2;
        if size == 0 {
            return Ok(Some((position, content)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    /// At every length but the last there is no response yet.
    fn whole(bytes: &[u8]) -> (Vec<u8>, bool) {
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length]).unwrap().is_none(), "whole after {length} bytes");
        }
        let (length, response) = parse(bytes).unwrap().unwrap();
        assert_eq!((length, response.status), (bytes.len(), 200));
        (response.content, response.is_last)
    }

    #[test]
    fn a_response_is_whole_with_its_last_byte() {
        let counted = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        assert_eq!(whole(counted), (b"abc".to_vec(), false));
        let chunked = b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
            2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        assert_eq!(whole(chunked), (b"abc".to_vec(), true));
        let continued = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(whole(continued), (Vec::new(), false));
    }

    #[test]
    fn what_is_no_response_is_an_error() {
        for bytes in
            ["junk\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
        {
            assert!(parse(bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
