//! The counts of each loop. The metrics and the report of a stop are sums of them.

use std::{
    ops::AddAssign,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{CLASSES, Responses, class};
use crate::{
    http::StatusCode,
    stop::{CloseReason, Closes, Requests},
};

/// A count that one thread adds to and any may read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Only one thread may call this. Because no other thread writes, a load and a store are enough, and the processor
    /// needs no locked instruction.
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts of one loop in one run. Each tally has cache lines of its own, because its loop writes to it for every
/// request.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Tally {
    pub(crate) accepted: Counter,
    pub(crate) rescued: Counter,
    pub(crate) completed: Counter,
    pub(crate) aborted: Counter,
    pub(crate) rejected: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) timed_out: Counter,
    closes: [Counter; CloseReason::ALL.len()],
    responses: [Counter; CLASSES],
}

impl Tally {
    pub(crate) fn closed(&self, reason: CloseReason) {
        self.closes[reason as usize].add(1);
    }

    pub(crate) fn responded(&self, status: StatusCode) {
        self.responses[class(status)].add(1);
    }

    pub(crate) fn read(&self) -> Totals {
        Totals {
            accepted: self.accepted.get(),
            rescued: self.rescued.get(),
            closes: Closes::new(self.closes.each_ref().map(Counter::get)),
            requests: Requests {
                completed: self.completed.get(),
                aborted: self.aborted.get(),
                rejected: self.rejected.get(),
                cancelled: self.cancelled.get(),
                timed_out: self.timed_out.get(),
            },
            responses: Responses(self.responses.each_ref().map(Counter::get)),
        }
    }
}

/// The counts of one loop, or the sums over several loops or several runs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) accepted: u64,
    pub(crate) rescued: u64,
    pub(crate) closes: Closes,
    pub(crate) requests: Requests,
    pub(crate) responses: Responses,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.accepted += other.accepted;
        self.rescued += other.rescued;
        self.closes += other.closes;
        self.requests += other.requests;
        self.responses.0.iter_mut().zip(other.responses.0).for_each(|(sum, more)| *sum += more);
    }
}
