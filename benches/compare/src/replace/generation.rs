//! A process that serves until it is replaced. The process need not be a child of this one: an old process may have
//! started it. So it is held by a descriptor of the kernel (pidfd), which never names another process.

use std::{
    fmt, io,
    os::fd::OwnedFd,
    process::Child,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{
        Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, pidfd_open, pidfd_send_signal, set_child_subreaper,
        waitpid,
    },
};

/// The longest time until an old process has ended. Every server bounds its drain to about five seconds.
const GONE: Duration = Duration::from_secs(20);

/// Makes this process the parent of processes whose own parents have ended, so that it can wait for them.
///
/// # Errors
///
/// If the kernel does not know this (Linux before 3.4).
pub fn adopt_orphans() -> io::Result<()> {
    // The value is a truth value for the kernel, whatever process it names.
    set_child_subreaper(Some(Pid::INIT)).map_err(Into::into)
}

#[derive(Debug)]
pub(super) struct Generation {
    pid: Pid,
    process: OwnedFd,
    /// The signal that ends the process at once.
    forceful: Signal,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Status(i32),
    Signal(i32),
    /// Somebody else has waited for the process.
    Unknown,
}

impl Exit {
    fn of(status: WaitStatus) -> Exit {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(status), _) => Exit::Status(status),
            (_, Some(signal)) => Exit::Signal(signal),
            _ => Exit::Unknown,
        }
    }

    pub(super) fn is_clean(self) -> bool {
        matches!(self, Exit::Status(0) | Exit::Unknown)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Status(status) => write!(f, "exit status {status}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
            Exit::Unknown => f.write_str("an exit status that somebody else has read"),
        }
    }
}

impl Generation {
    pub(super) fn of_child(child: &Child) -> io::Result<Generation> {
        Generation::of_pid(Pid::from_child(child))
    }

    pub(super) fn of_id(id: u32) -> io::Result<Generation> {
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
        Generation::of_pid(pid.ok_or_else(|| io::Error::other(format!("{id} is no process id")))?)
    }

    fn of_pid(pid: Pid) -> io::Result<Generation> {
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Generation { pid, process, forceful: Signal::KILL })
    }

    /// With another signal that ends the process at once.
    pub(super) fn ended_by(mut self, forceful: Signal) -> Generation {
        self.forceful = forceful;
        self
    }

    pub(super) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        pidfd_send_signal(&self.process, signal)
            .map_err(|error| io::Error::other(format!("process {}: {error}", self.id())))
    }

    pub(super) fn is_gone(&self) -> io::Result<bool> {
        self.ends_within(Duration::ZERO)
    }

    fn ends_within(&self, within: Duration) -> io::Result<bool> {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&self.process, PollFlags::IN)], Some(&left)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until the process has ended. This process is the parent of its orphans (`adopt_orphans`), and reaps them.
    pub(super) fn wait(self) -> io::Result<Exit> {
        if !self.ends_within(GONE)? {
            return Err(io::Error::other(format!("process {} had not ended after {GONE:?}", self.id())));
        }
        Ok(self.reap())
    }

    fn reap(&self) -> Exit {
        match waitpid(Some(self.pid), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => Exit::of(status),
            // Its parent is another process, which has waited for it or will.
            Ok(None) | Err(_) => Exit::Unknown,
        }
    }

    /// The ids of its children. Threads other than the first have none here: no server forks from such a thread.
    pub(super) fn children(&self) -> io::Result<Vec<u32>> {
        let id = self.id();
        let text = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        Ok(text.split_whitespace().filter_map(|id| id.parse().ok()).collect())
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if let Ok(false) = self.is_gone() {
            _ = self.signal(self.forceful);
            if !self.ends_within(GONE).unwrap_or(true) {
                _ = self.signal(Signal::KILL);
                _ = self.ends_within(GONE);
            }
        }
        self.reap();
    }
}
