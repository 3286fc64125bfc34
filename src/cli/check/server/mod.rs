//! A server as a process. The server is started until it is ready, asked to stop, waited for, and killed with all its
//! children.

pub(crate) mod pattern;
mod port;
pub(crate) mod process;
pub(crate) mod signal;
mod start;
pub(crate) mod tree;

use std::{
    fmt, io,
    net::{SocketAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use softstop::{Context, OnCancel};

use self::{
    process::{Exit, Process, Status},
    tree::Descendant,
};
use super::config::{Ask, Plan};

pub(crate) use self::{
    port::{Reserved, reserve},
    start::{Launch, NotStarted, command as start_command},
};

/// How long the end of a killed process may take: the kernel may still write out its memory.
const KILLED: Duration = Duration::from_secs(10);
/// How long children may outlive their server: a signal to a group reaches its members one after another.
const CHILDREN: Duration = Duration::from_secs(1);
/// The pause between two looks at such children. The kernel has no event for the end of a grandchild.
const LOOK: Duration = Duration::from_millis(10);
/// How long a stop command may outlive the server that it has stopped.
const STOP_COMMAND: Duration = Duration::from_secs(3);

/// A server that has become ready.
pub(crate) struct Server<'a> {
    plan: &'a Plan,
    context: &'a Context,
    pub(crate) address: SocketAddr,
    main: Process,
    /// The time from the start of the process until the server was ready.
    pub(crate) ready_after: Duration,
    /// The result of a connect immediately after the announcement, if an announcement was waited for.
    pub(crate) announced: Option<Announced>,
    /// Kills everything at an interruption, so that the clients return.
    _on_cancel: OnCancel,
}

/// Whether the server listened when it announced itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announced {
    Listening,
    TooEarly,
}

/// The end of a server.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) how: Ended,
    /// The time from the request to stop until the end.
    pub(crate) took: Duration,
    /// The moment at which the process had ended, or was killed.
    pub(crate) at: Instant,
    /// Processes that the server has left behind. They are killed by now.
    pub(crate) left: Vec<Descendant>,
    /// Another process still accepted connections after the end of the server's process.
    pub(crate) still_listens: bool,
    /// The last lines of its output.
    pub(crate) output: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    ByItself(Status),
    /// The server was still running after `--patience`.
    Killed,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::ByItself(status) => status.fmt(f),
            Ended::Killed => f.write_str("still running, and killed"),
        }
    }
}

impl<'a> Server<'a> {
    pub(crate) fn id(&self) -> Pid {
        self.main.id
    }

    /// Whether the server has ended, and how.
    pub(crate) fn has_ended(&mut self) -> Option<Exit> {
        self.main.has_ended()
    }

    /// Waits for an end that nobody has asked for. Returns `None` if the server still runs after that time.
    pub(crate) fn ends_within(&mut self, time: Duration) -> Option<Exit> {
        self.main.wait(time, self.context)
    }

    /// Asks for a graceful stop: the moment of the request.
    pub(crate) fn ask(&self) -> io::Result<Instant> {
        match &self.plan.stop {
            Ask::Signal(signal) => self.signal(*signal),
            Ask::Command(command) => {
                let at = Instant::now();
                // The command is not waited for, because some commands return only when the stop is over.
                self.run(command).map(|_| at)
            }
        }
    }

    /// Sends a signal to the server's main process.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<Instant> {
        let at = Instant::now();
        kill_process(self.main.id, signal)?;
        Ok(at)
    }

    /// Stops the execution of the server (SIGSTOP), so that packets and signals wait in the kernel.
    pub(crate) fn freeze(&self) {
        tree::signal_all(Signal::STOP);
    }

    /// Continues the execution.
    pub(crate) fn thaw(&self) {
        tree::signal_all(Signal::CONT);
    }

    /// Leaves the server `room` more descriptors than it has open.
    pub(crate) fn limit_descriptors(&self, room: u64) -> io::Result<u64> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.main.id.as_raw_nonzero()))?.count() as u64;
        let limit = Some(open + room);
        prlimit(Some(self.main.id), Resource::Nofile, Rlimit { current: limit, maximum: limit })?;
        Ok(open + room)
    }

    /// Runs a shell command that may use `{pid}` and `{port}`.
    pub(crate) fn run(&self, command: &str) -> io::Result<Process> {
        let (id, port) = (self.main.id.as_raw_nonzero().to_string(), self.address.port().to_string());
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command.replace("{pid}", &id).replace("{port}", &port));
        shell.env("PID", id).env("PORT", port);
        Process::start(shell)
    }

    /// Takes another process for the server's main process: one that has replaced it.
    pub(crate) fn follow(&mut self, id: Pid) -> io::Result<()> {
        self.main = Process::adopt(id, self.main.output.clone())?;
        Ok(())
    }

    /// Takes the process that has replaced this one for the server's main process: the one that the pid file names, or, if
    /// the main process has ended, the child that is left.
    pub(crate) fn follow_successor(&mut self) -> io::Result<()> {
        let successor = match self.id_in_file() {
            Some(id) => Some(id),
            None if self.has_ended().is_some() => tree::orphan(),
            None => None,
        };
        successor.filter(|id| *id != self.main.id).map_or(Ok(()), |id| self.follow(id))
    }

    /// The pid file's process, if there is a pid file.
    pub(crate) fn id_in_file(&self) -> Option<Pid> {
        start::id_in_file(self.plan, self.address.port())
    }

    /// The last lines of output.
    pub(crate) fn output(&self) -> String {
        self.main.output.last(12)
    }

    /// Waits for the end of the server, which was asked to stop at `asked`. Kills it after `--patience`.
    ///
    /// `on_end` is called when the process has ended, before the processes that it has left behind are killed.
    pub(crate) fn wait(mut self, asked: Instant, on_end: impl FnOnce()) -> End {
        let left = self.plan.patience.saturating_sub(asked.elapsed());
        let exit = self.main.wait(left, self.context);
        let at = exit.map_or_else(Instant::now, |exit| exit.at);
        on_end();
        let (mut children, mut still_listens) = (Vec::new(), false);
        if exit.is_some() {
            children = self.children_left();
            still_listens = TcpStream::connect_timeout(&self.address, LOOK).is_ok_and(|stream| {
                // A socket may connect to itself if no process listens.
                stream.local_addr().ok() != stream.peer_addr().ok()
            });
        }
        tree::kill_all();
        let killed = self.main.wait(KILLED, &Context::new());
        tree::reap();
        let how = match (exit, killed) {
            (Some(exit), _) => Ended::ByItself(exit.status),
            (None, _) => Ended::Killed,
        };
        let took = at.saturating_duration_since(asked);
        End { how, took, at, left: children, still_listens, output: self.output() }
    }

    /// The processes that are still there a while after the main process has ended.
    fn children_left(&self) -> Vec<Descendant> {
        let since = Instant::now();
        // A stop command is no child of the server, and may last a little longer than the stop.
        let patience = match self.plan.stop {
            Ask::Command(_) => STOP_COMMAND,
            Ask::Signal(_) => CHILDREN,
        };
        loop {
            let left = tree::descendants();
            if left.is_empty() || since.elapsed() > patience || self.context.sleep(LOOK).is_err() {
                return left;
            }
        }
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        tree::kill_all();
        self.main.wait(KILLED, &Context::new());
        tree::reap();
    }
}
