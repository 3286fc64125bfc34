//! A bounded queue, and the threads that sleep until there is something in it.
//!
//! ```text
//!   submitter:  push*, then wake one worker, if one sleeps
//!   worker:     something is there -> take it; if there is more, wake one more worker
//!               nothing            -> sleep until woken, or until the queue is closed
//! ```
//!
//! One lock for the queue and for who sleeps, so no work is left lying with everybody asleep. It is held for a few
//! instructions, never while somebody is being woken, and never while foreign code runs. A queue without a lock has no
//! advantage where sleepers have to be woken anyway, and a bad day when there are more threads than processors: who runs into
//! the half-done step of a thread that has lost its processor can only spin, where whoever runs into a lock sleeps, and its
//! owner gets the processor. (With up to 512 workers on one core, in three of twelve runs of two seconds with a channel only
//! half the usual requests were answered, in one of them after a second's wait; with the lock, in none of twelve.)
//!
//! There are two lines. Work in the foreground line has a bound on how much of it waits. Work in the background line has a
//! bound on how much of it runs at once, so that it never holds all threads; how much of it waits is bounded by its submitters.
//! Where both lines have work, threads serve them in turns, so that neither line starves the other.
//!
//! A wake makes sense if somebody sleeps, and nobody is on the way out of bed: who gets up takes something, and wakes the
//! next one if there is more. The last to lie down is the first to get up, so that a few warm threads do what a few can do,
//! however many there are.

use std::collections::VecDeque;

use super::{Arc, AtomicBool, Condvar, Mutex, Ordering, lock, wait};

#[derive(Debug)]
pub(crate) struct WorkQueue<T> {
    capacity: usize,
    state: Mutex<State<T>>,
}

/// How much there may be in the two lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The most foreground work that waits.
    pub(crate) waiting: usize,
    /// The most background work that runs at once.
    pub(crate) in_background: usize,
}

#[derive(Debug)]
struct State<T> {
    foreground: VecDeque<T>,
    background: VecDeque<T>,
    /// How much background work runs, and may run.
    running: usize,
    most_running: usize,
    /// The line that is served first where both have work.
    turn: Line,
    /// What was taken, ever.
    taken: u64,
    sleepers: Vec<Arc<Bed>>,
    /// Threads that have been woken, but are not up yet.
    woken: usize,
    closed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Foreground,
    Background,
}

/// One thread's place to sleep.
#[derive(Debug, Default)]
pub(crate) struct Bed {
    /// Guarded by the queue's lock.
    woken: AtomicBool,
    wake: Condvar,
}

/// How a queue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueStatus {
    /// Foreground work that waits.
    pub(crate) waiting: usize,
    /// Background work that waits for nothing but a thread.
    pub(crate) startable: usize,
    /// What was taken, ever.
    pub(crate) taken: u64,
}

impl<T> WorkQueue<T> {
    pub(crate) fn new(bounds: Bounds) -> WorkQueue<T> {
        let state = State {
            foreground: VecDeque::new(),
            background: VecDeque::new(),
            running: 0,
            most_running: bounds.in_background,
            turn: Line::Foreground,
            taken: 0,
            sleepers: Vec::new(),
            woken: 0,
            closed: false,
        };
        WorkQueue { capacity: bounds.waiting, state: Mutex::new(state) }
    }

    /// Puts work in, for which nobody is woken yet: how much there is now; or the work, if there is no room.
    pub(crate) fn push(&self, work: T) -> Result<usize, T> {
        let mut state = lock(&self.state);
        if state.foreground.len() == self.capacity {
            return Err(work);
        }
        state.foreground.push_back(work);
        Ok(state.foreground.len())
    }

    /// Puts background work in, for which nobody is woken yet: how much of it waits for nothing but a thread. The thread that
    /// takes it calls [`end_background`](WorkQueue::end_background) afterwards.
    pub(crate) fn push_background(&self, work: T) -> usize {
        let mut state = lock(&self.state);
        state.background.push_back(work);
        state.startable()
    }

    /// Begins background work that has not been in the queue: false if as much of it runs as may run. To be called by a thread
    /// that calls [`end_background`](WorkQueue::end_background) and [`take`](WorkQueue::take) afterwards.
    pub(crate) fn begin_background(&self) -> bool {
        let mut state = lock(&self.state);
        let may_begin = state.running < state.most_running;
        state.running += usize::from(may_begin);
        may_begin
    }

    /// Background work is done. The calling thread must [`take`](WorkQueue::take) next: it begins with what waited for this end,
    /// or wakes another thread for it.
    pub(crate) fn end_background(&self) {
        lock(&self.state).running -= 1;
    }

    /// Wakes one thread, if that makes sense.
    pub(crate) fn wake_one(&self) {
        let sleeper = lock(&self.state).next_sleeper();
        rouse(sleeper);
    }

    /// Wakes so many threads, or as many as there are: how many it were.
    pub(crate) fn wake(&self, wanted: usize) -> usize {
        let mut state = lock(&self.state);
        let sleepers: Vec<_> = (0..wanted).map_while(|_| state.wake_last()).collect();
        drop(state);
        let count = sleepers.len();
        sleepers.into_iter().for_each(|sleeper| rouse(Some(sleeper)));
        count
    }

    /// Takes the first work that `accept` accepts, and drops what it does not; sleeps until there is some. None, once the
    /// queue is closed and empty. `accept` runs in the same step in which the work leaves the queue: whoever looks finds it in
    /// the queue, or what `accept` has done.
    pub(crate) fn take(&self, bed: &Arc<Bed>, mut accept: impl FnMut(&T) -> bool) -> Option<T> {
        let mut state = lock(&self.state);
        loop {
            while let Some((line, work)) = state.pop() {
                state.taken += 1;
                let accepted = accept(&work);
                if accepted && line == Line::Background {
                    state.running += 1;
                }
                let company = if accepted { state.next_sleeper() } else { None };
                drop(state);
                rouse(company);
                if accepted {
                    return Some(work);
                }
                // It may hold anything, so not under the lock.
                drop(work);
                state = lock(&self.state);
            }
            if state.closed {
                return None;
            }
            bed.woken.store(false, Ordering::Relaxed);
            state.sleepers.push(Arc::clone(bed));
            while !bed.woken.load(Ordering::Relaxed) {
                state = wait(&bed.wake, state, None).unwrap_or_else(|state| state);
            }
            state.woken -= 1;
        }
    }

    pub(crate) fn status(&self) -> QueueStatus {
        let state = lock(&self.state);
        QueueStatus { waiting: state.foreground.len(), startable: state.startable(), taken: state.taken }
    }

    /// Takes out all foreground work.
    pub(crate) fn drain(&self) -> VecDeque<T> {
        std::mem::take(&mut lock(&self.state).foreground)
    }

    /// Takes out all background work.
    #[cfg_attr(loom, allow(dead_code, reason = "no model needs it"))]
    pub(crate) fn drain_background(&self) -> VecDeque<T> {
        std::mem::take(&mut lock(&self.state).background)
    }

    /// Wakes everybody for good.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let sleepers: Vec<_> = std::iter::from_fn(|| state.wake_last()).collect();
        drop(state);
        sleepers.into_iter().for_each(|sleeper| rouse(Some(sleeper)));
    }
}

impl<T> State<T> {
    fn startable(&self) -> usize {
        self.background.len().min(self.most_running - self.running)
    }

    /// The line that the next work is to come from, if there is any that may begin.
    fn next_line(&self) -> Option<Line> {
        match (!self.foreground.is_empty(), self.startable() > 0) {
            (true, true) => Some(self.turn),
            (true, false) => Some(Line::Foreground),
            (false, true) => Some(Line::Background),
            (false, false) => None,
        }
    }

    fn pop(&mut self) -> Option<(Line, T)> {
        let line = self.next_line()?;
        let (work, turn) = match line {
            Line::Foreground => (self.foreground.pop_front(), Line::Background),
            Line::Background => (self.background.pop_front(), Line::Foreground),
        };
        self.turn = turn;
        work.map(|work| (line, work))
    }

    /// Whom to rouse, if that makes sense.
    fn next_sleeper(&mut self) -> Option<Arc<Bed>> {
        if self.next_line().is_none() || self.woken > 0 { None } else { self.wake_last() }
    }

    /// Has the last one who lay down get up, as soon as it is roused.
    fn wake_last(&mut self) -> Option<Arc<Bed>> {
        let bed = self.sleepers.pop()?;
        bed.woken.store(true, Ordering::Relaxed);
        self.woken += 1;
        Some(bed)
    }
}

/// To be called without the lock: the sleeper's first step is to take it, and where it gets the waker's processor at once,
/// it would run into the lock, sleep again, and have to be roused a second time.
fn rouse(sleeper: Option<Arc<Bed>>) {
    if let Some(bed) = sleeper {
        bed.wake.notify_one();
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod models;
