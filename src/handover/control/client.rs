//! The other end of the control socket: what `softstop status`, `reload` and `stop` do, and a deploy tool in Rust can do, too.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::geteuid;

use crate::handover::{
    HandoverError, HandoverErrorKind, Replaced,
    channel::{Channel, Owner, Received, connect, owner},
    protocol::{Answer, Request, ServerLine, StatusLine},
    takeover::unreachable,
};

/// How long the process may take for an answer that needs no waiting.
const ANSWER: Duration = Duration::from_secs(10);

/// Asks a process at its control socket ([`Group::control`](crate::Group::control)). The process has to be this user's or root's;
/// root may ask every process.
///
/// ```
/// use softstop::{Group, Router, Server, StopPolicy, handover::Control};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let path = std::env::temp_dir().join(format!("hello-{}.control", std::process::id()));
/// let server = Server::builder().name("hello").listen("127.0.0.1:0").routes(Router::new()).build();
/// let group = Group::new().control(&path).server(server);
/// let running = std::thread::spawn(move || group.run());
/// # while !path.exists() { std::thread::yield_now() }
/// let process = Control::at(&path);
/// # while process.status()?.phase != "running" { std::thread::yield_now() }
/// let status = process.status()?;
/// assert_eq!((status.generation, status.servers[0].name.as_str()), (1, "hello"));
/// process.stop(None, |waits_for| println!("{waits_for}"))?;
/// assert!(running.join().unwrap()?.is_clean());
/// assert!(!path.exists());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Control {
    path: PathBuf,
}

/// How a process is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// 1 for a process that started alone, and one more after each handover.
    pub generation: u32,
    /// The process.
    pub pid: u32,
    /// What the process does: `running`, `being replaced`, `stopping`, and so on. For people.
    pub phase: String,
    /// Its servers.
    pub servers: Vec<ServerStatus>,
    /// What the drain waits for, if the process stops.
    pub waits_for: Option<String>,
    /// The process that has handed over to this one, if it still drains.
    pub older: Option<OlderStatus>,
}

/// How a server is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStatus {
    /// The name of the server.
    pub name: String,
    /// Its [phase](crate::Phase), as text.
    pub phase: String,
    /// Where it listens. Of hundreds of addresses only the first ones are told.
    pub addresses: Vec<String>,
}

/// A process that has handed over, and still drains.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OlderStatus {
    /// Its generation.
    pub generation: u32,
    /// The process.
    pub pid: u32,
    /// What its drain waits for.
    pub waits_for: String,
}

/// How a process has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// The process that has stopped.
    pub pid: u32,
    /// Whether the stop cut nothing off.
    pub is_clean: bool,
}

impl Control {
    /// The process whose control socket has this path.
    #[must_use]
    pub fn at(path: impl AsRef<Path>) -> Control {
        Control { path: path.as_ref().to_owned() }
    }

    /// How the process is doing. The process answers also while it is being replaced, and while it stops.
    ///
    /// # Errors
    ///
    /// [`HandoverErrorKind::Unreachable`] if nobody answers at the path, and [`HandoverErrorKind::Protocol`] if a process
    /// answers that is no softstop of this version.
    pub fn status(&self) -> Result<Status, HandoverError> {
        let mut connection = self.ask(&Request::Status)?;
        let Answer::Status(StatusLine { generation, pid, phase }) = connection.answer(Some(ANSWER))? else {
            return Err(unexpected("a status"));
        };
        let mut status = Status { generation, pid, phase, servers: Vec::new(), waits_for: None, older: None };
        loop {
            match connection.answer(Some(ANSWER))? {
                Answer::Server(ServerLine { name, phase, addresses }) => {
                    status.servers.push(ServerStatus { name, phase, addresses });
                }
                Answer::Waits { text } => status.waits_for = Some(text),
                Answer::Older { generation, pid, text } => {
                    status.older = Some(OlderStatus { generation, pid, waits_for: text });
                }
                Answer::Done => return Ok(status),
                _ => return Err(unexpected("a status")),
            }
        }
    }

    /// Replaces the process by its program as it is on disk now. Returns when the new process serves. `on_line` gets the
    /// lines that the new process writes to standard error until then.
    ///
    /// # Errors
    ///
    /// The new process could not be started, or does not serve `within` this time: [`HandoverErrorKind`] says why. Unless the kind
    /// is [`Lost`](HandoverErrorKind::Lost), the old process serves on.
    pub fn reload(&self, within: Duration, mut on_line: impl FnMut(&str)) -> Result<Replaced, HandoverError> {
        let mut connection = self.ask(&Request::Reload { timeout: within })?;
        // The process itself keeps the time. It needs some more for a new process that has to be ended.
        let time = within.saturating_add(ANSWER);
        loop {
            match connection.answer(Some(time))? {
                Answer::News { text } => on_line(&text),
                Answer::Replaced { generation, pid, within } => {
                    return Ok(Replaced { pid, generation, drains_within: within });
                }
                Answer::Failed { kind, text } => return Err(HandoverError::new(kind, text)),
                _ => return Err(unexpected("the outcome of a reload")),
            }
        }
    }

    /// Stops the process, and waits for the end. `grace` is the grace period, in place of that of the process. `on_progress`
    /// is told what the drain waits for, each time that this changes.
    ///
    /// # Errors
    ///
    /// [`HandoverErrorKind::Lost`] if the connection ends before the process has said how it has stopped: it was killed.
    pub fn stop(
        &self,
        grace: Option<Duration>,
        mut on_progress: impl FnMut(&str),
    ) -> Result<Stopped, HandoverError> {
        let mut connection = self.ask(&Request::Stop { grace })?;
        let Answer::Stopping { pid, .. } = connection.answer(Some(ANSWER))? else {
            return Err(unexpected("the beginning of a stop"));
        };
        loop {
            // The process keeps the time of its stop.
            match connection.answer(None)? {
                Answer::Waits { text } => on_progress(&text),
                Answer::Stopped { is_clean } => return Ok(Stopped { pid, is_clean }),
                _ => return Err(unexpected("the outcome of a stop")),
            }
        }
    }

    fn ask(&self, request: &Request) -> Result<Connection, HandoverError> {
        let broken = |error: io::Error| unreachable(&self.path, &error);
        let stream = connect(&self.path).map_err(broken)?;
        // Root administers the processes of all users.
        if let Owner::Other { uid } = owner(&stream)
            && !geteuid().is_root()
        {
            let text = format!("the process at {} belongs to another user ({uid})", self.path.display());
            return Err(HandoverError::new(HandoverErrorKind::Unreachable, text));
        }
        let mut channel = Channel::new(stream).map_err(broken)?;
        // An answer tells more than a failed write: the process may have turned this client away.
        _ = channel.say(&request.to_line());
        Ok(Connection { channel })
    }
}

struct Connection {
    channel: Channel,
}

impl Connection {
    fn answer(&mut self, within: Option<Duration>) -> Result<Answer, HandoverError> {
        let until = within.and_then(|within| Instant::now().checked_add(within));
        let lost = |text: &str| Err(HandoverError::new(HandoverErrorKind::Lost, text));
        match self.channel.line_until(until) {
            Ok(Received::Line(line)) => match Answer::parse(&line) {
                Ok(Answer::Refused { text }) => {
                    let text = format!("the process refuses the request: {text}");
                    Err(HandoverError::new(HandoverErrorKind::Protocol, text))
                }
                Ok(answer) => Ok(answer),
                Err(garbage) => Err(unexpected(garbage.expected())),
            },
            Ok(Received::Garbage(garbage)) => Err(unexpected(garbage.expected())),
            Ok(Received::Eof) => {
                lost("the process has closed the connection: it has ended, or belongs to another user")
            }
            Ok(Received::Nothing) => {
                Err(HandoverError::new(HandoverErrorKind::TimedOut, "the process does not answer: it hangs"))
            }
            Err(error) => lost(&format!("the connection to the process is broken: {error}")),
        }
    }
}

fn unexpected(expected: &str) -> HandoverError {
    let text = format!(
        "the answer of the process makes no sense (expected {expected}): is it a softstop of this version?"
    );
    HandoverError::new(HandoverErrorKind::Protocol, text)
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { generation, pid, phase, servers, waits_for, older } = self;
        write!(f, "{phase}: generation {generation}, pid {pid}")?;
        for ServerStatus { name, phase, addresses } in servers {
            write!(f, "\n  {name}: {phase}")?;
            if !addresses.is_empty() {
                write!(f, ", {}", addresses.join(" "))?;
            }
        }
        if let Some(waits) = waits_for {
            write!(f, "\n  waits for: {waits}")?;
        }
        if let Some(OlderStatus { generation, pid, waits_for }) = older {
            write!(f, "\n  generation {generation} drains: pid {pid}, {waits_for}")?;
        }
        Ok(())
    }
}
