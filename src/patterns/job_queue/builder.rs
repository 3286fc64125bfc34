//! What a job queue is started with.

use std::{
    fmt, io,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use crossbeam_channel::bounded;

use super::{Hook, Intake, JobMetrics, JobQueue, Shared, State, Unfinished, UnfinishedItem};
use crate::{
    Context, WaitGroup,
    group::TaskResult,
    isolation::{contain::discard, journal},
    patterns::pace::Pace,
};

/// Configures a [`JobQueue`].
pub struct JobQueueBuilder<T> {
    name: String,
    capacity: usize,
    workers: usize,
    pace: Option<Pace>,
    on_unfinished: Hook<T>,
}

impl<T: Send + 'static> JobQueueBuilder<T> {
    pub(super) fn new(name: String) -> JobQueueBuilder<T> {
        let log_name = name.clone();
        let on_unfinished = Box::new(move |item: T, why: Unfinished| {
            discard(item);
            journal::error!("{log_name}: an item is lost ({why})");
            UnfinishedItem::Lost
        });
        // As many as may wait for a worker of a server: what a burst of requests can hand in.
        JobQueueBuilder { name, capacity: 1024, workers: 1, pace: None, on_unfinished }
    }

    /// How many items may wait, at least 1. Default 1024. Memory for so many is taken at the start.
    #[must_use]
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity.max(1);
        self
    }

    /// How many jobs may run at once, at least 1, each on a thread of its own that lives as long as the queue. Default 1.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// At most so many jobs in any stretch of that length, evenly spaced: after one has begun, the next one waits for
    /// its share of the time. What is not used is not saved for a burst. Holds during a drain, too, since those for
    /// whom the limit is made don't know of it. Default: no limit.
    ///
    /// # Panics
    ///
    /// If the count is 0.
    #[must_use]
    #[track_caller]
    pub fn rate(mut self, count: u32, per: Duration) -> Self {
        assert!(count > 0, "{}: at a rate of 0 no job could ever begin", self.name);
        self.pace = Some(Pace::new(count, per));
        self
    }

    /// Gets every item that was taken and not finished, with the reason, and says whether the item is kept: a stop
    /// counts a kept item as [given back](crate::group::Drained::given_back), and one that is lost, or whose hook panicked, as
    /// left. It runs on the worker whose job it was, or on
    /// the thread that stops or drops the queue (which waits for it, item by item, after the deadline: so it must be quick),
    /// and may use the queue: to hand an item in once more, for instance. By
    /// default it is logged as an error that an item is lost.
    #[must_use]
    pub fn on_unfinished(
        mut self,
        hook: impl Fn(T, Unfinished) -> UnfinishedItem + Send + Sync + 'static,
    ) -> Self {
        self.on_unfinished = Box::new(hook);
        self
    }

    /// Starts the workers. The job borrows its item, which is finished when the job returns `()` or `Ok`. Its context's
    /// `stopping()` ends when a stop begins, the context itself, with [`Cause::Stopping`](crate::Cause), when the time
    /// of the stop is over: a job that takes long should look at it.
    ///
    /// # Errors
    ///
    /// If the system has no thread left; those that there were end again.
    pub fn start<R: TaskResult>(
        self,
        job: impl Fn(&mut T, &Context) -> R + Send + Sync + 'static,
    ) -> io::Result<JobQueue<T>> {
        let (sender, items) = bounded(self.capacity);
        let (context, hint) = Context::root_with_hint(None);
        let state = State { intake: Intake::Open(sender), pace: self.pace, metrics: JobMetrics::default() };
        let shared = Arc::new(Shared {
            name: self.name,
            capacity: self.capacity as u64,
            on_unfinished: self.on_unfinished,
            items,
            context,
            hint,
            workers: WaitGroup::new(),
            state: Mutex::new(state),
        });
        // From here on there is a queue, which ends its workers when it is dropped.
        let queue = JobQueue { shared: Arc::clone(&shared), threads: Mutex::default() };
        let job = Arc::new(job);
        for number in 1..=self.workers {
            let (shared, job) = (Arc::clone(&shared), Arc::clone(&job));
            let guard = shared.workers.guard();
            let name = format!("{} {number}", shared.name);
            let thread = thread::Builder::new().name(name).spawn(move || {
                shared.work(&*job);
                discard((shared, job));
                drop(guard);
            })?;
            crate::sync::lock(&queue.threads).push(thread);
        }
        Ok(queue)
    }
}

impl<T> fmt::Debug for JobQueueBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobQueueBuilder")
            .field("name", &self.name)
            .field("capacity", &self.capacity)
            .field("workers", &self.workers)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}
