//! A plain client over a raw socket. The client sends exactly the given bytes, and reads responses by their framing.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::transport;

/// A wait of this length is a hang.
pub(crate) const HUNG: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

/// One response.
#[derive(PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether the response says that the connection closes.
    pub(crate) close: bool,
    pub(crate) content: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.content).unwrap()
    }
}

/// Shows only the beginning of a large content.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = String::from_utf8_lossy(&self.content[..self.content.len().min(80)]);
        write!(f, "{} {begin:?} of {} bytes, close: {}", self.status, self.content.len(), self.close)
    }
}

impl Client {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = transport::connect(address).unwrap_or_else(|| TcpStream::connect(address));
        Client::over(stream.unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(HUNG)).unwrap();
        stream.set_write_timeout(Some(HUNG)).unwrap();
        // Fails on a Unix-domain socket, which has no such option.
        _ = stream.set_nodelay(true);
        Client { stream: BufReader::new(stream) }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    #[track_caller]
    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        self.stream().write_all(bytes.as_ref()).unwrap();
    }

    /// Reads one response, which may be an interim one. Returns an error if the connection ends before the response is
    /// complete.
    pub(crate) fn try_answer(&mut self) -> io::Result<Answer> {
        let status_line = self.line()?;
        let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| malformed(&status_line))?;
        let (mut close, mut length) = (false, 0);
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").ok_or_else(|| malformed(&line))?;
            match name {
                "Connection" => close = value == "close",
                "Content-Length" => length = value.parse().map_err(|_| malformed(&line))?,
                _ => {}
            }
        }
        let mut content = vec![0; length];
        self.stream.read_exact(&mut content)?;
        Ok(Answer { status, close, content })
    }

    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        match self.try_answer() {
            Ok(answer) => answer,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// Asserts that the connection has ended without another byte.
    #[track_caller]
    pub(crate) fn assert_ended(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.strip_suffix(b"\r\n") {
            Some(text) => String::from_utf8(text.to_vec()).map_err(|_| malformed("not UTF-8")),
            None => Err(malformed(&String::from_utf8_lossy(&line))),
        }
    }
}

fn malformed(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed: {line:?}"))
}
