//! Waiting for the end of a run: for its loops to leave, then for its threads to be gone. Each wait has a bound.
//!
//! ```text
//!   wait_ended     the last loop has left, or
//!                  the stop's bound and SLACK are over, and a loop is in a user's code, or
//!                  the stop's bound and BUSY_SLACK are over
//!   wait_joined    every thread is joined, or
//!                  the stop's bound is over, but at least LEAVING after the last loop has left
//! ```

use std::{
    sync::{Arc, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{Occupation, Progress, Run};
use crate::{
    isolation::{
        joining::{Joining, PATIENCE},
        journal,
    },
    stop::{Cause, Timeline},
    sync::lock,
};

/// How long a caller waits for the loops beyond the stop's bound. The loops act at the bound. Then they close what is left,
/// and return.
const SLACK: Duration = Duration::from_millis(50);
/// The same, if no loop is in a user's code: then no loop is stuck, but a busy machine does not let a loop run. (Both times
/// count from the moment at which the waiting thread itself runs after the bound. In a process that was suspended, no loop
/// has run before that moment.)
const BUSY_SLACK: Duration = Duration::from_secs(2);

/// How long a caller waits at least for the threads of a run that has ended, however short the stop's bound is. Only the
/// destructors of thread-locals and a busy machine can hold these threads.
const LEAVING: Duration = Duration::from_secs(1);
/// The same for a caller that begins to wait long after the end: the time to find out that the threads are gone.
const LATE: Duration = Duration::from_millis(250);

impl Run {
    /// Waits until the last loop has left, but not past the bound of the stop. Returns the timeline of the stop, and the moment
    /// at which the last loop left: none if a loop is stuck.
    pub(super) fn wait_ended(&self) -> (Option<Timeline>, Option<Instant>) {
        let mut state = lock(&self.progress.state);
        let mut overdue_since: Option<Instant> = None;
        loop {
            if let Some(ended) = state.ended() {
                return (state.timeline(), Some(ended));
            }
            let Some(timeline) = state.timeline() else {
                state = self.progress.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
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
                // The stuck loop could not cancel the handlers, and its user code may wait for just that. Another thread cancels
                // them, because callbacks are a user's code and may block, and this call returns within its bound.
                let hard = self.hard.clone();
                let cancel = move || _ = hard.cancel(Cause::Stopping);
                if let Err(error) = thread::Builder::new().name("cancelling".to_owned()).spawn(cancel) {
                    journal::error!("{}: handlers are not cancelled: {error}", self.config.name);
                }
                return (Some(timeline), None);
            }
            let next = [timeline.end(), bound, busy_bound].into_iter().find(|&at| now < at).unwrap_or(now);
            let left = next - now;
            state = self.progress.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the threads are joined, but not past the bound of the stop. A further stop may shorten the bound meanwhile.
    pub(super) fn wait_joined<N: Clone + PartialEq + Send + 'static>(&self, joining: &Arc<Joining<N>>) {
        let began = Instant::now();
        let mut state = lock(&self.progress.state);
        while !joining.is_over() {
            let ended = state.ended().unwrap_or(began);
            let end = state.timeline().map_or(ended, |timeline| timeline.end());
            let bound = (end + SLACK).max(ended + LEAVING).max(began + LATE);
            let now = Instant::now();
            if now >= bound {
                return;
            }
            let next = if joining.has_untried() { bound.min(now + PATIENCE) } else { bound };
            let waited =
                self.progress.changed.wait_timeout(state, next - now).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            if waited.1.timed_out() && joining.has_untried() {
                drop(state);
                joining.add_joiners();
                state = lock(&self.progress.state);
            }
        }
    }
}

impl Progress {
    /// One more thread has been joined: called by the joiners.
    pub(super) fn note_joined(&self) {
        // After this lock and unlock, a waiter either sleeps and is notified, or has yet to look.
        drop(lock(&self.state));
        self.changed.notify_all();
    }
}
