//! What makes a stop: how patient it is ([`StopPolicy`]), what it decides when (`drain`), how it reaches handlers
//! ([`Context`]), how it knows that nothing is left ([`WaitGroup`]), what it tells in the end ([`StopReport`]), and the
//! signals that begin one.

mod context;
#[cfg(not(loom))]
mod drain;
#[cfg(not(loom))]
mod listener_end;
#[cfg(not(loom))]
mod on_stop;
#[cfg(not(loom))]
mod policy;
#[cfg(not(loom))]
mod report;
#[cfg(not(loom))]
mod signal;
mod wait_group;

#[cfg(not(loom))]
pub use self::{
    drain::Phase,
    listener_end::ListenerEnd,
    on_stop::OnStop,
    policy::StopPolicy,
    report::{CloseReason, Closes, Requests, StopReport, Straggler, Stuck},
    signal::Signal,
};
#[cfg(not(loom))]
pub(crate) use self::{
    drain::{Action, ConnectionState, Rhythm, StopProgress, Timeline, Verdict, phase_lengths},
    signal::{Presses, SignalThread},
};
pub use context::{Cause, Context, OnCancel};
pub use wait_group::{WaitGroup, WaitGuard};

use crate::isolation::{contain::catch, journal};

/// Runs what a user wants to happen, on a thread that is somebody else's: its panic must not become theirs, nor
/// keep the callbacks after it from running.
fn run_callback(callback: impl FnOnce()) {
    // Unwind safety: the callback is gone afterwards, and nothing of this crate was in its hands.
    if let Err(panic) = catch(callback) {
        journal::error!("a callback of a wait group or a context panicked: {panic}");
    }
}
