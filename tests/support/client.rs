//! A client that sends exactly the given bytes, and frames responses by their `Content-Length` only.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};

use super::{HUNG, transport};

pub(crate) struct Client {
    stream: TcpStream,
    /// Bytes that were read and not taken yet.
    received: Vec<u8>,
}

/// A response, unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).expect("the server listens")
    }

    /// Connects, or returns `None` if the server refuses.
    pub(crate) fn try_connect(address: SocketAddr) -> Option<Client> {
        let tcp = || TcpStream::connect_timeout(&address, HUNG);
        transport::connect(address).unwrap_or_else(tcp).ok().map(Client::new)
    }

    /// A client on an existing connection.
    pub(crate) fn from(stream: TcpStream) -> Client {
        Client::new(stream)
    }

    fn new(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(HUNG)).unwrap();
        stream.set_write_timeout(Some(HUNG)).unwrap();
        // Fails on a Unix-domain socket, which has no such option.
        _ = stream.set_nodelay(true);
        Client { stream, received: Vec::new() }
    }

    /// A client with a small receive window: a response of some megabytes blocks until the client reads.
    pub(crate) fn connect_with_small_window(address: SocketAddr) -> Client {
        Client::connect_with_window(address, 128 * 1024)
    }

    /// A client with a receive window of about this many bytes.
    pub(crate) fn connect_with_window(address: SocketAddr, window: usize) -> Client {
        // On a Unix-domain socket the size of the server's buffer counts, which the client cannot make smaller.
        if let Some(stream) = transport::connect(address) {
            return Client::new(stream.unwrap());
        }
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        // The handshake announces the window, so the size is set before.
        socket.set_recv_buffer_size(window).unwrap();
        socket.connect(&address.into()).unwrap();
        Client::new(socket.into())
    }

    /// Sends one request and reads its response.
    #[track_caller]
    pub(crate) fn once(address: SocketAddr, request: impl AsRef<[u8]>) -> Response {
        let mut client = Client::connect(address);
        client.send(request);
        client.read_response()
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// A second handle of the same connection, to send while the client reads.
    pub(crate) fn sender(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// Sends a request without content, and reads the response.
    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.send(get(target));
        self.read_response()
    }

    #[track_caller]
    pub(crate) fn read_response(&mut self) -> Response {
        self.read_framed(true)
    }

    /// Reads the response to a HEAD request.
    #[track_caller]
    pub(crate) fn read_response_head(&mut self) -> Response {
        self.read_framed(false)
    }

    #[track_caller]
    fn read_framed(&mut self, has_content: bool) -> Response {
        let end = self.fill_to_the_end_of_a_head();
        let head = self.take(end);
        let (status, fields) = parse_head(std::str::from_utf8(&head).unwrap());
        let mut response = Response { status, fields, body: Vec::new() };
        if has_content && ![100, 204, 304].contains(&status) {
            let length = response.content_length();
            while self.received.len() < length {
                assert!(
                    self.fill().unwrap() > 0,
                    "the connection ended {} bytes into {length} bytes of content",
                    self.received.len()
                );
            }
            response.body = self.take(length);
        }
        response
    }

    /// The next head, unchanged.
    #[track_caller]
    pub(crate) fn read_head_text(&mut self) -> String {
        let end = self.fill_to_the_end_of_a_head();
        String::from_utf8(self.take(end)).unwrap()
    }

    /// The next `count` bytes.
    #[track_caller]
    pub(crate) fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count {
            assert!(self.fill().unwrap() > 0, "the connection ended too early: {}", self.seen());
        }
        self.take(count)
    }

    /// All remaining bytes, up to the orderly end of the connection. A reset fails the test.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        while self.fill().expect("the connection ends in order") > 0 {}
        std::mem::take(&mut self.received)
    }

    /// Fails the test unless the connection ends in order without further bytes.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "unexpected: {}", String::from_utf8_lossy(&rest));
    }

    /// Reads until the connection is over, also by a reset, and returns the bytes.
    pub(crate) fn read_all_there_is(&mut self) -> Vec<u8> {
        while self.fill().is_ok_and(|count| count > 0) {}
        std::mem::take(&mut self.received)
    }

    /// Shuts the write side down. The client can still read.
    pub(crate) fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection with a reset instead of a close.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    #[track_caller]
    fn fill_to_the_end_of_a_head(&mut self) -> usize {
        loop {
            if let Some(position) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                return position + 4;
            }
            assert!(self.fill().unwrap() > 0, "the connection ended inside of a head: {}", self.seen());
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 64 * 1024];
        let count = loop {
            match self.stream.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.received.extend_from_slice(&piece[..count]);
        Ok(count)
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.received.split_off(count);
        std::mem::replace(&mut self.received, rest)
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }
}

impl Response {
    /// The value of a field. A second field of this name fails the test.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "the response has two fields {name}: {self:?}");
        value
    }

    pub(crate) fn says_close(&self) -> bool {
        self.field("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn content_length(&self) -> usize {
        assert_eq!(self.field("Transfer-Encoding"), None, "{self:?}");
        let length = self.field("Content-Length").unwrap_or_else(|| panic!("no length: {self:?}"));
        length.parse().unwrap()
    }
}

/// A request without content.
pub(crate) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// A request with content.
pub(crate) fn post(target: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", content.len());
    [head.as_bytes(), content].concat()
}

#[track_caller]
fn parse_head(head: &str) -> (u16, Vec<(String, String)>) {
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    let status_line = lines.next().unwrap();
    let rest = status_line.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("{status_line:?}"));
    let (code, _reason) = rest.split_once(' ').unwrap_or_else(|| panic!("{status_line:?}"));
    assert_eq!(code.len(), 3, "{status_line:?}");
    let field = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("{line:?}"));
        (name.to_ascii_lowercase(), value.to_owned())
    };
    (code.parse().unwrap(), lines.map(field).collect())
}
