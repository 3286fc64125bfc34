//! A raw connection to the server, which sends exact bytes, keeps the bytes that come back, and plays the steps of a
//! script.
//!
//! ```text
//!            +------+   the server's FIN    +--------+
//!  connect   |      |---------------------->| Closed |
//! ---------->| Open |   the server's RST    +--------+
//!            |      |---------------------->| Reset  |
//!            |      |   a step rst, close   +--------+
//!            |      |---------------------->| Left   |
//!            +------+                       +--------+
//! ```

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::case::{Goal, Set, Step};
use super::response::{Reader, Response};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The client gives up a write that makes no progress for this long.
const SEND_STALL: Duration = Duration::from_secs(4);
/// The largest number of bytes that the client gives to one write.
const WRITE_SIZE: usize = 256 * 1024;

/// The state of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    Closed,
    Reset,
    Left,
}

/// The place where the bytes of a script are cut in two, and the pause between the parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) at: usize,
    pub(crate) gap: Duration,
}

#[derive(Debug)]
pub(crate) struct Wire {
    /// The stream is non-blocking, except during a wait.
    stream: TcpStream,
    pub(crate) state: State,
    pub(crate) reader: Reader,
    /// The steps that did not go as the script planned.
    pub(crate) notes: Vec<String>,
    /// The server takes no more bytes, so the client sends none.
    refused: bool,
    last_activity: Instant,
}

impl Wire {
    /// `heads` has the numbers of the final responses, counted from 0, that answer a HEAD request.
    pub(crate) fn connect(address: SocketAddr, heads: &[usize]) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            state: State::Open,
            reader: Reader::new(heads),
            notes: Vec::new(),
            refused: false,
            last_activity: Instant::now(),
        })
    }

    /// When a byte last came, or when a sending step last ended.
    pub(crate) fn last_activity(&self) -> Instant {
        self.last_activity
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state != State::Open
    }

    /// Reads all bytes that have come.
    pub(crate) fn read(&mut self) {
        while self.receive() {}
    }

    /// Waits for bytes, for at most this time, and reads them.
    pub(crate) fn wait(&mut self, limit: Duration) {
        if self.is_over() {
            return thread::sleep(limit.min(Duration::from_millis(20)));
        }
        // These calls fail only on a dead socket. Then the read reports the error without a wait.
        let _ = self.stream.set_read_timeout(Some(limit.max(Duration::from_millis(1))));
        let _ = self.stream.set_nonblocking(false);
        let received = self.receive();
        let _ = self.stream.set_nonblocking(true);
        if received {
            self.read();
        }
    }

    /// Reads once. Returns `false` if there is nothing to read, or if the connection is over.
    fn receive(&mut self) -> bool {
        if self.is_over() {
            return false;
        }
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.state = State::Closed,
            Ok(length) => {
                self.reader.push(&buffer[..length]);
                self.last_activity = Instant::now();
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => return false,
                ErrorKind::Interrupted => return true,
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => self.state = State::Reset,
                _ => self.state = State::Closed,
            },
        }
        self.reader.advance(self.is_over());
        true
    }

    /// Reads for exactly this time.
    fn pump(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = time_left(until) {
            if self.is_over() { thread::sleep(left) } else { self.wait(left) }
        }
    }

    /// Sends all bytes, and reads meanwhile.
    pub(crate) fn send(&mut self, mut bytes: &[u8]) {
        let mut progress = Instant::now();
        while !bytes.is_empty() && !self.refused {
            self.read();
            if self.is_over() {
                self.refused = true;
                break;
            }
            match self.stream.write(&bytes[..bytes.len().min(WRITE_SIZE)]) {
                Ok(length) => {
                    bytes = &bytes[length..];
                    progress = Instant::now();
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    if progress.elapsed() > SEND_STALL {
                        self.notes.push("the server stopped reading".to_owned());
                        self.refused = true;
                    } else {
                        self.wait(Duration::from_millis(1));
                    }
                }
                Err(_) => {
                    self.refused = true;
                    self.read();
                }
            }
        }
        self.last_activity = Instant::now();
    }

    /// Plays a script to its end, or until the client leaves.
    pub(crate) fn play(&mut self, steps: &[Step], cut: Option<Cut>) {
        for step in steps {
            match step {
                Step::Write(bytes) => match cut {
                    Some(Cut { at, gap }) => {
                        let (before, behind) = bytes.0.split_at(at.min(bytes.0.len()));
                        self.send(before);
                        self.pump(gap);
                        self.send(behind);
                    }
                    None => self.send(&bytes.0),
                },
                Step::Delay { delay_ms } => self.pump(Duration::from_millis(*delay_ms)),
                Step::Deaf { deaf_ms } => thread::sleep(Duration::from_millis(*deaf_ms)),
                Step::Hush { hush_ms } => {
                    let received = self.reader.received();
                    self.pump(Duration::from_millis(*hush_ms));
                    if self.reader.received() != received {
                        self.notes.push("the server spoke while it should have waited".to_owned());
                    }
                }
                Step::Drip { drip, size, gap_ms } => {
                    for bytes in drip.0.chunks(*size) {
                        self.send(bytes);
                        if self.refused {
                            break;
                        }
                        self.pump(Duration::from_millis(*gap_ms));
                    }
                }
                Step::Await { r#await: goal, timeout_ms, optional } => {
                    let until = Instant::now() + Duration::from_millis(*timeout_ms);
                    while !self.has_reached(*goal)
                        && !self.is_over()
                        && let Some(left) = time_left(until)
                    {
                        self.wait(left);
                    }
                    if !self.has_reached(*goal) && !optional {
                        self.notes.push(match goal {
                            Goal::Interim(_) => "no interim response came in time".to_owned(),
                            Goal::Finals(count) => format!("response {count} did not come in time"),
                        });
                    }
                }
                Step::Fin { fin: Set } => {
                    // The call fails if the connection is gone. Then the client has no side to shut down.
                    let _ = self.stream.shutdown(Shutdown::Write);
                    self.last_activity = Instant::now();
                }
                Step::Reset { rst: Set } => {
                    // With a linger time of zero, the close that follows is a reset.
                    let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
                    return self.state = State::Left;
                }
                Step::Close { close: Set } => return self.state = State::Left,
            }
        }
    }

    fn has_reached(&self, goal: Goal) -> bool {
        match goal {
            Goal::Interim(_) => !self.reader.interim.is_empty() || self.reader.has_final(),
            Goal::Finals(count) => self.reader.done.len() >= count,
        }
    }
}

fn time_left(until: Instant) -> Option<Duration> {
    until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}

/// Shows the bytes that came in a readable form.
impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.reader.done.iter().map(Response::to_string).collect();
        parts.extend(self.reader.partial.iter().map(|response| format!("{response} (incomplete)")));
        self.reader.interim.iter().try_for_each(|status| write!(f, "{status}+, "))?;
        write!(f, "{}; ", Row(&parts))?;
        f.write_str(match self.state {
            State::Open => "open",
            State::Closed => "closed",
            State::Reset => "reset",
            State::Left => "left by the client",
        })?;
        self.reader.fault.iter().try_for_each(|fault| write!(f, "; {fault}"))?;
        self.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

/// Descriptions of responses. A long row is shown without its middle.
pub(crate) struct Row<'a>(pub(crate) &'a [String]);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("no response"),
            [first, second, third, middle @ .., last] if middle.len() > 2 => {
                write!(f, "{first}, {second}, {third}, ..{} responses.., {last}", self.0.len())
            }
            all => f.write_str(&all.join(", ")),
        }
    }
}
