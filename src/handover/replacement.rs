//! How a process is replaced: the command of its successor, and its standard streams until it serves.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, BufRead, BufReader, PipeReader, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use super::{
    HandoverError, HandoverErrorKind,
    started_as::{StartedAs, look_at_directory},
};
use crate::{
    environment,
    sync::{lock, wait},
};

/// Set for the new process: its standard input is the connection to the process that it replaces.
pub(crate) const VARIABLE: &str = "SOFTSTOP_TAKEOVER";
/// The only value of [`VARIABLE`].
pub(crate) const STANDARD_INPUT: &str = "stdin";

/// How many lines of the new process an error has.
const LAST_LINES: usize = 10;
/// The longest line of the new process that is kept, in bytes.
const LONGEST: usize = 1000;
/// How long the end of the new process's standard error is waited for, once the process has ended.
const LATE_LINES: Duration = Duration::from_millis(200);

/// How a process is replaced: see [`GroupHandle::replace`](crate::GroupHandle::replace).
///
/// ```
/// use softstop::handover::Replacement;
/// use std::{process::Command, time::Duration};
///
/// // This program, as it was started, with a minute to begin to serve.
/// let same = Replacement::default();
/// let other = Replacement::default().command(Command::new("/opt/server/bin/server")).timeout(Duration::from_secs(10));
/// # let _ = (same, other);
/// ```
#[derive(Debug)]
#[must_use]
pub struct Replacement {
    command: Option<Command>,
    timeout: Duration,
}

impl Default for Replacement {
    /// This program as it was started, which has a minute until it serves.
    fn default() -> Replacement {
        Replacement { command: None, timeout: Duration::from_secs(60) }
    }
}

impl Replacement {
    /// The command of the new process. softstop sets its standard input and standard error, and one environment variable.
    ///
    /// Default: the program of this process, with the same arguments, environment and working directory. The path of the
    /// program is the one by which it was started, so a link leads to what the link points to now.
    pub fn command(self, command: Command) -> Replacement {
        Replacement { command: Some(command), ..self }
    }

    /// How long the new process may take until it serves. Default: a minute. After that time it is killed.
    pub fn timeout(self, timeout: Duration) -> Replacement {
        Replacement { timeout, ..self }
    }

    pub(super) fn time(&self) -> Duration {
        self.timeout
    }

    /// Starts the new process. The returned stream is our end of its standard input.
    pub(super) fn spawn(
        self,
        started: &StartedAs,
        tell: impl Fn(&str) + Send + 'static,
    ) -> Result<Spawned, HandoverError> {
        let Some(mut command) = self.command.or_else(|| started.command()) else {
            return Err(HandoverError::new(
                HandoverErrorKind::Misuse,
                "this process does not know the path of its own program, because /proc is not mounted: start the program by \
                 its path, or name the new program (Replacement::command)",
            ));
        };
        let doing = format!("cannot start {}", command.get_program().display());
        let cannot = |error: io::Error| HandoverError::io(HandoverErrorKind::NotStarted, &doing, &error);
        if let Some(Err(text)) = command.get_current_dir().map(look_at_directory) {
            return Err(HandoverError::new(HandoverErrorKind::NotStarted, format!("{doing}: {text}")));
        }
        let (ours, theirs) = UnixStream::pair().map_err(cannot)?;
        let (reader, writer) = io::pipe().map_err(cannot)?;
        command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::from(writer))
            .env(VARIABLE, STANDARD_INPUT);
        environment::for_replacement(&mut command);
        let child = command.spawn();
        // The command holds the other ends of the pairs, which must be closed for an end to be seen.
        drop(command);
        let child = child.map_err(cannot)?;
        let output = Output::follow(reader, tell).map_err(cannot)?;
        Ok(Spawned { child, stream: ours, output })
    }
}

/// A new process.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) child: Child,
    pub(super) stream: UnixStream,
    pub(super) output: Output,
}

/// What the new process writes to its standard error until it serves. Each line is copied to our standard error.
///
/// The new process gets a descriptor of our standard error with the offer, and uses that one as soon as it serves, because
/// the pipe ends with this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Output(Arc<(Mutex<Collected>, Condvar)>);

#[derive(Debug, Default)]
struct Collected {
    lines: VecDeque<String>,
    is_over: bool,
}

impl Output {
    fn follow(reader: PipeReader, tell: impl Fn(&str) + Send + 'static) -> io::Result<Output> {
        let output = Output::default();
        let there = output.clone();
        let body = move || {
            let mut reader = BufReader::new(reader);
            let mut line = Vec::new();
            // A line without an end is cut, so that it cannot fill the memory.
            while io::Read::take(&mut reader, LONGEST as u64)
                .read_until(b'\n', &mut line)
                .is_ok_and(|count| count > 0)
            {
                // Nobody can be told if our own standard error cannot be written.
                _ = io::stderr().write_all(&line);
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                tell(&text);
                let mut collected = lock(&there.0.0);
                collected.lines.push_back(text);
                if collected.lines.len() > LAST_LINES {
                    collected.lines.pop_front();
                }
                line.clear();
            }
            lock(&there.0.0).is_over = true;
            there.0.1.notify_all();
        };
        thread::Builder::new().name("handover output".to_owned()).spawn(body)?;
        Ok(output)
    }

    /// The last lines of a process that has ended.
    pub(super) fn last_lines(&self) -> Vec<String> {
        let until = Instant::now() + LATE_LINES;
        let mut collected = lock(&self.0.0);
        while !collected.is_over {
            match wait(&self.0.1, collected, Some(until)) {
                Ok(guard) => collected = guard,
                Err(guard) => {
                    collected = guard;
                    break;
                }
            }
        }
        collected.lines.iter().cloned().collect()
    }
}

/// The process that has taken over: see [`GroupHandle::replace`](crate::GroupHandle::replace).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replaced {
    /// The new process.
    pub pid: u32,
    /// Its generation: one more than that of this process.
    pub generation: u32,
    /// How long the drain of this process takes at most.
    pub drains_within: Duration,
}

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {} serves (pid {})", self.generation, self.pid)
    }
}
