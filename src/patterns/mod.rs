//! What servers hand work on to, each stopping correctly by itself: background jobs ([`JobQueue`]), state that one
//! thread owns ([`Owner`]), subscribers ([`Bus`]).
//!
//! ```text
//!   handler ── try_submit ──> JobQueue ──> workers          at a stop: what can't be done is given back
//!   handler ── call ────────> Owner ─────> its one thread   at a stop: drained or refused, the state is returned
//!   handler ── publish ─────> Bus ───────> subscribers      at a stop: waits until all is acknowledged
//! ```
//!
//! They have in common: everything is bounded, and nobody who hands work in waits for room without a bound (a
//! [`call`](Owner::call) waits within its time, nothing else waits); a stop has a deadline and keeps it; nothing is lost
//! without a word. Each is a [`Drain`](crate::group::Drain), to be drained after the servers
//! that feed it, and meant to be shared in an [`Arc`](std::sync::Arc).
//!
//! They are built on what everybody has: [`Context`](crate::Context), [`WaitGroup`](crate::WaitGroup) and
//! crossbeam's channels. Whoever needs another pattern can start from one of these files.

mod bus;
mod job_queue;
mod owner;
mod pace;

use std::fmt;

pub use self::{
    bus::{Bus, Delivery, Ended, Published, Subscription},
    job_queue::{JobMetrics, JobQueue, JobQueueBuilder, Unfinished, UnfinishedItem},
    owner::{AtStop, CallError, Owner, OwnerBuilder, OwnerMetrics},
};

/// Something that was not taken, and is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected<T> {
    /// There is no room for it at the moment.
    Full(T),
    /// Nothing is taken any more.
    Stopping(T),
}

impl<T> Rejected<T> {
    /// What was not taken.
    pub fn into_inner(self) -> T {
        match self {
            Rejected::Full(item) | Rejected::Stopping(item) => item,
        }
    }
}

impl<T> fmt::Display for Rejected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rejected::Full(_) => "there is no room for it",
            Rejected::Stopping(_) => "nothing is taken any more",
        })
    }
}

impl<T: fmt::Debug> std::error::Error for Rejected<T> {}
