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

#[derive(Debug)]
struct State<T> {
    work: VecDeque<T>,
    /// What was taken, ever.
    taken: u64,
    sleepers: Vec<Arc<Bed>>,
    /// Threads that have been woken, but are not up yet.
    woken: usize,
    closed: bool,
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
pub(crate) struct Standing {
    pub(crate) waiting: usize,
    /// What was taken, ever.
    pub(crate) taken: u64,
}

impl<T> WorkQueue<T> {
    pub(crate) fn new(capacity: usize) -> WorkQueue<T> {
        let work = VecDeque::new();
        let state = State { work, taken: 0, sleepers: Vec::new(), woken: 0, closed: false };
        WorkQueue { capacity, state: Mutex::new(state) }
    }

    /// Puts work in, for which nobody is woken yet: how much there is now; or the work, if there is no room.
    pub(crate) fn push(&self, work: T) -> Result<usize, T> {
        let mut state = lock(&self.state);
        if state.work.len() == self.capacity {
            return Err(work);
        }
        state.work.push_back(work);
        Ok(state.work.len())
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
            while let Some(work) = state.work.pop_front() {
                state.taken += 1;
                let accepted = accept(&work);
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

    pub(crate) fn standing(&self) -> Standing {
        let state = lock(&self.state);
        Standing { waiting: state.work.len(), taken: state.taken }
    }

    /// Takes out all there is.
    pub(crate) fn drain(&self) -> VecDeque<T> {
        std::mem::take(&mut lock(&self.state).work)
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
    /// Whom to rouse, if that makes sense.
    fn next_sleeper(&mut self) -> Option<Arc<Bed>> {
        if self.work.is_empty() || self.woken > 0 { None } else { self.wake_last() }
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
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_handed_back_and_what_is_not_accepted_is_dropped() {
        let queue = WorkQueue::new(2);
        assert_eq!((queue.push(1), queue.push(2), queue.push(3)), (Ok(1), Ok(2), Err(3)));
        assert_eq!(queue.standing(), Standing { waiting: 2, taken: 0 });
        let bed = Arc::default();
        assert_eq!(queue.take(&bed, |work| *work == 2), Some(2));
        assert_eq!(queue.standing(), Standing { waiting: 0, taken: 2 });
        queue.push(4).unwrap();
        assert_eq!(queue.drain(), [4]);
        queue.close();
        assert_eq!(queue.take(&bed, |_| true), None);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::thread::{self, JoinHandle};

    /// All interleavings with at most so many preemptions.
    fn check(preemptions: usize, model: impl Fn(Arc<WorkQueue<u8>>) + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.check(move || model(Arc::new(WorkQueue::new(2))));
    }

    fn work(queue: &WorkQueue<u8>) -> bool {
        queue.take(&Arc::new(Bed::default()), |_| true).is_some()
    }

    fn worker(queue: &Arc<WorkQueue<u8>>) -> JoinHandle<bool> {
        let queue = Arc::clone(queue);
        thread::spawn(move || work(&queue))
    }

    fn submit(queue: &WorkQueue<u8>) {
        queue.push(0).unwrap();
        queue.wake_one();
    }

    #[test]
    fn work_that_comes_while_the_worker_lies_down_wakes_it() {
        check(4, |queue| {
            let worker = worker(&queue);
            submit(&queue);
            assert!(worker.join().unwrap());
        });
    }

    #[test]
    fn two_jobs_from_two_threads_are_both_taken() {
        check(3, |queue| {
            let (other, both) = (Arc::clone(&queue), Arc::clone(&queue));
            let submitter = thread::spawn(move || submit(&other));
            let worker = thread::spawn(move || work(&both) && work(&both));
            submit(&queue);
            submitter.join().unwrap();
            assert!(worker.join().unwrap());
        });
    }

    /// The second submitter may see the first one's worker on its way, and leave it to that one to wake the other.
    #[test]
    fn two_workers_that_take_one_job_each_leave_none() {
        check(2, |queue| {
            let workers = [worker(&queue), worker(&queue)];
            submit(&queue);
            submit(&queue);
            workers.into_iter().for_each(|worker| assert!(worker.join().unwrap()));
        });
    }

    #[test]
    fn as_many_are_woken_as_are_wanted_and_none_is_woken_for_nothing() {
        check(2, |queue| {
            let workers = [worker(&queue), worker(&queue)];
            queue.push(0).unwrap();
            queue.push(0).unwrap();
            assert!(queue.wake(2) <= 2);
            workers.into_iter().for_each(|worker| assert!(worker.join().unwrap()));
            assert_eq!(queue.wake(1), 0, "both have gone");
            assert_eq!(queue.standing(), Standing { waiting: 0, taken: 2 });
            assert!(queue.drain().is_empty());
        });
    }

    /// What the first worker does not accept must not be the end of the wakes.
    #[test]
    fn refused_work_does_not_swallow_the_wake_of_what_follows_it() {
        check(3, |queue| {
            let picky = Arc::clone(&queue);
            let worker = thread::spawn(move || picky.take(&Arc::new(Bed::default()), |work| *work > 0));
            queue.push(0).unwrap();
            queue.wake_one();
            queue.push(1).unwrap();
            queue.wake_one();
            assert_eq!(worker.join().unwrap(), Some(1));
        });
    }

    #[test]
    fn what_was_put_in_before_the_closing_is_still_taken() {
        check(4, |queue| {
            let twice = Arc::clone(&queue);
            let worker = thread::spawn(move || (work(&twice), work(&twice)));
            queue.push(0).unwrap();
            queue.close();
            assert_eq!(worker.join().unwrap(), (true, false));
        });
    }

    #[test]
    fn closing_wakes_the_sleeper() {
        check(4, |queue| {
            let worker = worker(&queue);
            queue.close();
            assert!(!worker.join().unwrap());
        });
    }
}
