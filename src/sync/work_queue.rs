//! A bounded queue of work, and the threads that park until there is work in it. (docs/glossary.md: park, worker.)
//!
//! ```text
//!   submitter:  push*, then wake one parked worker
//!   worker:     there is work  -> take it; if there is more, wake one more worker
//!               there is none  -> park until woken, or until the queue is closed
//! ```
//!
//! **Lanes.** Foreground work has a bound on how much of it waits. Background work has a bound on how much of it runs at once, so
//! that it never holds all threads; its submitters bound how much of it waits. If both lanes have work, threads serve them in
//! turns, so that no lane starves the other.
//!
//! **Wakes.** A worker that wakes up takes work, and wakes the next worker if there is more. So [`WorkQueue::wake_one`] wakes a
//! worker only if no wake-up is pending. The worker that parked last is woken first, so that few threads do as much as few can
//! do, and stay in the processor's caches.
//!
//! **One lock.** One lock guards the work and the list of parked threads, so that no work stays while all threads are parked.
//! A thread holds the lock for a few instructions. Each thread unlocks before it wakes another thread or runs foreign code.
//!
//! A queue without locks was measured and rejected. Parked threads have to be woken in any case. With more threads than
//! processors, a thread may lose its processor in the middle of a step of the queue. Without a lock, the other threads spin until
//! that thread runs again. With a lock, they sleep, and that thread gets the processor. (Up to 512 workers on one core, twelve
//! runs of two seconds each: with a lock-free channel, three runs answered half of the usual number of requests, and one of these
//! stood still for a second. With the lock, none did.)

mod lanes;
#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;

use std::collections::VecDeque;

use self::lanes::{Lanes, WorkKind};
use super::{Arc, AtomicBool, Condvar, Mutex, Ordering, lock, wait};

#[derive(Debug)]
pub(crate) struct WorkQueue<T> {
    state: Mutex<State<T>>,
}

/// How much work there may be in the two lanes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The most foreground work that waits.
    pub(crate) waiting: usize,
    /// The most background work that runs at once.
    pub(crate) in_background: usize,
}

#[derive(Debug)]
struct State<T> {
    lanes: Lanes<T>,
    /// How much work was ever taken.
    taken: u64,
    parked: Vec<Arc<Parker>>,
    /// How many threads have been woken and do not hold the lock yet.
    waking: usize,
    closed: bool,
}

/// The condition variable on which one thread parks, and the flag that it waits for.
#[derive(Debug, Default)]
pub(crate) struct Parker {
    /// The queue's lock guards this flag.
    woken: AtomicBool,
    wake: Condvar,
}

/// The state of a queue, as a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueStatus {
    /// How much foreground work waits.
    pub(crate) waiting: usize,
    /// How much background work waits only for a thread.
    pub(crate) startable: usize,
    /// How much work was ever taken.
    pub(crate) taken: u64,
}

impl<T> WorkQueue<T> {
    pub(crate) fn new(bounds: Bounds) -> WorkQueue<T> {
        let state =
            State { lanes: Lanes::new(bounds), taken: 0, parked: Vec::new(), waking: 0, closed: false };
        WorkQueue { state: Mutex::new(state) }
    }

    /// Pushes foreground work, and wakes no thread. Returns how much waits now, or the work if there is no room.
    pub(crate) fn push(&self, work: T) -> Result<usize, T> {
        lock(&self.state).lanes.push(work)
    }

    /// Pushes background work, and wakes no thread. Returns how much background work waits only for a thread. The thread that
    /// takes the work calls [`end_background`](WorkQueue::end_background) after it.
    pub(crate) fn push_background(&self, work: T) -> usize {
        let mut state = lock(&self.state);
        state.lanes.push_background(work);
        state.lanes.startable()
    }

    /// Begins background work that was not in the queue. Returns `false` if as much of it runs as may run. The calling thread
    /// calls [`end_background`](WorkQueue::end_background) after the work, and then [`take`](WorkQueue::take).
    pub(crate) fn begin_background(&self) -> bool {
        lock(&self.state).lanes.begin_background()
    }

    /// Ends background work. The calling thread must call [`take`](WorkQueue::take) next. `take` then begins the work that
    /// waited for this end, or wakes another thread for it.
    pub(crate) fn end_background(&self) {
        lock(&self.state).lanes.end_background();
    }

    /// Wakes one parked thread, if there is work for it and no wake-up is pending.
    pub(crate) fn wake_one(&self) {
        let parker = lock(&self.state).next_to_wake();
        wake(parker);
    }

    /// Wakes up to `wanted` parked threads. Returns how many were woken.
    pub(crate) fn wake(&self, wanted: usize) -> usize {
        let mut state = lock(&self.state);
        let parkers: Vec<_> = (0..wanted).map_while(|_| state.unpark_last()).collect();
        drop(state);
        let count = parkers.len();
        parkers.into_iter().for_each(|parker| wake(Some(parker)));
        count
    }

    /// Takes the first work that `accept` accepts, and drops work that it does not accept. Parks until there is work. Returns
    /// `None` when the queue is closed and empty.
    ///
    /// `accept` runs in the step in which the work leaves the queue. So an observer finds the work in the queue, or sees the
    /// effect of `accept`.
    pub(crate) fn take(&self, parker: &Arc<Parker>, mut accept: impl FnMut(&T) -> bool) -> Option<T> {
        let mut state = lock(&self.state);
        loop {
            while let Some((lane, work)) = state.lanes.pop() {
                state.taken += 1;
                let accepted = accept(&work);
                if accepted && lane == WorkKind::Background {
                    let began = state.lanes.begin_background();
                    debug_assert!(began, "background work leaves its lane only if it may run");
                }
                let next = if accepted { state.next_to_wake() } else { None };
                drop(state);
                wake(next);
                if accepted {
                    return Some(work);
                }
                // Dropped after unlocking, because the work may own any value.
                drop(work);
                state = lock(&self.state);
            }
            if state.closed {
                return None;
            }
            parker.woken.store(false, Ordering::Relaxed);
            state.parked.push(Arc::clone(parker));
            while !parker.woken.load(Ordering::Relaxed) {
                state = wait(&parker.wake, state, None).unwrap_or_else(|state| state);
            }
            state.waking -= 1;
        }
    }

    pub(crate) fn status(&self) -> QueueStatus {
        let state = lock(&self.state);
        QueueStatus { waiting: state.lanes.waiting(), startable: state.lanes.startable(), taken: state.taken }
    }

    /// Removes all foreground work.
    pub(crate) fn drain(&self) -> VecDeque<T> {
        lock(&self.state).lanes.drain()
    }

    /// Removes all background work.
    #[cfg_attr(loom, allow(dead_code, reason = "no model needs it"))]
    pub(crate) fn drain_background(&self) -> VecDeque<T> {
        lock(&self.state).lanes.drain_background()
    }

    /// Closes the queue and wakes all parked threads. No thread parks again.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let parkers: Vec<_> = std::iter::from_fn(|| state.unpark_last()).collect();
        drop(state);
        parkers.into_iter().for_each(|parker| wake(Some(parker)));
    }
}

impl<T> State<T> {
    /// The thread to wake, if there is work for it and no wake-up is pending.
    fn next_to_wake(&mut self) -> Option<Arc<Parker>> {
        if !self.lanes.has_next() || self.waking > 0 { None } else { self.unpark_last() }
    }

    /// Removes the thread that parked last from the list. The caller wakes it after unlocking.
    fn unpark_last(&mut self) -> Option<Arc<Parker>> {
        let parker = self.parked.pop()?;
        parker.woken.store(true, Ordering::Relaxed);
        self.waking += 1;
        Some(parker)
    }
}

/// Wakes a thread. Called after unlocking, because the woken thread locks the queue first. If it got the waker's processor at
/// once, it would find the lock held, sleep again, and need a second wake.
fn wake(parker: Option<Arc<Parker>>) {
    if let Some(parker) = parker {
        parker.wake.notify_one();
    }
}
