//! What makes a stop: how patient it is ([`StopPolicy`]), what it decides when (`drain`), how it reaches handlers
//! ([`Context`]), how it knows that nothing is left ([`WaitGroup`]), what it tells in the end ([`StopReport`]), and the
//! signals that begin one.

mod context;
#[cfg(not(loom))]
mod drain;
#[cfg(not(loom))]
mod policy;
#[cfg(not(loom))]
mod report;
#[cfg(not(loom))]
mod signal;
mod wait_group;

use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(not(loom))]
pub use self::{
    drain::Phase,
    policy::StopPolicy,
    report::{CloseReason, Closes, Requests, StopReport, Straggler, Stuck},
    signal::Signal,
};
#[cfg(not(loom))]
pub(crate) use self::{
    drain::{Action, Drain, Standing, Timeline, Verdict, phase_lengths},
    signal::SignalThread,
};
pub use context::{Cause, Context, OnCancel};
pub use wait_group::{Guard, WaitGroup};

/// Runs what a user wants to happen, on a thread that is somebody else's: its panic must not become theirs, nor
/// keep the callbacks after it from running.
fn run_callback(callback: impl FnOnce()) {
    // Unwind safety: the callback is gone afterwards, and nothing of this crate was in its hands.
    if catch_unwind(AssertUnwindSafe(callback)).is_err() {
        log::error!("a callback of a wait group or a context panicked");
    }
}
