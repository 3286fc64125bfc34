//! The parts of a stop. The words are defined in docs/glossary.md.
//!
//! | question | answer |
//! | --- | --- |
//! | What begins a stop? | a [`Signal`], or a caller |
//! | How long may each phase take? | [`StopPolicy`] |
//! | Which actions are due, and when? | `drain` |
//! | How does a handler learn that it should end? | [`Context`], [`OnStop`] |
//! | When is nothing in flight any more? | [`WaitGroup`] |
//! | What became of the requests and connections? | [`StopReport`] |

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
mod progress;
#[cfg(not(loom))]
mod readiness;
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
    progress::{Pending, ServerProgress},
    readiness::Readiness,
    report::{CloseReason, Closes, Requests, StopReport, Straggler, Stuck},
    signal::Signal,
};
#[cfg(not(loom))]
pub(crate) use self::{
    drain::{Action, ConnectionState, Rhythm, StopProgress, Timeline, Verdict, phase_lengths},
    progress::write_on_one_line,
    signal::{Presses, SignalThread},
};
pub use context::{Cause, Context, OnCancel};
pub use wait_group::{WaitGroup, WaitGuard};

use crate::isolation::{contain::catch, journal};

/// Calls a user's callback. A panic of the callback is caught and logged, because the thread may belong to another caller, and
/// further callbacks must run.
fn run_callback(callback: impl FnOnce()) {
    // Unwind safety: the callback is consumed, and holds no state of this crate.
    if let Err(panic) = catch(callback) {
        journal::error!("a callback panicked (WaitGroup::on_zero or Context::on_cancel): {panic}");
    }
}
