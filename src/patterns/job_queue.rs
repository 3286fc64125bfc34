//! Background jobs: a bounded queue, some workers, and an end at which every item is done or given back.
//!
//! ```text
//!              try_submit                     a worker takes it, at its pace
//!   (caller) ──────────────> queued ─────────────────────────────────────────> running ──> finished
//!      │                       │                                                  │
//!      │ full, stopping        │ the deadline of a stop comes first               │ error, panic
//!      v                       v                                                  v
//!   Rejected(item)          on_unfinished(item, NotBegun)      on_unfinished(item, Failed | Panicked)
//!                                          └──────────> Kept | Lost <──────────┘
//! ```
//!
//! An item is always somebody's: the caller's, the channel's, a worker's, or the hook's. A stop closes the channel, so
//! the workers end by themselves once it is empty; at its deadline their context ends, and what they have not begun is
//! taken out and given back.

mod builder;
mod unfinished;

use std::{
    fmt,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender};

pub use self::{
    builder::JobQueueBuilder,
    unfinished::{Unfinished, UnfinishedItem},
};
use super::{Rejected, pace::Pace};
use crate::{
    Cause, Context, WaitGroup,
    group::{Drain, Drained, TaskResult},
    isolation::{contain::catch, joining::join_until, journal},
    sync::lock,
};

/// How long a stop waits, after its deadline, for jobs that heed their context: to return takes them moments, and a
/// stop that its caller has bounded must not take much longer.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A bounded queue of items of one type, and the threads that do a job with each.
///
/// Nothing is lost without a word: an item is finished, or given back by [`try_submit`](JobQueue::try_submit), or handed
/// to the hook of [`on_unfinished`](JobQueueBuilder::on_unfinished) with the reason. The hook says whether the item is
/// kept; a stop counts kept items as [given back](Drained::given_back), and the other ones as left. The one exception is an item that a
/// job still has when a stop must return: it stays with that job, whose thread is left behind, and is counted as left;
/// if the job ends badly later, the hook is still called.
///
/// # Stopping
///
/// [`drain`](Drain::drain) in this order: refuses new items; tells the jobs' contexts (`stopping()`); waits until the
/// queue is empty and all jobs have returned; at the deadline, ends the contexts with [`Cause::Stopping`], gives back
/// what has not begun, and waits 100 ms at most for the jobs that return now.
/// It does not wait for a job that ignores all that. It is not undone: a queue that was drained takes nothing again.
///
/// A queue that is dropped without a drain does the same without waiting: what has not begun is given back at once, on
/// the thread that drops it, the contexts end, and it is logged if anything was left.
///
/// # Examples
///
/// ```
/// use std::{sync::mpsc, time::{Duration, Instant}};
/// use softstop::{Cause, Context, group::Drain, patterns::{JobQueue, Rejected, UnfinishedItem}};
///
/// let (unfinished, given_back) = mpsc::channel();
/// let queue = JobQueue::builder("greetings")
///     .capacity(100)
///     .workers(2)
///     .on_unfinished(move |name: String, why| match unfinished.send((name, why)) {
///         Ok(()) => UnfinishedItem::Kept,
///         Err(_) => UnfinishedItem::Lost,
///     })
///     .start(|name: &mut String, context: &Context| -> Result<(), Cause> {
///         context.check()?;
///         println!("Hello, {name}!");
///         Ok(())
///     })?;
/// queue.try_submit("Ada".to_owned()).unwrap();
///
/// let drained = queue.drain(Instant::now() + Duration::from_secs(5));
/// assert!(drained.is_clean(), "{drained}");
/// assert_eq!(queue.try_submit("Bob".to_owned()), Err(Rejected::Stopping("Bob".to_owned())));
/// assert!(given_back.try_recv().is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct JobQueue<T: Send + 'static> {
    shared: Arc<Shared<T>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What a [`JobQueue`] has at the moment (`queued`, `running`) and has had since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct JobMetrics {
    /// Items that wait, for a worker or for their turn, or that a stop is giving back.
    pub queued: u64,
    /// Jobs that run, and those whose unfinished item the hook has at the moment.
    pub running: u64,
    /// Jobs that returned without an error.
    pub finished: u64,
    /// Jobs that returned an error.
    pub failed: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Items given back at a stop without a job having begun.
    pub not_begun: u64,
    /// Of the items that failed, panicked or were not begun: those that the hook has kept.
    pub kept: u64,
    /// Items that were not taken, the queue being full or stopping.
    pub rejected: u64,
}

struct Shared<T> {
    name: String,
    capacity: u64,
    on_unfinished: Hook<T>,
    items: Receiver<T>,
    /// Of all jobs, and the hint that tells them of a stop.
    context: Context,
    hint: Context,
    /// A guard for each worker.
    workers: WaitGroup,
    state: Mutex<State<T>>,
}

type Hook<T> = Box<dyn Fn(T, Unfinished) -> UnfinishedItem + Send + Sync>;

struct State<T> {
    intake: Intake<T>,
    pace: Option<Pace>,
    metrics: JobMetrics,
}

enum Intake<T> {
    Open(Sender<T>),
    /// By a stop with that deadline, the strictest so far.
    Closed(Instant),
}

impl JobQueue<()> {
    /// A queue of that name, which its threads and log messages have; nothing runs until it is
    /// [started](JobQueueBuilder::start), and its type is that of the job's item.
    pub fn builder<T: Send + 'static>(name: impl Into<String>) -> JobQueueBuilder<T> {
        JobQueueBuilder::new(name.into())
    }
}

impl<T: Send + 'static> JobQueue<T> {
    /// Hands an item in. Never blocks.
    ///
    /// # Errors
    ///
    /// The item, if as many as may wait do so already, or if the queue is stopping.
    pub fn try_submit(&self, item: T) -> Result<(), Rejected<T>> {
        let mut state = lock(&self.shared.state);
        let State { intake, metrics, .. } = &mut *state;
        let rejected = match intake {
            Intake::Closed(_) => Rejected::Stopping(item),
            // Those that a worker holds until their turn count, too: they are in no channel, but they wait.
            Intake::Open(_) if metrics.queued >= self.shared.capacity => Rejected::Full(item),
            Intake::Open(items) => match items.try_send(item) {
                Ok(()) => {
                    metrics.queued += 1;
                    return Ok(());
                }
                Err(error) => Rejected::Full(error.into_inner()),
            },
        };
        metrics.rejected += 1;
        Err(rejected)
    }

    /// Whether it takes nothing any more: a stop has begun, or is over.
    pub fn is_closed(&self) -> bool {
        matches!(lock(&self.shared.state).intake, Intake::Closed(_))
    }

    /// What there is, and was: a snapshot, consistent in itself.
    pub fn metrics(&self) -> JobMetrics {
        lock(&self.shared.state).metrics
    }

    /// Joins the threads, whose guards are gone: what is left to them are the destructors of thread-locals, which may block.
    fn join(&self, deadline: Instant) {
        let threads = std::mem::take(&mut *lock(&self.threads));
        join_until(threads, deadline.max(Instant::now() + LAST_WORDS));
    }
}

impl<T: Send + 'static> Drain for JobQueue<T> {
    fn drain(&self, deadline: Instant) -> Drained {
        let shared = &self.shared;
        let before = shared.close(deadline);
        shared.hint.cancel(Cause::Stopping);
        if !shared.workers.wait_deadline(deadline) {
            shared.context.cancel(Cause::Stopping);
            shared.hand_back_the_rest();
            shared.workers.wait_timeout(LAST_WORDS);
        }
        if shared.workers.is_zero() {
            self.join(deadline);
        }
        let after = self.metrics();
        // An item leaves `queued` and `running` in the step that counts its end. So each of these was in `before`.
        let (finished, given_back) = (after.finished - before.finished, after.kept - before.kept);
        Drained { finished, given_back, left: before.queued + before.running - finished - given_back }
    }
}

impl<T: Send + 'static> Drop for JobQueue<T> {
    fn drop(&mut self) {
        let shared = &self.shared;
        if self.is_closed() {
            return;
        }
        let JobMetrics { queued, running, .. } = shared.close(Instant::now());
        shared.context.cancel(Cause::Stopping);
        shared.hand_back_the_rest();
        if queued + running > 0 {
            journal::warn!(
                "{}: dropped without a drain: {queued} items given back, {running} jobs told to end",
                shared.name
            );
        }
    }
}

impl<T: Send + 'static> Shared<T> {
    /// Takes nothing any more; how things are at that moment.
    fn close(&self, deadline: Instant) -> JobMetrics {
        let mut state = lock(&self.state);
        let strictest = match state.intake {
            Intake::Open(_) => deadline,
            Intake::Closed(known) => known.min(deadline),
        };
        // This drops the only sender: workers get what is in the channel, and then its end.
        state.intake = Intake::Closed(strictest);
        state.metrics
    }

    fn hand_back_the_rest(&self) {
        self.items.try_iter().for_each(|item| self.hand_back(item));
    }

    fn hand_back(&self, item: T) {
        let kept = self.unfinished(item, Unfinished::NotBegun);
        self.count(|metrics| {
            metrics.queued -= 1;
            metrics.not_begun += 1;
            metrics.kept += kept;
        });
    }

    /// A worker's life.
    fn work<R: TaskResult>(&self, job: &impl Fn(&mut T, &Context) -> R) {
        for item in &self.items {
            if self.wait_for_its_turn() {
                self.run(item, job);
            } else {
                self.hand_back(item);
            }
        }
    }

    /// False if a stop's deadline comes before the next job may begin.
    fn wait_for_its_turn(&self) -> bool {
        let turn = {
            let mut state = lock(&self.state);
            let State { intake, pace: Some(pace), .. } = &mut *state else {
                return !self.context.is_cancelled();
            };
            pace.reserve(Instant::now(), intake.deadline())
        };
        let Some(turn) = turn else { return false };
        let left = || turn.saturating_duration_since(Instant::now());
        if self.hint.sleep(left()).is_ok() {
            return true;
        }
        // A stop began meanwhile. The pace holds until its deadline, and there is no waiting for what comes later.
        let in_time = lock(&self.state).intake.deadline().is_none_or(|deadline| turn < deadline);
        in_time && self.context.sleep(left()).is_ok()
    }

    fn run<R: TaskResult>(&self, mut item: T, job: &impl Fn(&mut T, &Context) -> R) {
        self.count(|metrics| {
            metrics.queued -= 1;
            metrics.running += 1;
        });
        // A child: a job may end its own context, but not that of the others.
        let context = self.context.child();
        // Unwind safety: the item goes to the hook, which is told; what else the job shares is its own affair.
        let result = catch(|| job(&mut item, &context).into_result()).ok();
        let (why, of): (_, fn(&mut JobMetrics) -> &mut u64) = match result {
            Some(Ok(())) => return self.finished(item),
            Some(Err(message)) => (Unfinished::Failed(message), |metrics| &mut metrics.failed),
            None => (Unfinished::Panicked, |metrics| &mut metrics.panicked),
        };
        let kept = self.unfinished(item, why);
        self.count(|metrics| {
            metrics.running -= 1;
            *of(metrics) += 1;
            metrics.kept += kept;
        });
    }

    fn finished(&self, item: T) {
        self.count(|metrics| {
            metrics.running -= 1;
            metrics.finished += 1;
        });
        // What the item does when it is dropped is the caller's too, and must not take the worker with it.
        if catch(|| drop(item)).is_err() {
            journal::error!("{}: a finished item panicked when it was dropped", self.name);
        }
    }

    /// Hands an item to the hook. Returns how many items are kept by that: one or none.
    fn unfinished(&self, item: T, why: Unfinished) -> u64 {
        match catch(|| (self.on_unfinished)(item, why)).ok() {
            Some(UnfinishedItem::Kept) => 1,
            Some(UnfinishedItem::Lost) => 0,
            None => {
                journal::error!("{}: the hook for unfinished items panicked, and an item is lost", self.name);
                0
            }
        }
    }

    fn count(&self, change: impl FnOnce(&mut JobMetrics)) {
        change(&mut lock(&self.state).metrics);
    }
}

impl<T> Intake<T> {
    fn deadline(&self) -> Option<Instant> {
        match *self {
            Intake::Open(_) => None,
            Intake::Closed(deadline) => Some(deadline),
        }
    }
}

impl<T: Send + 'static> fmt::Debug for JobQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, metrics) = (&self.shared.name, self.metrics());
        f.debug_struct("JobQueue").field("name", name).field("metrics", &metrics).finish_non_exhaustive()
    }
}
