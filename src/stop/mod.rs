//! What makes a stop: how patient it is ([`StopPolicy`]), what it decides when (`drain`), how it reaches handlers
//! ([`Context`]), how it knows that nothing is left ([`WaitGroup`]), what it tells in the end ([`StopReport`]), and the
//! signals that begin one.

mod context;
mod drain;
mod policy;
mod report;
mod signal;
mod wait_group;

pub use context::{Cause, Context, OnCancel};
pub use drain::Phase;
pub(crate) use drain::Timeline;
pub use policy::StopPolicy;
pub(crate) use report::Tally;
pub use report::{CloseReason, Closes, Requests, StopReport, Straggler, Stuck};
pub(crate) use signal::SignalThread;
pub use wait_group::{Guard, WaitGroup};

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs what a user wants to happen, on a thread that is somebody else's: its panic must not become theirs, nor
/// keep the callbacks after it from running.
fn run_callback(callback: impl FnOnce()) {
    // Unwind safety: the callback is gone afterwards, and nothing of this crate was in its hands.
    if catch_unwind(AssertUnwindSafe(callback)).is_err() {
        log::error!("a callback of a wait group or a context panicked");
    }
}
