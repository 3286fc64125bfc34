//! A single owner: state that one thread has, and calls that are sent to it. There is no lock around the state, and each
//! caller has an answer within its time limit.
//!
//! ```text
//!   call ──> room ──> mailbox ──> the owner takes it ──> runs ──> answer
//!             │          │                        │
//!     the time limit is over:              the time limit is over: Begun. The call runs to its end, and
//!       Full       Cancelled               its answer is dropped
//!             v          v
//!        taken back, never runs
//! ```
//!
//! Whether a call runs is decided in one place. The call lies in a slot that both sides can reach. The side that takes it out
//! has it: the owner to run it, or the caller to take it back. The mailbox and its end are in `worker_queue`.

mod builder;
mod call;
mod queued_call;

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crossbeam_channel::{bounded, select_biased};

use self::queued_call::{Body, Origin, PANICKED, QueuedCall, run};
pub use self::{
    builder::OwnerBuilder,
    call::{CallError, OwnerMetrics, WaitingCalls},
};
use super::worker_queue::{Counters, Fate, NoPermit, Waiting, WorkerQueue};
use crate::{
    Cause, Context, Refused,
    group::{Drain, Drained},
    sync::lock,
};

/// State that one thread owns, and to which work is delegated: [`call`](Owner::call) waits for an answer,
/// [`tell`](Owner::tell) does not.
///
/// Guaranteed:
/// - Calls run one after another, in the order in which they were sent. There is no data race.
/// - A caller has its answer, or the reason why there is none, within its time limit. The reason says whether the call runs.
/// - A call that panics does not end the owner.
///
/// Not guaranteed:
/// - That a call is undone when its caller gives up: a call that has begun runs to its end.
/// - That the state is whole after a panic: it is as the call left it.
///
/// Your part:
/// - Change the state in the last steps of a call that may panic, or have the next call check the state.
/// - Do not call an owner from within a call to the same owner: it could only wait for itself until its time limit.
/// - Stop the owner after the servers that use it have stopped.
///
/// # Stopping
///
/// [`stop`](Owner::stop) and [`drain`](Drain::drain), in this order:
/// 1. New calls are refused.
/// 2. The calls in the mailbox run or are dropped, as [`WaitingCalls`] says.
/// 3. At the deadline all calls that have not begun are dropped.
/// 4. A call that ends within 100 ms is waited for. A call that runs longer is left behind with its thread.
///
/// The caller of a dropped call gets [`CallError::Stopping`]. Where no caller waits, because it was a `tell`, the hook of
/// [`on_dropped`](OwnerBuilder::on_dropped) is called.
///
/// An owner that is dropped without a stop drops all calls that have not begun, and does not wait. If there were any, a
/// warning is logged.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
/// use softstop::{Context, patterns::Owner};
///
/// let accounts = Owner::builder("accounts").start(vec![100, 0])?;
/// let (context, time_limit) = (Context::new(), Duration::from_secs(30));
/// let balance = accounts.call(&context, time_limit, |accounts| {
///     accounts[0] -= 30;
///     accounts[1] += 30;
///     accounts[1]
/// });
/// assert_eq!(balance, Ok(30));
///
/// let accounts = accounts.stop(Instant::now() + Duration::from_secs(5));
/// assert_eq!(accounts, Some(vec![70, 30]));
/// # Ok::<(), softstop::Error>(())
/// ```
pub struct Owner<S: Send + 'static> {
    mailbox: WorkerQueue<QueuedCall<S>>,
    waiting_calls: WaitingCalls,
    /// The state, once the thread has ended.
    remains: Arc<Mutex<Option<S>>>,
}

impl Owner<()> {
    /// Begins to configure an owner. The thread and the log lines have its name. The owner gets its state, and runs, from
    /// [`start`](OwnerBuilder::start) on.
    pub fn builder(name: impl Into<String>) -> OwnerBuilder {
        OwnerBuilder::new(name.into())
    }
}

impl<S: Send + 'static> Owner<S> {
    /// Has the owner run the call, and waits for room in the mailbox and for the answer: for both together no longer than
    /// the time limit, and not beyond the end of the context. The context is usually that of the request.
    ///
    /// # Errors
    ///
    /// [`CallError`] says why there is no answer, and whether the call runs all the same.
    pub fn call<R: Send + 'static>(
        &self,
        context: &Context,
        time_limit: Duration,
        call: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> Result<R, CallError> {
        context.check().map_err(CallError::Cancelled)?;
        let deadline = Instant::now().checked_add(time_limit);
        let permit = self.mailbox.wait_for_permit(context, time_limit).map_err(|why| match why {
            NoPermit::Full => CallError::Full,
            NoPermit::Stopping => CallError::Stopping,
            NoPermit::Cancelled(cause) => CallError::Cancelled(cause),
        })?;
        let slot = Arc::new(Mutex::new(Some(call)));
        let (reply, answer) = bounded(1);
        let body: Body<S> = Box::new({
            let slot = Arc::clone(&slot);
            move |state| {
                let Some(call) = lock(&slot).take() else { return Fate::TakenBack };
                let result = run(call, state);
                let ended = if result.is_ok() { Fate::Finished } else { PANICKED };
                // The caller may have gone.
                _ = reply.send(result);
                ended
            }
        });
        self.mailbox.push(permit, body, |run| QueuedCall { run, origin: Origin::Call })?;
        let left = deadline.map_or(time_limit, |deadline| deadline.saturating_duration_since(Instant::now()));
        let cause = select_biased! {
            recv(answer) -> answer => return answer.unwrap_or(Err(CallError::Stopping)),
            recv(context.done()) -> _ => context.cause().unwrap_or(Cause::DeadlineExceeded),
            default(left) => Cause::DeadlineExceeded,
        };
        let taken_back = lock(&slot).take();
        match taken_back {
            Some(_) => Err(CallError::Cancelled(cause)),
            // The call may have ended just now.
            None => answer.try_recv().unwrap_or(Err(CallError::Begun(cause))),
        }
    }

    /// Has the owner run the call some time. Never waits, not even for room.
    ///
    /// `Ok` means that the call is in the mailbox. If a stop drops the call later, the hook of
    /// [`on_dropped`](OwnerBuilder::on_dropped) is called.
    ///
    /// # Errors
    ///
    /// [`Refused`] gives the call back, which does not run: `Full` if the mailbox is full, `Stopping` if the owner is
    /// stopping.
    pub fn tell<F: FnOnce(&mut S) + Send + 'static>(&self, call: F) -> Result<(), Refused<F>> {
        self.mailbox.try_push(call, |call| {
            let run: Body<S> = Box::new(|state| match run(call, state) {
                Ok(()) => Fate::Finished,
                Err(_) => PANICKED,
            });
            QueuedCall { run, origin: Origin::Tell }
        })
    }

    /// Whether a stop has begun or is over, so that nothing is taken any more.
    pub fn is_closed(&self) -> bool {
        self.mailbox.is_closed()
    }

    /// A snapshot of the counters, consistent in itself.
    pub fn metrics(&self) -> OwnerMetrics {
        let Counters { queued, running, finished, panicked, taken_back, not_begun, refused, .. } =
            self.mailbox.counters();
        OwnerMetrics {
            queued,
            running,
            finished,
            panicked,
            cancelled: taken_back,
            dropped: not_begun,
            refused,
        }
    }

    /// Stops the owner as [`drain`](Drain::drain) does, and returns its state.
    ///
    /// `None` has one of two reasons:
    /// - A call still runs. Its thread is left behind with the state. A later `stop` returns the state, if the call has
    ///   ended by then.
    /// - An earlier `stop` has returned the state.
    pub fn stop(&self, deadline: Instant) -> Option<S> {
        self.drain(deadline);
        lock(&self.remains).take()
    }
}

impl<S: Send + 'static> Drain for Owner<S> {
    /// A call that its caller has taken back does not count as left, because nobody wants it any more.
    fn drain(&self, deadline: Instant) -> Drained {
        let waiting = match self.waiting_calls {
            WaitingCalls::Run => Waiting::WorkOff,
            WaitingCalls::Drop => Waiting::GiveBack,
        };
        self.mailbox.drain(deadline, waiting)
    }
}

impl<S: Send + 'static> fmt::Debug for Owner<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, metrics) = (self.mailbox.name(), self.metrics());
        f.debug_struct("Owner").field("name", &name).field("metrics", &metrics).finish_non_exhaustive()
    }
}
