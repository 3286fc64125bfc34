//! The options of a job queue, and its start.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    ItemFate, JobQueue, RateLimit, Unfinished,
    worker::{Hook, UnfinishedItems, Work},
};
use crate::{
    Context, Error,
    group::TaskResult,
    isolation::{contain::discard, journal},
    patterns::worker_queue::WorkerQueue,
};

/// Configures a [`JobQueue`].
pub struct JobQueueBuilder<T> {
    name: String,
    capacity: usize,
    workers: usize,
    rate: Option<RateLimit>,
    hook: Hook<T>,
}

impl<T: Send + 'static> JobQueueBuilder<T> {
    pub(super) fn new(name: String) -> JobQueueBuilder<T> {
        let log_name = name.clone();
        let hook = Box::new(move |item: T, why: Unfinished| {
            discard(item);
            journal::error!("{log_name}: an item is lost ({why})");
            ItemFate::Lost
        });
        // The capacity is as large as the queue of a server's pool, because a burst of requests can hand in as many items.
        JobQueueBuilder { name, capacity: 1024, workers: 1, rate: None, hook }
    }

    /// How many items may wait, at least 1. Default 1024. The start allocates memory for so many.
    #[must_use]
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity.max(1);
        self
    }

    /// How many jobs may run at once, at least 1. Default 1. Each worker is a thread that lives as long as the queue.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Lets at most `count` jobs begin in any stretch of length `per`. Default: no limit.
    ///
    /// The beginnings are evenly spaced: after one job has begun, the next one waits for `per / count`. Time that is not
    /// used is not saved for a burst. The limit holds during a drain too, because the service behind it does not know of
    /// the drain.
    ///
    /// # Panics
    ///
    /// If the count is 0.
    #[must_use]
    #[track_caller]
    pub fn rate(mut self, count: u32, per: Duration) -> Self {
        assert!(count > 0, "{}: at a rate of 0 no job could ever begin", self.name);
        self.rate = Some(RateLimit::new(count, per));
        self
    }

    /// Sets the hook that gets every item that was taken and not finished, with the reason. Default: the item is dropped, and
    /// an error is logged.
    ///
    /// The hook answers who has the item now: a drain counts [`ItemFate::Kept`] as
    /// [given back](crate::group::Drained::given_back), and [`ItemFate::Lost`] as left. An item whose hook panics is lost.
    ///
    /// The hook runs on the worker that had the item, or on the thread that drains or drops the queue. That thread waits for
    /// the hook item by item, also after the deadline. So the hook must be quick. It may use the queue, for instance to hand
    /// the item in once more.
    #[must_use]
    pub fn on_unfinished(mut self, hook: impl Fn(T, Unfinished) -> ItemFate + Send + Sync + 'static) -> Self {
        self.hook = Box::new(hook);
        self
    }

    /// Starts the workers.
    ///
    /// The job borrows its item. The item is finished when the job returns `()` or `Ok`. The hint of the job's context
    /// ([`Context::stopping`]) is given when a stop begins. The context itself ends at the deadline of the stop, with
    /// [`Cause::Stopping`](crate::Cause::Stopping). A job that takes long should look at it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the system has no thread left. Threads that were started before that end again.
    pub fn start<R: TaskResult>(
        self,
        job: impl Fn(&mut T, &Context) -> R + Send + Sync + 'static,
    ) -> Result<JobQueue<T>, Error> {
        let JobQueueBuilder { name, capacity, workers, rate, hook } = self;
        let unfinished = Arc::new(UnfinishedItems { name: name.clone(), hook });
        // From here on there is a queue, which ends its workers when it is dropped.
        let queue = WorkerQueue::new(name.clone(), capacity, {
            let unfinished = Arc::clone(&unfinished);
            move |item| unfinished.hand_over(item, Unfinished::NotBegun)
        });
        let work = Arc::new(Work { job, rate: rate.map(Mutex::new), unfinished });
        for number in 1..=workers {
            let work = Arc::clone(&work);
            queue
                .spawn(format!("{name} {number}"), move |queue| work.work(queue))
                .map_err(|error| Error::io(format!("{name}: cannot start a worker"), error))?;
        }
        Ok(JobQueue(queue))
    }
}

impl<T> fmt::Debug for JobQueueBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobQueueBuilder")
            .field("name", &self.name)
            .field("capacity", &self.capacity)
            .field("workers", &self.workers)
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}
