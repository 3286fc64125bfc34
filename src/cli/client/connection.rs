//! One connection of a client: every call has a deadline, every byte is read strictly, and every step is noted.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use socket2::{Domain, SockRef, Socket, Type};

use super::{
    CONNECT, Outcome, Step, Story,
    response::{Ended, Reader},
};

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum NotConnected {
    Refused,
    /// No answer in time.
    Unheard,
    /// The connection was reset while it was made.
    Reset,
    /// This side has no port, descriptor or memory for it.
    Ours(io::Error),
}

impl NotConnected {
    fn of(error: io::Error) -> NotConnected {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => NotConnected::Refused,
            io::ErrorKind::ConnectionReset => NotConnected::Reset,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => NotConnected::Unheard,
            _ => NotConnected::Ours(error),
        }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            NotConnected::Refused => Outcome::Refused,
            NotConnected::Unheard => Outcome::Unheard,
            NotConnected::Reset => Outcome::Dropped,
            NotConnected::Ours(_) => Outcome::Ours,
        }
    }
}

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotConnected::Refused => f.write_str("refused"),
            NotConnected::Unheard => f.write_str("no answer"),
            NotConnected::Reset => f.write_str("reset"),
            NotConnected::Ours(error) => error.fmt(f),
        }
    }
}

/// The reason why a response is not whole, or why a request was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Nothing more came in time; the connection is open.
    TimedOut,
    Closed,
    Reset,
    Malformed(String),
    /// This side could not go on.
    Ours,
}

/// Whether a connection can be written to, as far as this side's kernel knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Open,
    /// A FIN or a reset has arrived, or bytes that nobody has asked for: some servers say 408 before they close.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    reader: Reader,
    /// Bytes behind the last response.
    pending: Vec<u8>,
    pub(crate) answered: usize,
    pub(crate) story: Story,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Connection, NotConnected> {
        Connection::open_with(address, CONNECT, |_| Ok(()))
    }

    /// A connection whose socket was prepared before the handshake, which may take so long.
    pub(crate) fn open_with(
        address: SocketAddr,
        within: Duration,
        prepare: impl FnOnce(&Socket) -> io::Result<()>,
    ) -> Result<Connection, NotConnected> {
        let mut story = Story::new();
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM, None).map_err(NotConnected::Ours)?;
        prepare(&socket).map_err(NotConnected::Ours)?;
        story.add(Step::Connecting);
        socket.connect_timeout(&address.into(), within).map_err(NotConnected::of)?;
        let stream = TcpStream::from(socket);
        // If nobody listens, and the kernel chooses the address's own port for this socket, the socket connects to itself.
        if stream.local_addr().is_ok_and(|local| local == address) {
            return Err(NotConnected::Refused);
        }
        story.add(Step::Connected);
        stream.set_nodelay(true).map_err(NotConnected::Ours)?;
        Ok(Connection { stream, reader: Reader::new(false), pending: Vec::new(), answered: 0, story })
    }

    /// Keeps the content of every response from now on.
    #[allow(dead_code, reason = "the harness of benches/compare alone knows what a response has to be")]
    pub(crate) fn keeping_contents(self) -> Connection {
        Connection { reader: self.reader.keeping_contents(), ..self }
    }

    /// The content of the last response, if contents are kept.
    #[allow(dead_code, reason = "the harness of benches/compare alone knows what a response has to be")]
    pub(crate) fn content(&self) -> &[u8] {
        self.reader.content()
    }

    #[allow(dead_code, reason = "the harness of benches/compare silences clients by their ports")]
    pub(crate) fn local_port(&self) -> u16 {
        // The error is of a socket that is not connected.
        self.stream.local_addr().map_or(0, |address| address.port())
    }

    /// Begins the story of the next request on this connection.
    pub(crate) fn next_story(&mut self) {
        self.story = Story { answered_before: self.answered, ..Story::new() };
    }

    /// Writes everything. The story tells how many bytes were written, also after an error.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.stream.set_write_timeout(Some(super::ANSWER)).map_err(|_| Broken::Ours)?;
        let mut written = 0;
        let result = loop {
            match self.stream.write(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(broken(&error)),
            }
            if written == bytes.len() {
                break Ok(());
            }
        };
        if written > 0 {
            self.story.add(Step::Sent(written));
        }
        if result.is_err() {
            self.story.add(Step::Saw("found it closed when it wrote"));
        }
        result
    }

    /// Looks between two exchanges, when no response is outstanding. Bytes that have come are left.
    pub(crate) fn look(&self) -> Look {
        if !self.pending.is_empty() {
            return Look::Closed;
        }
        if self.stream.set_nonblocking(true).is_err() {
            return Look::Open;
        }
        let look = match self.stream.peek(&mut [0]) {
            Ok(_) => Look::Closed,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Look::Open
            }
            Err(_) => Look::Closed,
        };
        _ = self.stream.set_nonblocking(false);
        look
    }

    /// Reads until a response is whole.
    pub(crate) fn response(&mut self, within: Duration) -> Result<Ended, Broken> {
        let until = Instant::now() + within;
        loop {
            let bytes = std::mem::take(&mut self.pending);
            let mut rest = &bytes[..];
            match self.reader.read(&mut rest) {
                Ok(Some(ended)) => {
                    self.pending = rest.to_vec();
                    return Ok(self.whole(ended));
                }
                Ok(None) => {}
                Err(malformed) => {
                    self.story.add(Step::Saw("got what is no response"));
                    return Err(Broken::Malformed(malformed.to_string()));
                }
            }
            match self.read(until) {
                Ok(bytes) => self.pending = bytes,
                Err(Broken::Closed) => {
                    return self.reader.end().map(|ended| self.whole(ended)).ok_or(Broken::Closed);
                }
                Err(broken) => return Err(broken),
            }
        }
    }

    fn whole(&mut self, ended: Ended) -> Ended {
        self.answered += 1;
        self.story.add(Step::Answered(ended.status));
        ended
    }

    /// Reads the next bytes, at most as many as fit in a small buffer.
    pub(crate) fn read(&mut self, until: Instant) -> Result<Vec<u8>, Broken> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left)).map_err(|_| Broken::Ours)?;
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.story.add(Step::Saw("got the end of the stream (FIN)"));
                    return Err(Broken::Closed);
                }
                Ok(count) => {
                    self.story.add(Step::Got(count));
                    return Ok(buffer[..count].to_vec());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let broken = broken(&error);
                    self.story.add(Step::Saw(match broken {
                        Broken::TimedOut => "had waited in vain, and the connection was open",
                        _ => "got a reset (RST)",
                    }));
                    return Err(broken);
                }
            }
        }
    }

    /// Gives bytes that [`read`](Connection::read) has returned to the reader of responses.
    pub(crate) fn put_back(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Reads until the server closes, and discards the bytes.
    pub(crate) fn wait_for_end(&mut self, within: Duration) -> Broken {
        let until = Instant::now() + within;
        loop {
            if let Err(broken) = self.read(until) {
                return broken;
            }
        }
    }

    /// Closes this side with a reset.
    pub(crate) fn reset(self) {
        // If the call fails, the close sends a FIN instead.
        _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}

fn broken(error: &io::Error) -> Broken {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Broken::TimedOut,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
            Broken::Reset
        }
        _ => Broken::Ours,
    }
}
