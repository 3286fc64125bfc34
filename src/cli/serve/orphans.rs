//! Orphans of a container: a process whose parent has ended becomes a child of process 1, which has to wait for it. Otherwise the
//! dead process stays in the table of processes, and fills it in the end.
//!
//! In a container without an init program, this program is process 1. It starts no processes that it waits for itself, so it may
//! wait for any child. A program with the library may have children of its own, and waiting for any child would take their exit
//! status away. So only the program does this, and only as process 1.

use rustix::process::{WaitOptions, getpid, wait};
use signal_hook::{consts::SIGCHLD, iterator::Signals};

/// Starts a thread that waits for orphans, if this is process 1. The thread sleeps until a child ends.
pub(super) fn reap_as_process_1() {
    if !getpid().is_init() {
        return;
    }
    let signals = match Signals::new([SIGCHLD]) {
        Ok(signals) => signals,
        Err(error) => return log::warn!("orphans are not waited for: {error}"),
    };
    let body = move || {
        let mut signals = signals;
        // Orphans may have ended before the signal was caught.
        reap();
        signals.forever().for_each(|_| reap());
    };
    if let Err(error) = std::thread::Builder::new().name("orphans".to_owned()).spawn(body) {
        log::warn!("orphans are not waited for: {error}");
    }
}

/// Waits for every child that has ended. One signal may stand for several.
fn reap() {
    while let Ok(Some((process, _))) = wait(WaitOptions::NOHANG) {
        log::debug!("process {process:?} has ended, an orphan");
    }
}
