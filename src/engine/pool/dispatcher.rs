//! A loop's access to the pool, and the decision when to add threads.
//!
//! ```text
//!   submit: queued ----> another request waits, and there are fewer threads than cores:  add a thread at once
//!              |
//!              +-------> plan a look in five milliseconds ----> fewer were taken than wait:  wake sleeping threads,
//!                                    ^                          add the rest, and plan the next look
//!                                    +--------------------------------+
//! ```

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Job, Pool};
use crate::{app::request::Exchange, body::stream::Piece, stop::WaitGuard, sync::QueueStatus};

/// How long the queue may stand before threads are added for it. Longer than the kernel lets a thread wait for a processor
/// that other threads want too (some 3 ms), because workers that cannot run need no company. Short against the delays that a
/// client notices.
const STANDING: Duration = Duration::from_millis(5);
/// The most threads that are added at one look. To start one takes the loop some 20 microseconds.
const THREADS_A_LOOK: usize = 128;
/// How long no thread is added after the system had none. Other programs may have them all.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// A loop's access to the pool.
pub(crate) struct Dispatcher {
    pool: Arc<Pool>,
    /// Whether this turn has queued anything.
    submitted: bool,
    /// The look at the queue that this loop has planned.
    growth: Option<Growth>,
}

#[derive(Clone, Copy)]
struct Growth {
    at: Instant,
    taken_before: u64,
}

impl Dispatcher {
    pub(super) fn new(pool: Arc<Pool>) -> Dispatcher {
        Dispatcher { pool, submitted: false, growth: None }
    }

    /// Queues a request for the workers, or hands it back if the queue is full.
    pub(crate) fn submit(&mut self, job: Job) -> Result<(), Job> {
        let waiting = self.pool.queue.push(job)?;
        self.submitted = true;
        self.make_room_for(waiting);
        Ok(())
    }

    /// Queues a piece of a response's content. A worker is woken at once, so that it reads while the loop writes.
    pub(crate) fn submit_piece(
        &mut self,
        exchange: &Arc<Exchange>,
        piece: Piece,
        in_flight: Option<WaitGuard>,
    ) {
        let job = Job::Read { exchange: Arc::clone(exchange), piece, in_flight };
        let startable = self.pool.queue.push_background(job);
        self.make_room_for(startable);
        self.pool.queue.wake_one();
    }

    /// Adds a thread for the jobs that wait, or plans a look at the queue.
    fn make_room_for(&mut self, waiting: usize) {
        let threads = self.pool.threads();
        if threads == 0 || (threads < self.pool.at_once && waiting > 1) {
            self.pool.grow();
        }
        if self.growth.is_none() && threads < self.pool.config.max_workers {
            self.plan(STANDING);
        }
    }

    /// The system had no thread for something that is not the pool's.
    pub(crate) fn warn_of_lack(&self, what: &str, error: &io::Error) {
        self.pool.warn_of_lack(what, error);
    }

    /// Ends a turn: wakes a worker if the turn has queued anything, and looks at the queue if a look is due.
    pub(crate) fn end_turn(&mut self, now: Instant) {
        if std::mem::take(&mut self.submitted) {
            self.pool.queue.wake_one();
        }
        if self.growth.is_some_and(|growth| growth.at <= now) {
            self.look();
        }
    }

    /// When this loop has to take a turn to look at the queue.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.growth.map(|growth| growth.at)
    }

    /// Adds the threads that are missing.
    fn look(&mut self) {
        let Some(Growth { taken_before, .. }) = self.growth.take() else { return };
        let QueueStatus { waiting, startable, taken } = self.pool.queue.status();
        let waiting = waiting + startable;
        let taken = taken.wrapping_sub(taken_before);
        let missing = waiting.saturating_sub(usize::try_from(taken).unwrap_or(usize::MAX));
        let woken = if missing > 0 { self.pool.queue.wake(missing) } else { 0 };
        let grown = (woken..missing).take(THREADS_A_LOOK).all(|_| self.pool.grow());
        if waiting == 0 {
            return;
        }
        let threads = self.pool.threads();
        if threads == 0 {
            // There is not a single thread, so nobody will ever take these.
            self.pool.queue.drain().into_iter().for_each(Job::give_back);
            self.pool.queue.drain_background().into_iter().for_each(Job::abandon);
        } else if threads < self.pool.config.max_workers {
            self.plan(if grown { STANDING } else { STANDING + EXHAUSTED });
        }
    }

    /// Empties the queue of requests that the loops have answered themselves, or are about to.
    pub(crate) fn discard_waiting(&self) {
        self.pool.queue.drain();
    }

    /// Plans a look. The time counts from this very moment, because many requests may have been queued, or threads made, since
    /// the turn began. A look that comes before these could take anything would add too many threads.
    fn plan(&mut self, after: Duration) {
        let taken_before = self.pool.queue.status().taken;
        self.growth = Some(Growth { at: Instant::now() + after, taken_before });
    }
}
