//! Waiting for the end of a run: for its loops to leave, then for its threads to be gone. Each wait has a bound.
//!
//! ```text
//!   wait_ended:  the last loop leaves | the stop's bound, and a loop is stuck in a user's code | much later
//!   wait_gone:   every thread is joined | the stop's bound, but at least LEAVING after the last loop has left
//! ```

use std::{
    sync::{Arc, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{Occupation, Run};
use crate::{
    isolation::{
        joining::{Joining, PATIENCE},
        journal,
    },
    stop::{Cause, Timeline},
    sync::lock,
};

/// How much longer than a stop's bound its loops are waited for: they act at the bound, and then have to close what is
/// left and to return.
const SLACK: Duration = Duration::from_millis(50);
/// The same, if no loop is in a handler or a callback: then it is not stuck, but a busy machine does not let it run.
/// (Both count from when the waiting thread itself runs after the bound: in a process that was suspended no loop has run before.)
const BUSY_SLACK: Duration = Duration::from_secs(2);

/// How long the threads of a run that has ended are waited for at least, however short the stop's bound: nothing holds them
/// but the destructors of thread-locals, and a busy machine.
const LEAVING: Duration = Duration::from_secs(1);
/// The same for a thread that begins to wait long after the end, when the others have gone: the time to find that out.
const LATE: Duration = Duration::from_millis(250);

impl Run {
    /// Waits until the last loop has left, but not past the bound of the stop. The time it took is to be read off
    /// the timeline and the end that are returned; no end: a loop is stuck.
    pub(crate) fn wait_ended(&self) -> (Option<Timeline>, Option<Instant>) {
        let mut state = lock(&self.state);
        let mut overdue_since: Option<Instant> = None;
        loop {
            if state.ended.is_some() {
                return (state.timeline, state.ended);
            }
            let Some(timeline) = state.timeline else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let now = Instant::now();
            let end = if now < timeline.end() {
                overdue_since = None;
                timeline.end()
            } else {
                *overdue_since.get_or_insert(now)
            };
            let (bound, busy_bound) = (end + SLACK, end + BUSY_SLACK);
            let is_stuck = self.loops.iter().any(|address| address.occupation() != Occupation::Own);
            if now >= busy_bound || (now >= bound && is_stuck) {
                drop(state);
                // The stuck loop could not do it, and what it is stuck in may wait for just that. Elsewhere, as callbacks
                // are the user's, and this thread has been promised a bound.
                let hard = self.hard.clone();
                let cancel = move || _ = hard.cancel(Cause::Stopping);
                if let Err(error) = thread::Builder::new().name("cancelling".to_owned()).spawn(cancel) {
                    journal::error!("{}: handlers are not cancelled: {error}", self.config.name);
                }
                return (Some(timeline), None);
            }
            let next = [timeline.end(), bound, busy_bound].into_iter().find(|&at| now < at).unwrap_or(now);
            let left = next - now;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the threads are joined, but not past the bound of the stop; a further stop meanwhile may shorten that.
    pub(crate) fn wait_gone<N: Clone + PartialEq + Send + 'static>(&self, joining: &Arc<Joining<N>>) {
        let began = Instant::now();
        let mut state = lock(&self.state);
        while !joining.is_over() {
            let ended = state.ended.unwrap_or(began);
            let end = state.timeline.map_or(ended, |timeline| timeline.end());
            let bound = (end + SLACK).max(ended + LEAVING).max(began + LATE);
            let now = Instant::now();
            if now >= bound {
                return;
            }
            let next = if joining.has_untried() { bound.min(now + PATIENCE) } else { bound };
            let waited = self.changed.wait_timeout(state, next - now).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            if waited.1.timed_out() && joining.has_untried() {
                drop(state);
                joining.add_joiners();
                state = lock(&self.state);
            }
        }
    }

    /// One more thread has been joined: called by the joiners.
    pub(crate) fn note_joined(&self) {
        // A waiter is asleep, or has yet to look.
        drop(lock(&self.state));
        self.changed.notify_all();
    }
}
