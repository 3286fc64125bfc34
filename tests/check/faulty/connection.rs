//! One connection of the faulty server: requests in, responses out, and a lingering close.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    process,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use crate::{Held, Shared, fault::Fault};

/// The time between two looks at the stop flag. The time is long, because a thousand threads look in each of several servers.
const TURN: Duration = Duration::from_millis(200);
/// The pause between two pieces of a stream.
const TICK: Duration = Duration::from_millis(20);
/// The pause of a server that closes its connections one by one.
const EACH: Duration = Duration::from_millis(20);
/// The time that an idle connection stays open after the stop has begun: longer than the think time of the clients.
const QUIET: Duration = Duration::from_millis(150);
const LINGER: Duration = Duration::from_millis(300);
const SLOW: Duration = Duration::from_millis(500);
const LARGE: usize = 2 * 1024 * 1024;
/// The status that a shell shows for a process that SIGPIPE has ended.
const SIGPIPE: i32 = 128 + 13;

struct Connection<'a> {
    stream: TcpStream,
    buffer: Vec<u8>,
    shared: &'a Shared,
    said_close: bool,
    /// The stop ends the connection between two requests.
    was_idle: bool,
}

struct Request {
    path: String,
    length: usize,
    wants_continue: bool,
    says_close: bool,
}

/// Says that a connection is over.
struct Over;

pub(crate) fn serve(stream: TcpStream, shared: &Shared) {
    _ = stream.set_nonblocking(false);
    _ = stream.set_nodelay(true);
    _ = stream.set_read_timeout(Some(TURN));
    let mut connection =
        Connection { stream, buffer: Vec::new(), shared, said_close: false, was_idle: false };
    while let Ok(request) = connection.request() {
        if connection.answer(&request).is_err() {
            break;
        }
    }
    connection.close();
    shared.connections.fetch_sub(1, Ordering::AcqRel);
}

impl Connection<'_> {
    /// The next request. The connection is over if the client ends, or if the stop has begun and no request has come
    /// for a while.
    fn request(&mut self) -> Result<Request, Over> {
        let _held = self.shared.hold(Fault::WaitsForIdle);
        let mut stop_seen = None;
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Ok(parse(&String::from_utf8_lossy(&head)));
            }
            if self.shared.is_stopping() && self.shared.fault != Fault::WaitsForIdle {
                let since = *stop_seen.get_or_insert_with(Instant::now);
                if since.elapsed() > QUIET {
                    self.was_idle = true;
                    return Err(Over);
                }
            }
            self.read()?;
        }
    }

    /// Reads the bytes that have arrived, if there are any.
    fn read(&mut self) -> Result<(), Over> {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(Over),
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                Ok(())
            }
            Err(error) if is_nothing(&error) => Ok(()),
            Err(_) => Err(Over),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Over> {
        let _held = self.shared.hold(Fault::WritesForever);
        self.stream.write_all(bytes).map_err(|error| {
            let is_gone = matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
            if self.shared.fault == Fault::SigPipe && is_gone {
                process::exit(SIGPIPE);
            }
            Over
        })
    }

    fn answer(&mut self, request: &Request) -> Result<(), Over> {
        if request.wants_continue {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        while self.buffer.len() < request.length {
            self.read()?;
        }
        self.buffer.drain(..request.length);
        let (status, content) = match request.path.as_str() {
            "/slow" => {
                thread::sleep(SLOW);
                ("200 OK", b"slow".to_vec())
            }
            "/large" => ("200 OK", vec![b'x'; LARGE]),
            "/readyz" if self.shared.is_stopping() => ("503 Service Unavailable", b"stopping".to_vec()),
            "/stuck" => {
                let _held = self.shared.hold(Fault::WaitsForHandlers);
                loop {
                    thread::park();
                }
            }
            "/stream" => return self.stream(),
            "/upgrade" => return self.upgrade(),
            _ if self.shared.fault == Fault::AnswersError => ("500 Internal Server Error", b"error".to_vec()),
            _ => ("200 OK", b"hello".to_vec()),
        };
        self.respond(status, &content, request.says_close)
    }

    fn respond(&mut self, status: &str, content: &[u8], says_close: bool) -> Result<(), Over> {
        let is_stopping = self.shared.is_stopping();
        let is_last = says_close || is_stopping;
        let forgets = self.shared.fault == Fault::ForgetsClose && !says_close;
        let close = if is_last && !forgets { "Connection: close\r\n" } else { "" };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{close}\r\n", content.len());
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(content);
        if is_stopping && self.shared.fault == Fault::AnswersHalf {
            bytes.truncate(bytes.len() - content.len() / 2 - 1);
        }
        self.write(&bytes)?;
        self.said_close = !close.is_empty();
        if !is_last {
            return Ok(());
        }
        if forgets {
            // The client sends its next request during this pause, even if the client thinks first.
            thread::sleep(Duration::from_millis(60));
        }
        Err(Over)
    }

    fn stream(&mut self) -> Result<(), Over> {
        self.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        while !self.shared.is_stopping() {
            self.write(b"5\r\ntick\n\r\n")?;
            thread::sleep(TICK);
        }
        if self.shared.fault != Fault::CutsStreams {
            self.write(b"0\r\n\r\n")?;
        }
        Err(Over)
    }

    /// The accept key belongs to the nonce of RFC 6455, section 1.3.
    fn upgrade(&mut self) -> Result<(), Over> {
        const CLOSE_1001: [u8; 4] = [0x88, 2, 0x03, 0xe9];
        self.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        )?;
        while !self.shared.is_stopping() {
            self.read()?;
        }
        self.write(&CLOSE_1001)?;
        Err(Over)
    }

    /// Closes the write side, and reads what the client still sends, so that no reset overtakes the response.
    fn close(mut self) {
        _ = self.stream.shutdown(Shutdown::Write);
        if self.shared.fault == Fault::ClosesOneByOne && self.was_idle {
            let _held = self.shared.hold(Fault::ClosesOneByOne);
            let _turn = self.shared.turn.lock();
            thread::sleep(EACH);
        }
        let held = self.said_close.then(|| self.shared.hold(Fault::LingersForever));
        let is_endless = held.as_ref().is_some_and(Held::is_held);
        let since = Instant::now();
        let mut bytes = [0; 4096];
        while since.elapsed() < LINGER || is_endless {
            match self.stream.read(&mut bytes) {
                Ok(1..) => {}
                Err(error) if is_nothing(&error) => {}
                Ok(0) | Err(_) => return,
            }
        }
    }
}

fn is_nothing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn parse(head: &str) -> Request {
    let mut lines = head.lines();
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("/").to_owned();
    let mut request = Request { path, length: 0, wants_continue: false, says_close: false };
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        match (name.to_ascii_lowercase().as_str(), value) {
            ("content-length", length) => request.length = length.parse().unwrap_or(0),
            ("expect", "100-continue") => request.wants_continue = true,
            ("connection", "close") => request.says_close = true,
            _ => {}
        }
    }
    request
}
