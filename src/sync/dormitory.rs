//! Where threads that have nothing to do sleep until there is work.
//!
//! ```text
//!   sleeper:  announce itself, then look for work once more, then sleep
//!   waker:    make work available, then look whether anybody has announced itself
//! ```
//!
//! Whichever comes second sees the other, so no work is left lying with everybody asleep. Looking costs the waker one
//! atomic read while nobody sleeps.

use super::{AtomicUsize, Condvar, Mutex, Ordering, fence, lock, wait};

#[derive(Debug, Default)]
pub(crate) struct Dormitory {
    /// As many as in `beds`, to be read without its lock.
    sleeping: AtomicUsize,
    beds: Mutex<Beds>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Beds {
    sleeping: usize,
    /// Threads that have been woken, but are not up yet.
    woken: usize,
    closed: bool,
}

impl Dormitory {
    /// Sleeps until woken, unless there is work; false if the dormitory is closed and there is none.
    pub(crate) fn sleep(&self, is_there_work: impl Fn() -> bool) -> bool {
        let mut beds = lock(&self.beds);
        self.set_sleeping(&mut beds, 1);
        // With the other one: announced before looked, and queued before looked. One of the two looks second.
        fence(Ordering::SeqCst);
        if is_there_work() {
            self.set_sleeping(&mut beds, -1);
            return true;
        }
        while beds.woken == 0 {
            if beds.closed {
                return false;
            }
            beds = wait(&self.wake, beds, None).unwrap_or_else(|beds| beds);
        }
        beds.woken -= 1;
        true
    }

    /// Wakes one thread, if any sleeps.
    pub(crate) fn wake_one(&self) {
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut beds = lock(&self.beds);
        if beds.sleeping > 0 {
            self.set_sleeping(&mut beds, -1);
            beds.woken += 1;
            drop(beds);
            self.wake.notify_one();
        }
    }

    /// How many sleep. A snapshot.
    pub(crate) fn sleeping(&self) -> usize {
        self.sleeping.load(Ordering::Relaxed)
    }

    /// Wakes everybody for good.
    pub(crate) fn close(&self) {
        lock(&self.beds).closed = true;
        self.wake.notify_all();
    }

    fn set_sleeping(&self, beds: &mut Beds, change: isize) {
        beds.sleeping = beds.sleeping.wrapping_add_signed(change);
        self.sleeping.store(beds.sleeping, Ordering::Relaxed);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::{sync::Arc, thread};

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
            loop {
                if self.take() {
                    return true;
                }
                if !self.dormitory.sleep(|| self.work.load(Ordering::Acquire) > 0) {
                    return false;
                }
            }
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
