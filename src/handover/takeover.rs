//! The beginning of a takeover, in the new process: connect, say hello, and keep what the old process offers.

use std::{
    env, fmt,
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    io::fcntl_dupfd_cloexec,
    net::{AddressFamily, SocketType, sockopt},
    process::{Pid, PidfdFlags, getppid, pidfd_open},
    stdio::{dup2_stderr, dup2_stdin, stdin},
};

use super::{
    HandoverError, HandoverErrorKind,
    channel::{Channel, Owner, Received, connect, owner, readable},
    protocol::{FromNew, FromOld, NewAction, NewFailure, NewInput, NewState, Offered, OldProcess, Request},
    replacement::{STANDARD_INPUT, VARIABLE},
};
use crate::{
    engine::net::{FileIdentity, GivenListener},
    isolation::journal,
};

/// How long the old process may take to offer its listeners. It needs less than a millisecond for that, and answers from a
/// thread of its own.
const OFFER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the kernel may take to close the descriptors of an old process that was killed. It needs milliseconds.
const GONE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a new process takes over: the listeners of the process that it replaces.
///
/// A program that can be replaced asks for it first, and gives it to its group. The group then uses each listener in place of
/// binding its address, says that it is ready when all servers serve, and takes the control socket over.
///
/// ```
/// use softstop::{Group, Router, Server, handover::Takeover};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let takeover = Takeover::from_environment()?; // None, unless this process replaces another one
/// let mut group = Group::new()
///     .control("/run/hello.control")
///     .server(Server::builder().name("hello").listen("127.0.0.1:0").routes(Router::new()).build());
/// if let Some(takeover) = takeover {
///     group = group.takeover(takeover);
/// }
/// # drop(group);
/// # Ok(())
/// # }
/// ```
///
/// **Guaranteed:** until the new process says that it is ready, the old one serves as before. If the old process dies
/// meanwhile, the new one serves alone. **Not handed over:** connections. The old process drains them.
/// **Your part:** name the servers and write their addresses as in the old process. A listener that no server wants is
/// drained by the old process.
///
/// If a `Takeover` is dropped before its group runs, the old process is told, and serves on.
pub struct Takeover {
    pub(super) channel: Channel,
    pub(super) state: NewState,
    pub(super) generation: u32,
    pub(super) old_pid: u32,
    /// Readable when the old process is gone.
    pub(super) old_process: Option<Arc<OwnedFd>>,
    pub(super) listeners: Vec<(Offered, GivenListener)>,
    pub(super) control: Option<(PathBuf, Option<FileIdentity>, OwnedFd)>,
    /// Standard error of the old process, if ours is a pipe that ends with the old process.
    pub(super) stderr: Option<OwnedFd>,
}

impl Takeover {
    /// The takeover, if this process was started to replace another one: by
    /// [`GroupHandle::replace`](crate::GroupHandle::replace) or `softstop reload`. Standard input is then the connection to
    /// that process. Afterwards it is empty.
    ///
    /// # Errors
    ///
    /// - [`HandoverErrorKind::Protocol`] if the variable `SOFTSTOP_TAKEOVER` has another value than `stdin`, or if the
    ///   other process does not speak this version of the protocol.
    /// - [`HandoverErrorKind::Busy`] or [`HandoverErrorKind::Stopping`] if the old process does not hand over now.
    /// - [`HandoverErrorKind::NotStarted`] if a descriptor could not be received, because too many files are open.
    pub fn from_environment() -> Result<Option<Takeover>, HandoverError> {
        match env::var_os(VARIABLE) {
            None => return Ok(None),
            Some(value) if value == STANDARD_INPUT => {}
            Some(value) => {
                let text =
                    format!("{VARIABLE}={}: expected {VARIABLE}=stdin, or no such variable", value.display());
                return Err(HandoverError::new(HandoverErrorKind::Protocol, text));
            }
        }
        let input = stdin();
        let is_stream = sockopt::socket_domain(input).is_ok_and(|domain| domain == AddressFamily::UNIX)
            && sockopt::socket_type(input).is_ok_and(|kind| kind == SocketType::STREAM);
        if !is_stream {
            // A child of a process that has taken over inherits the variable.
            journal::debug!("{VARIABLE} is set, but standard input is not the connection to another process");
            return Ok(None);
        }
        let taken = take_standard_input().map_err(|error| {
            HandoverError::io(
                HandoverErrorKind::NotStarted,
                "cannot use standard input for the takeover",
                &error,
            )
        })?;
        Takeover::begin(UnixStream::from(taken), getppid(), IfOldDies::ServeOn).map(Some)
    }

    /// Takes over from the process with this control socket: for a deploy tool that starts the new process itself
    /// (`softstop serve --takeover PATH`).
    ///
    /// # Errors
    ///
    /// As [`from_environment`](Takeover::from_environment), and [`HandoverErrorKind::Unreachable`] if nobody answers at
    /// `path`, or if the process that made the socket belongs to another user than this one and root. Its listeners could be
    /// that user's, so root does not take over from such a process either.
    pub fn connect(path: impl AsRef<Path>) -> Result<Takeover, HandoverError> {
        let path = path.as_ref();
        let stream = connect(path).map_err(|error| unreachable(path, &error))?;
        let refused = |why: &str| {
            let text = format!("cannot take over from the process at {}: {why}", path.display());
            Err(HandoverError::new(HandoverErrorKind::Unreachable, text))
        };
        match owner(&stream) {
            Owner::Ours => {}
            Owner::Other { uid } => return refused(&format!("it belongs to another user ({uid})")),
            Owner::Unknown => {
                return refused("its user is not known, because it is in another PID namespace");
            }
        }
        let old = sockopt::socket_peercred(&stream).ok().map(|credentials| credentials.pid);
        Takeover::begin(stream, old, IfOldDies::Fail)
    }

    /// The process that is replaced.
    #[must_use]
    pub fn old_pid(&self) -> u32 {
        self.old_pid
    }

    /// The generation of this process: one more than that of the old one.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Gives the takeover up, and tells the old process why. The old process serves on.
    pub fn give_up(mut self, why: &str) {
        self.say_failed(why);
    }

    pub(super) fn say_failed(&mut self, why: &str) {
        // If the old process is gone, nobody has to be told.
        _ = self.channel.say(&FromNew::Failed { text: why.to_owned() }.to_line());
    }

    /// From now on the lines for standard error go where those of the old process go.
    pub(super) fn restore_stderr(&mut self) {
        if let Some(stderr) = self.stderr.take()
            && let Err(error) = dup2_stderr(stderr)
        {
            journal::warn!("standard error ends with the process that was replaced: {error}");
        }
    }

    fn begin(
        stream: UnixStream,
        old: Option<Pid>,
        if_old_dies: IfOldDies,
    ) -> Result<Takeover, HandoverError> {
        let old_process = old.and_then(|old| pidfd_open(old, PidfdFlags::empty()).ok());
        let broken =
            |error: &io::Error| HandoverError::io(HandoverErrorKind::NotStarted, "cannot take over", error);
        let mut channel = Channel::new(stream).map_err(|error| broken(&error))?;
        // An answer tells more than a failed write.
        _ = channel.say(&Request::Takeover { pid: process::id() }.to_line());
        let mut takeover = Takeover {
            channel,
            state: NewState::Hello { until: Instant::now() + OFFER_TIMEOUT },
            generation: 2,
            old_process: old_process.map(Arc::new),
            old_pid: old.map_or(0, |old| old.as_raw_nonzero().get().unsigned_abs()),
            listeners: Vec::new(),
            control: None,
            stderr: None,
        };
        loop {
            let (input, descriptor) = takeover.receive().map_err(|error| {
                takeover.say_failed(&error.to_string());
                broken(&error)
            })?;
            match takeover.state.step(input) {
                NewAction::Meet { generation, pid } => {
                    takeover.generation = generation.saturating_add(1);
                    takeover.old_pid = pid;
                }
                NewAction::KeepListener(offered) => takeover.keep_listener(offered, descriptor)?,
                NewAction::KeepControl(path, file) => {
                    takeover.control = descriptor.map(|socket| (path, file, socket));
                }
                NewAction::KeepStderr => takeover.stderr = descriptor,
                NewAction::Initialise => {
                    if takeover.state == NewState::Initialising(OldProcess::Gone) {
                        wait_gone(takeover.old_process.as_deref());
                    }
                    return Ok(takeover);
                }
                NewAction::Fail(NewFailure::NoAnswer) if if_old_dies == IfOldDies::ServeOn => {
                    takeover.state = NewState::Initialising(OldProcess::Gone);
                    wait_gone(takeover.old_process.as_deref());
                    return Ok(takeover);
                }
                NewAction::Fail(failure) => {
                    let error = describe(failure);
                    takeover.say_failed(&error.to_string());
                    return Err(error);
                }
                _ => {}
            }
        }
    }

    /// The next input, with the descriptor that belongs to it.
    fn receive(&mut self) -> io::Result<(NewInput, Option<OwnedFd>)> {
        loop {
            match self.channel.next_line() {
                Some(Received::Line(line)) => {
                    return Ok(match FromOld::parse(&line) {
                        Err(garbage) => (NewInput::Garbage(garbage), None),
                        Ok(message) if message.names_a_descriptor() => match self.channel.take_descriptor() {
                            Some(descriptor) => (NewInput::Said(message, Instant::now()), Some(descriptor)),
                            None => (NewInput::Garbage(super::protocol::Garbage::new("a descriptor")), None),
                        },
                        Ok(message) => (NewInput::Said(message, Instant::now()), None),
                    });
                }
                Some(Received::Garbage(garbage)) => return Ok((NewInput::Garbage(garbage), None)),
                _ if self.channel.has_unannounced() => {
                    let garbage = super::protocol::Garbage::new("no descriptor without its line");
                    return Ok((NewInput::Garbage(garbage), None));
                }
                _ => {}
            }
            let [is_readable] = readable([self.channel.as_fd()], self.state.deadline())?;
            if !is_readable {
                return Ok((NewInput::Clock(Instant::now()), None));
            }
            if self.channel.fill_with_descriptors()? == 0 {
                return Ok((NewInput::Eof, None));
            }
        }
    }

    fn keep_listener(&mut self, offered: Offered, descriptor: Option<OwnedFd>) -> Result<(), HandoverError> {
        let Some(descriptor) = descriptor else { return Ok(()) };
        match GivenListener::new(offered.index, offered.spec.clone(), descriptor, offered.file) {
            Ok(given) => {
                self.listeners.push((offered, given));
                Ok(())
            }
            Err(error) => {
                let doing =
                    format!("the listener {} of {} cannot be taken over", offered.address, offered.server);
                let error = HandoverError::io(HandoverErrorKind::Protocol, doing, &error);
                self.say_failed(&error.to_string());
                Err(error)
            }
        }
    }
}

/// What a new process does if the old one dies before it has said a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IfOldDies {
    /// The old process has started this one, so nobody else serves.
    ServeOn,
    /// The old process may have refused this user without a word.
    Fail,
}

/// Waits until a process that was killed is really gone. The kernel closes its descriptors one after the other: the connection
/// may have ended while a listener or the control socket is still bound.
pub(super) fn wait_gone(process: Option<&OwnedFd>) {
    if let Some(process) = process {
        _ = readable([process.as_fd()], Some(Instant::now() + GONE_TIMEOUT));
    }
}

/// Moves standard input to another descriptor, and leaves an empty one in its place.
fn take_standard_input() -> io::Result<OwnedFd> {
    let taken = fcntl_dupfd_cloexec(stdin(), 3)?;
    // An empty root has no /dev/null. A pipe without a writer is as empty.
    match File::open("/dev/null") {
        Ok(null) => dup2_stdin(null)?,
        Err(_) => dup2_stdin(io::pipe()?.0)?,
    }
    Ok(taken)
}

pub(super) fn unreachable(path: &Path, error: &io::Error) -> HandoverError {
    let advice = match error.kind() {
        io::ErrorKind::NotFound => " (is the program running, with this control socket?)",
        io::ErrorKind::ConnectionRefused => " (the process that made this socket has ended)",
        io::ErrorKind::PermissionDenied => " (only the user of the process and root may connect)",
        _ => "",
    };
    let doing = format!("cannot connect to the control socket {}", path.display());
    HandoverError::new(HandoverErrorKind::Unreachable, format!("{doing}: {error}{advice}"))
}

fn describe(failure: NewFailure) -> HandoverError {
    let (kind, text) = match failure {
        NewFailure::Refused(text) => (HandoverErrorKind::Busy, format!("the old process refuses: {text}")),
        NewFailure::Cancelled(text) => (HandoverErrorKind::Stopping, format!("the old process gives up: {text}")),
        NewFailure::Garbage(garbage) => {
            (HandoverErrorKind::Protocol, format!("the old process does not speak softstop/1: {garbage}"))
        }
        NewFailure::TimedOut => (HandoverErrorKind::TimedOut, "the old process does not answer".to_owned()),
        NewFailure::NoAnswer => (
            HandoverErrorKind::Unreachable,
            "the old process has closed the connection without an answer: it belongs to another user, or has ended"
                .to_owned(),
        ),
    };
    HandoverError::new(kind, text)
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Takeover")
            .field("old_pid", &self.old_pid)
            .field("generation", &self.generation)
            .field("listeners", &self.listeners.len())
            .finish_non_exhaustive()
    }
}
