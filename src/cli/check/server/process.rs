//! A child process: its command, its output, and the moment and the status of its end.
//!
//! A thread of its own waits for the end of each process, so no thread has to poll. The thread leaves the zombie to
//! [`tree::reap`](super::tree::reap), because two waits for one process would take the status from each other.

use std::{
    fmt,
    io::{self, BufRead, BufReader, PipeReader},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, after, select, unbounded};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid},
};
use softstop::Context;

/// The lines of output that are kept: enough for a stack trace, and a bound for a server that logs each request.
const KEPT_LINES: usize = 200;
/// The bytes of a line that are kept.
const KEPT_LINE: usize = 500;

/// A running or ended process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: Pid,
    exits: Receiver<Exit>,
    exit: Option<Exit>,
    /// Both outputs of the process.
    pub(crate) output: Output,
}

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) at: Instant,
    pub(crate) status: Status,
}

/// The exit status of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Code(i32),
    Signal(i32),
    /// The process is not a child of this one, so the kernel does not tell its status.
    Unknown,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Code(code) => write!(f, "exit status {code}"),
            Status::Signal(signal) => write!(f, "ended by {}", super::signal::name_of(*signal)),
            Status::Unknown => f.write_str("an unknown exit status"),
        }
    }
}

impl Process {
    /// Starts a command in a process group of its own.
    pub(crate) fn start(mut command: Command) -> io::Result<Process> {
        let (reader, writer) = io::pipe()?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
        let child = command.spawn()?;
        // The command keeps the writing ends open. Without this drop, the output would never end.
        drop(command);
        let output = Output::read(reader)?;
        Process::watch(Pid::from_child(&child), output)
    }

    /// A process that something else has started, such as a daemon.
    pub(crate) fn adopt(id: Pid, output: Output) -> io::Result<Process> {
        Process::watch(id, output)
    }

    fn watch(id: Pid, output: Output) -> io::Result<Process> {
        let (sender, exits) = unbounded();
        thread::Builder::new().name("exit".to_owned()).spawn(move || {
            let status = wait_for(id);
            // The send fails if the `Process` has been dropped, which is fine.
            _ = sender.send(Exit { at: Instant::now(), status });
        })?;
        Ok(Process { id, exits, exit: None, output })
    }

    /// The end of the process, if it has ended.
    pub(crate) fn has_ended(&mut self) -> Option<Exit> {
        if self.exit.is_none() {
            self.exit = self.exits.try_recv().ok();
        }
        self.exit
    }

    /// Waits for the end of the process; `None` after that time or at an interruption.
    pub(crate) fn wait(&mut self, patience: Duration, context: &Context) -> Option<Exit> {
        if self.has_ended().is_none() {
            select! {
                recv(self.exits) -> exit => self.exit = exit.ok(),
                recv(context.done()) -> _ => {}
                recv(after(patience)) -> _ => {}
            }
        }
        self.exit
    }
}

/// Blocks until a process has ended. The process stays a zombie if it is a child of this one.
fn wait_for(id: Pid) -> Status {
    loop {
        match waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(Some(status)) => {
                let code = status.exit_status().map(Status::Code);
                return code.or(status.terminating_signal().map(Status::Signal)).unwrap_or(Status::Unknown);
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
    // The process is not a child of this one. Its pidfd becomes readable once the process has ended.
    if let Ok(descriptor) = pidfd_open(id, PidfdFlags::empty()) {
        while poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], None) == Err(rustix::io::Errno::INTR) {}
    }
    Status::Unknown
}

/// The last lines that a process has written, and a channel that brings new lines.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    kept: Arc<Mutex<Vec<String>>>,
    lines: Receiver<String>,
}

impl Output {
    /// Reads a pipe to its end on a thread, so that the process never waits for its reader.
    fn read(pipe: PipeReader) -> io::Result<Output> {
        // The channel is bounded. A server that logs much fills the channel, and the later lines have no reader.
        let (sender, lines) = crossbeam_channel::bounded(KEPT_LINES);
        let kept = Arc::new(Mutex::new(Vec::new()));
        let filled = Arc::clone(&kept);
        thread::Builder::new().name("output".to_owned()).spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut bytes = Vec::new();
            while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
                bytes.truncate(KEPT_LINE);
                let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                bytes.clear();
                let mut kept = filled.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == KEPT_LINES {
                    kept.remove(0);
                }
                kept.push(line.clone());
                drop(kept);
                _ = sender.try_send(line);
            }
        })?;
        Ok(Output { kept, lines })
    }

    /// The next line that has not been taken yet. Returns `None` if no line comes in that time.
    pub(crate) fn next_line(&self, patience: Duration, context: &Context) -> Option<String> {
        select! {
            recv(self.lines) -> line => line.ok(),
            recv(context.done()) -> _ => None,
            recv(after(patience)) -> _ => None,
        }
    }

    /// The last `count` lines.
    pub(crate) fn last(&self, count: usize) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept[kept.len().saturating_sub(count)..].join("\n")
    }
}
