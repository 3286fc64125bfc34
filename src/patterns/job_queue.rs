//! Background jobs: a bounded queue, some workers, and an end at which every item is done or given back.
//!
//! ```text
//!              try_submit                     a worker takes it, within the rate limit
//!   (caller) ──────────────> queued ─────────────────────────────────────────> running ──> finished
//!      │                       │                                                  │
//!      │ full, stopping        │ the deadline of a drain comes first              │ error, panic
//!      v                       v                                                  v
//!   Refused(item)          on_unfinished(item, NotBegun)      on_unfinished(item, Failed | Panicked)
//!                                          └──────────> Kept | Lost <──────────┘
//! ```
//!
//! An item belongs to the caller, to the channel, to a worker, or to the hook. The mechanism is in `worker_queue`.

mod builder;
mod rate_limit;
mod unfinished;
mod worker;

use std::{fmt, time::Instant};

use self::rate_limit::RateLimit;
pub use self::{
    builder::JobQueueBuilder,
    unfinished::{ItemFate, Unfinished},
};
use super::worker_queue::{Counters, Waiting, WorkerQueue};
use crate::{
    Refused,
    group::{Drain, Drained},
};

/// A bounded queue of items of one type, and the threads that do a job with each.
///
/// Guaranteed:
/// - An item is finished, or [`try_submit`](JobQueue::try_submit) gives it back, or the hook of
///   [`on_unfinished`](JobQueueBuilder::on_unfinished) gets it with the reason.
/// - [`try_submit`](JobQueue::try_submit) never waits.
/// - A drain returns at its deadline, or 100 ms later if jobs still run.
///
/// Not guaranteed:
/// - That the hook gets an item before the drain returns. A job that still has its item when the drain must return keeps
///   it. Its thread is left behind, and the item counts as left. If that job fails later, the hook is called then.
/// - That items outlive the process. A queue is in memory.
///
/// Your part:
/// - Set the hook, and keep the items that it gets. Without it they are lost, which is logged.
/// - Let long jobs look at their context, so that they return when the time is over.
/// - Drain the queue after the servers that feed it have stopped. [`Group::drain`](crate::Group::drain) does both.
///
/// # Stopping
///
/// [`drain`](Drain::drain), in this order:
/// 1. New items are refused, and the jobs' contexts give their hint ([`Context::stopping`](crate::Context::stopping)).
/// 2. The workers finish what is queued. The drain returns as soon as they have.
/// 3. At the deadline the jobs' contexts end with [`Cause::Stopping`](crate::Cause::Stopping), and items that have not begun
///    are given back.
/// 4. Jobs that return within 100 ms are waited for, other jobs are not.
///
/// A queue that was drained takes nothing again.
///
/// A queue that is dropped without a drain does not wait: items that have not begun are given back at once, on the thread
/// that drops the queue, and the contexts end. If anything was queued or running, a warning is logged.
///
/// # Examples
///
/// ```
/// use std::{sync::mpsc, time::{Duration, Instant}};
/// use softstop::{Cause, Context, Refused, group::Drain, patterns::{ItemFate, JobQueue}};
///
/// let (unfinished, given_back) = mpsc::channel();
/// let queue = JobQueue::builder("greetings")
///     .capacity(100)
///     .workers(2)
///     .on_unfinished(move |name: String, why| match unfinished.send((name, why)) {
///         Ok(()) => ItemFate::Kept,
///         Err(_) => ItemFate::Lost,
///     })
///     .start(|name: &mut String, context: &Context| -> Result<(), Cause> {
///         context.check()?;
///         println!("Hello, {name}!");
///         Ok(())
///     })?;
/// queue.try_submit("Ada".to_owned())?;
///
/// let drained = queue.drain(Instant::now() + Duration::from_secs(5));
/// assert!(drained.is_clean(), "{drained}");
/// assert_eq!(queue.try_submit("Bob".to_owned()), Err(Refused::Stopping("Bob".to_owned())));
/// assert!(given_back.try_recv().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct JobQueue<T: Send + 'static>(WorkerQueue<T>);

/// How many items and jobs a [`JobQueue`] has now (`queued`, `running`), and has had since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct JobMetrics {
    /// Items that wait for a worker or for their turn, or that a drain is giving back.
    pub queued: u64,
    /// Jobs that run, and jobs whose unfinished item the hook has at the moment.
    pub running: u64,
    /// Jobs that returned without an error.
    pub finished: u64,
    /// Jobs that returned an error.
    pub failed: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Items that were given back at a stop because no job had begun with them.
    pub not_begun: u64,
    /// Items that failed, panicked or were not begun, and that the hook has kept.
    pub kept: u64,
    /// Items that were not taken ([`Refused`]).
    pub refused: u64,
}

impl JobQueue<()> {
    /// Begins to configure a queue. The threads and the log lines have its name. The queue runs from
    /// [`start`](JobQueueBuilder::start) on. The job decides the type of the items.
    pub fn builder<T: Send + 'static>(name: impl Into<String>) -> JobQueueBuilder<T> {
        JobQueueBuilder::new(name.into())
    }
}

impl<T: Send + 'static> JobQueue<T> {
    /// Hands an item in. Never waits.
    ///
    /// # Errors
    ///
    /// [`Refused`] gives the item back: `Full` if as many items wait as the capacity allows, `Stopping` if the queue is
    /// stopping.
    pub fn try_submit(&self, item: T) -> Result<(), Refused<T>> {
        self.0.try_push(item, |item| item)
    }

    /// Whether a stop has begun or is over, so that nothing is taken any more.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// A snapshot of the counters, consistent in itself.
    pub fn metrics(&self) -> JobMetrics {
        let Counters { queued, running, finished, failed, panicked, taken_back: _, not_begun, kept, refused } =
            self.0.counters();
        JobMetrics { queued, running, finished, failed, panicked, not_begun, kept, refused }
    }
}

impl<T: Send + 'static> Drain for JobQueue<T> {
    fn drain(&self, deadline: Instant) -> Drained {
        self.0.drain(deadline, Waiting::WorkOff)
    }
}

impl<T: Send + 'static> fmt::Debug for JobQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, metrics) = (self.0.name(), self.metrics());
        f.debug_struct("JobQueue").field("name", &name).field("metrics", &metrics).finish_non_exhaustive()
    }
}
