//! Where threads that have nothing to do sleep until there is work.
//!
//! ```text
//!   sleeper:  announce itself, then look for work once more, then sleep
//!   waker:    make work available, then look whether a wake makes sense
//! ```
//!
//! Whichever comes second sees the other, so no work is left lying with everybody asleep. Looking costs the waker one
//! fence and one read. A wake makes sense if somebody sleeps, and nobody is on the way out of bed: who gets up looks for
//! work, and wakes the next one if there is more. The last to lie down is the first to get up, so that a few warm threads
//! do what a few can do, however many there are.

use super::{Arc, AtomicBool, AtomicUsize, Condvar, Mutex, Ordering, fence, lock, wait};

#[derive(Debug, Default)]
pub(crate) struct Dormitory {
    /// How many could be woken, to be read without the lock; none while somebody is on the way out.
    wakeable: AtomicUsize,
    beds: Mutex<Beds>,
}

#[derive(Debug, Default)]
struct Beds {
    sleepers: Vec<Arc<Bed>>,
    /// Threads that have been woken, but are not up yet.
    woken: usize,
    closed: bool,
}

/// One thread's place to sleep.
#[derive(Debug, Default)]
pub(crate) struct Bed {
    /// Guarded by the lock of the beds.
    woken: AtomicBool,
    wake: Condvar,
}

impl Dormitory {
    /// Sleeps until woken, unless there is work; false if the dormitory is closed and there is none.
    pub(crate) fn sleep(&self, bed: &Arc<Bed>, is_there_work: impl Fn() -> bool) -> bool {
        let mut beds = lock(&self.beds);
        bed.woken.store(false, Ordering::Relaxed);
        beds.sleepers.push(Arc::clone(bed));
        self.announce(&beds);
        if is_there_work() {
            // Still the last one, as the lock is held.
            beds.sleepers.pop();
            self.announce(&beds);
            return true;
        }
        while !bed.woken.load(Ordering::Relaxed) {
            if beds.closed {
                return false;
            }
            beds = wait(&bed.wake, beds, None).unwrap_or_else(|beds| beds);
        }
        beds.woken -= 1;
        // Whoever left work and saw this one on its way relies on it: its next look at the work comes after this.
        self.announce(&beds);
        true
    }

    /// Wakes one thread, if that makes sense.
    pub(crate) fn wake_one(&self) {
        fence(Ordering::SeqCst);
        if self.wakeable.load(Ordering::Relaxed) > 0 {
            let mut beds = lock(&self.beds);
            let sleeper = if beds.woken == 0 { beds.wake_last() } else { None };
            self.announce(&beds);
            drop(beds);
            rouse(sleeper);
        }
    }

    /// Wakes so many threads, or as many as there are: how many it were.
    pub(crate) fn wake(&self, wanted: usize) -> usize {
        let mut beds = lock(&self.beds);
        let sleepers: Vec<_> = (0..wanted).map_while(|_| beds.wake_last()).collect();
        self.announce(&beds);
        drop(beds);
        let count = sleepers.len();
        sleepers.into_iter().for_each(|sleeper| rouse(Some(sleeper)));
        count
    }

    /// Wakes everybody for good.
    pub(crate) fn close(&self) {
        let mut beds = lock(&self.beds);
        beds.closed = true;
        beds.sleepers.iter().for_each(|bed| bed.wake.notify_one());
    }

    fn announce(&self, beds: &Beds) {
        let wakeable = if beds.woken == 0 { beds.sleepers.len() } else { 0 };
        self.wakeable.store(wakeable, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
}

impl Beds {
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

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::thread;

    /// Work, as the pool has it: a count that is raised before the waker looks.
    #[derive(Default)]
    struct Pool {
        work: AtomicUsize,
        dormitory: Dormitory,
    }

    impl Pool {
        fn take(&self) -> bool {
            let one_less = |work: usize| work.checked_sub(1);
            self.work.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_ok()
        }

        /// What a worker does until it has taken something; false if the dormitory closed first.
        fn work(&self) -> bool {
            let bed = Arc::new(Bed::default());
            loop {
                if self.take() {
                    if self.is_there_work() {
                        self.dormitory.wake_one();
                    }
                    return true;
                }
                if !self.dormitory.sleep(&bed, || self.is_there_work()) {
                    return false;
                }
            }
        }

        fn is_there_work(&self) -> bool {
            self.work.load(Ordering::Acquire) > 0
        }

        fn submit(&self) {
            self.work.fetch_add(1, Ordering::Release);
            self.dormitory.wake_one();
        }
    }

    #[test]
    fn work_that_comes_while_the_worker_lies_down_wakes_it() {
        loom::model(|| {
            let pool = Arc::new(Pool::default());
            let worker = thread::spawn({
                let pool = Arc::clone(&pool);
                move || pool.work()
            });
            pool.submit();
            assert!(worker.join().unwrap());
        });
    }

    #[test]
    fn two_jobs_from_two_threads_are_both_taken() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let pool = Arc::new(Pool::default());
            let submitter = thread::spawn({
                let pool = Arc::clone(&pool);
                move || pool.submit()
            });
            let worker = thread::spawn({
                let pool = Arc::clone(&pool);
                move || pool.work() && pool.work()
            });
            pool.submit();
            submitter.join().unwrap();
            assert!(worker.join().unwrap());
        });
    }

    /// The second submitter may see the first one's worker on its way, and leave it to that one to wake the other.
    #[test]
    fn two_workers_that_take_one_job_each_leave_none() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let pool = Arc::new(Pool::default());
            let workers = [0; 2].map(|_| {
                let pool = Arc::clone(&pool);
                thread::spawn(move || pool.work())
            });
            pool.submit();
            pool.submit();
            workers.into_iter().for_each(|worker| assert!(worker.join().unwrap()));
        });
    }

    #[test]
    fn closing_wakes_the_sleeper() {
        loom::model(|| {
            let pool = Arc::new(Pool::default());
            let worker = thread::spawn({
                let pool = Arc::clone(&pool);
                move || pool.work()
            });
            pool.dormitory.close();
            assert!(!worker.join().unwrap());
        });
    }
}
