//! The loops of a run, as other threads see them: how to reach each loop, what it is doing, and how many connections it has.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    thread::ThreadId,
};

use super::Run;
use crate::{
    engine::net::{LoopMessage, Mailbox},
    metrics::{Tally, Totals},
};

/// How to reach a loop, and how busy the loop is. On cache lines of its own, because the loop writes to it for every request.
#[repr(align(128))]
pub(crate) struct LoopAddress {
    pub(crate) mailbox: Mailbox<LoopMessage>,
    pub(crate) connections: AtomicUsize,
    /// What the loop is doing just now: an [`Occupation`].
    occupation: AtomicU8,
    pub(crate) tally: Arc<Tally>,
    /// The questions in the mailbox: see `roll_call`.
    pub(super) unanswered: Arc<AtomicUsize>,
    /// Set by the loop's thread when it begins.
    pub(super) thread: OnceLock<ThreadId>,
}

/// What a loop is doing, for a caller that waits for the end of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Occupation {
    /// Its own work. The loop returns as soon as the machine lets it run.
    Own,
    /// An inline handler, a callback, the `Drop` of a user's value. The loop may be stuck.
    UserCode,
    /// An observer. The loop may be stuck.
    Observer,
}

impl LoopAddress {
    pub(super) fn new(mailbox: Mailbox<LoopMessage>) -> LoopAddress {
        LoopAddress {
            mailbox,
            connections: AtomicUsize::new(0),
            occupation: AtomicU8::new(Occupation::Own as u8),
            tally: Arc::default(),
            unanswered: Arc::default(),
            thread: OnceLock::new(),
        }
    }

    /// Runs a user's code on the loop's own thread.
    pub(crate) fn occupied<T>(&self, by: Occupation, code: impl FnOnce() -> T) -> T {
        // The loop's own thread is the only one that writes.
        let before = self.occupation.load(Ordering::Relaxed);
        self.occupation.store(by as u8, Ordering::Relaxed);
        let result = code();
        self.occupation.store(before, Ordering::Relaxed);
        result
    }

    pub(crate) fn occupation(&self) -> Occupation {
        match self.occupation.load(Ordering::Relaxed) {
            0 => Occupation::Own,
            1 => Occupation::UserCode,
            _ => Occupation::Observer,
        }
    }
}

impl Run {
    pub(crate) fn loops(&self) -> &[LoopAddress] {
        &self.loops
    }

    /// What all loops have counted so far.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.loops.iter().for_each(|address| totals += address.tally.read());
        totals
    }

    pub(crate) fn wake_loops(&self) {
        self.loops.iter().for_each(|address| address.mailbox.wake());
    }

    // ---- connections ------------------------------------------------------------------------------------------

    pub(crate) fn open_connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts one more connection, for the loop that has the fewest. Returns that loop's number.
    pub(crate) fn place_connection(&self) -> usize {
        let load = |number: &usize| self.loops[*number].connections.load(Ordering::Relaxed);
        let number = (0..self.loops.len()).min_by_key(load).unwrap_or(0);
        self.loops[number].connections.fetch_add(1, Ordering::Relaxed);
        self.connections.fetch_add(1, Ordering::Relaxed);
        number
    }

    /// The loop that was to have a connection has ended; another loop keeps the connection.
    pub(crate) fn move_connection(&self, from: usize, to: usize) {
        self.loops[from].connections.fetch_sub(1, Ordering::Relaxed);
        self.loops[to].connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connection_closed(&self, loop_number: usize) {
        self.loops[loop_number].connections.fetch_sub(1, Ordering::Relaxed);
        self.connections.fetch_sub(1, Ordering::SeqCst);
        if self.accept_paused.load(Ordering::SeqCst) && self.accept_paused.swap(false, Ordering::SeqCst) {
            self.loops[0].mailbox.wake();
        }
    }

    /// Whether there may be one more connection.
    pub(crate) fn may_accept(&self) -> bool {
        self.connections.load(Ordering::SeqCst) < self.config.max_connections
    }

    /// Has the first loop woken when a connection closes. The first loop must ask [`Run::may_accept`] once more afterwards,
    /// because a connection may have closed just before.
    pub(crate) fn pause_accepting(&self) {
        self.accept_paused.store(true, Ordering::SeqCst);
    }

    /// Whether a connection has closed since accepting was paused.
    pub(crate) fn accept_resumed(&self) -> bool {
        !self.accept_paused.load(Ordering::SeqCst)
    }
}
