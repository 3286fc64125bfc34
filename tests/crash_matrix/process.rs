//! Processes that a test watches, stops and kills, whether they are its children or not.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, OnceLock},
    thread,
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{
        Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal, set_child_subreaper,
        waitpid,
    },
};

use crate::support::until;

/// Makes this process the parent of processes whose own parents have ended, so that no zombie stays behind.
pub(crate) fn adopt_orphans() {
    set_child_subreaper(Some(getpid())).unwrap();
}

/// A process, which is killed with its owner at the latest.
pub(crate) struct Watched {
    pub(crate) pid: Pid,
    process: OwnedFd,
    gone: Arc<OnceLock<Instant>>,
}

impl Watched {
    pub(crate) fn new(pid: Pid) -> Watched {
        let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let gone: Arc<OnceLock<Instant>> = Arc::default();
        let (watched, note) = (process.try_clone().unwrap(), Arc::clone(&gone));
        thread::spawn(move || {
            while poll(&mut [PollFd::from_borrowed_fd(watched.as_fd(), PollFlags::IN)], None).is_err() {}
            note.get_or_init(Instant::now);
        });
        Watched { pid, process, gone }
    }

    /// When the process had ended, if it has.
    pub(crate) fn gone(&self) -> Option<Instant> {
        self.gone.get().copied()
    }

    pub(crate) fn kill(&self) {
        _ = pidfd_send_signal(&self.process, Signal::KILL);
        until("a killed process is gone", || self.gone().is_some());
    }

    /// Stops the process in the middle of whatever it does.
    pub(crate) fn stop(&self) {
        _ = pidfd_send_signal(&self.process, Signal::STOP);
        until("a process is stopped", || self.gone().is_some() || self.state() == Some('T'));
    }

    pub(crate) fn go_on(&self) {
        _ = pidfd_send_signal(&self.process, Signal::CONT);
    }

    /// The letter of the state in proc_pid_stat(5).
    fn state(&self) -> Option<char> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero())).ok()?;
        text.rsplit(')').next()?.trim_start().chars().next()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        _ = pidfd_send_signal(&self.process, Signal::KILL);
        if !thread::panicking() {
            until("a killed process is gone", || self.gone().is_some());
        }
        // It may be the child of another process, which then reaps it.
        _ = waitpid(Some(self.pid), WaitOptions::NOHANG);
    }
}
