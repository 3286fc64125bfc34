//! A single owner: state that one thread has, and work that is sent to it. No lock, no data race, and an answer in
//! bounded time.
//!
//! ```text
//!   call ──> room ──> mailbox ──> the owner takes it ──> runs ──> answer
//!             │          │                        │
//!     the caller's time is over:           the caller's time is over: Begun. It runs to its end, and
//!       Full       Cancelled               nobody gets the answer
//!             v          v
//!        taken back, never runs
//! ```
//!
//! Room is a channel of permits, as many as the mailbox may hold. Who takes one may put a message into the mailbox;
//! who takes a message out puts the permit back.
//!
//! Whether a call runs is decided in one place: it lies in a slot that both sides can reach, and belongs to whoever takes
//! it out, the owner to run it or the caller to take it back.

mod builder;
mod call;
mod message;

use std::{
    fmt,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded, select_biased};

use self::message::{Body, Fate, Message, Origin, run};
pub use self::{
    builder::OwnerBuilder,
    call::{AtStop, CallError, OwnerMetrics},
};
use crate::{
    Cause, Context, WaitGroup,
    group::{Drain, Drained},
    isolation::{
        contain::{catch, discard},
        joining::join_until,
        journal,
    },
    sync::lock,
};

/// How long a thread that has put down its guard is waited for at least.
const LEAVING: Duration = Duration::from_millis(100);

/// State that is owned by one thread, to which work is delegated: [`call`](Owner::call) waits for an answer,
/// [`tell`](Owner::tell) does not.
///
/// Calls run one after another, in the order in which they were sent. One that panics is answered
/// [`CallError::Panicked`], and the owner goes on with the next one: with the state as it was left, possibly halfway
/// through a change. A closure that may panic should change the state in its last steps, or the one after it has to check.
///
/// A call made from within a call to the same owner can only wait for itself until its time is over.
///
/// # Stopping
///
/// [`stop`](Owner::stop) and [`drain`](Drain::drain) refuse new calls; then those in the mailbox run or are refused,
/// as [`AtStop`] says; at the deadline all that have not begun are refused. One that has begun runs to its end, but is
/// not waited for beyond the deadline. `stop` returns the state. An owner that is dropped without a stop refuses all
/// that has not begun, which is logged.
///
/// A refused call says so to its caller ([`CallError::Stopped`]). A refused `tell` has no caller that waits: the hook of
/// [`on_refused`](OwnerBuilder::on_refused) is told.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
/// use softstop::{Context, patterns::Owner};
///
/// let accounts = Owner::builder("accounts").start(vec![100, 0])?;
/// let (context, patience) = (Context::new(), Duration::from_secs(30));
/// let balance = accounts.call(&context, patience, |accounts| {
///     accounts[0] -= 30;
///     accounts[1] += 30;
///     accounts[1]
/// });
/// assert_eq!(balance, Ok(30));
///
/// let accounts = accounts.stop(Instant::now() + Duration::from_secs(5));
/// assert_eq!(accounts, Some(vec![70, 30]));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Owner<S: Send + 'static> {
    shared: Arc<Shared<S>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared<S> {
    name: String,
    on_stop: AtStop,
    on_refused: Box<dyn Fn() + Send + Sync>,
    mailbox: Receiver<Message<S>>,
    room: Receiver<()>,
    room_again: Sender<()>,
    /// Ends when the stop begins: nobody waits for room any more.
    closing: Context,
    /// Ends when no further call may begin.
    context: Context,
    /// One guard: the thread's.
    thread: WaitGroup,
    state: Mutex<State<S>>,
}

struct State<S> {
    /// Until a stop.
    intake: Option<Sender<Message<S>>>,
    metrics: OwnerMetrics,
    /// What the thread owned, once it has ended.
    remains: Option<S>,
}

impl Owner<()> {
    /// An owner of that name, which its thread and log messages have; it owns nothing until it is
    /// [started](OwnerBuilder::start).
    pub fn builder(name: impl Into<String>) -> OwnerBuilder {
        OwnerBuilder::new(name.into())
    }
}

impl<S: Send + 'static> Owner<S> {
    /// Has the owner run the call, and waits for room in the mailbox and for the answer: for both together no longer than
    /// that time, and not beyond the end of the context, which is usually that of the request.
    ///
    /// # Errors
    ///
    /// [`CallError`] says why there is no answer, and whether the call runs all the same.
    pub fn call<R: Send + 'static>(
        &self,
        context: &Context,
        timeout: Duration,
        call: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> Result<R, CallError> {
        context.check().map_err(CallError::Cancelled)?;
        let deadline = Instant::now().checked_add(timeout);
        self.wait_for_room(context, timeout)?;
        let slot = Arc::new(Mutex::new(Some(call)));
        let (reply, answer) = bounded(1);
        let body: Body<S> = Box::new({
            let slot = Arc::clone(&slot);
            move |state| {
                let Some(call) = lock(&slot).take() else { return Fate::Cancelled };
                let result = run(call, state);
                let fate = if result.is_ok() { Fate::Finished } else { Fate::Panicked };
                // Nobody may hear it any more.
                _ = reply.send(result);
                fate
            }
        });
        self.send(Message { body, origin: Origin::Call })?;
        let timeout = deadline.map_or(timeout, |deadline| deadline.saturating_duration_since(Instant::now()));
        let cause = select_biased! {
            recv(answer) -> answer => return answer.unwrap_or(Err(CallError::Stopped)),
            recv(context.done()) -> _ => context.cause().unwrap_or(Cause::DeadlineExceeded),
            default(timeout) => Cause::DeadlineExceeded,
        };
        let taken_back = lock(&slot).take();
        match taken_back {
            Some(_) => Err(CallError::Cancelled(cause)),
            // It may have come to its end just now.
            None => answer.try_recv().unwrap_or(Err(CallError::Begun(cause))),
        }
    }

    /// Has the owner run the call some time, and does not wait, not even for room.
    ///
    /// `Ok` means that the call is in the mailbox. If a stop refuses it later, the hook of
    /// [`on_refused`](OwnerBuilder::on_refused) is told.
    ///
    /// # Errors
    ///
    /// [`CallError::Full`] or [`CallError::Stopped`]: it does not run.
    pub fn tell(&self, call: impl FnOnce(&mut S) + Send + 'static) -> Result<(), CallError> {
        if self.shared.room.try_recv().is_err() {
            let error = if self.is_closed() { CallError::Stopped } else { CallError::Full };
            return Err(self.shared.rejected(error));
        }
        let body: Body<S> = Box::new(|state| match run(call, state) {
            Ok(()) => Fate::Finished,
            Err(_) => Fate::Panicked,
        });
        self.send(Message { body, origin: Origin::Tell })
    }

    /// Whether it takes nothing any more: a stop has begun, or is over.
    pub fn is_closed(&self) -> bool {
        lock(&self.shared.state).intake.is_none()
    }

    /// What there is, and was: a snapshot, consistent in itself.
    pub fn metrics(&self) -> OwnerMetrics {
        lock(&self.shared.state).metrics
    }

    /// Stops the owner and returns what it owned; `None` if at the deadline a call still runs (the thread is left
    /// behind, and the state is with it until a later call of this), or if somebody else has the state already.
    pub fn stop(&self, deadline: Instant) -> Option<S> {
        self.drain(deadline);
        lock(&self.shared.state).remains.take()
    }

    /// Takes a permit for the mailbox.
    fn wait_for_room(&self, context: &Context, timeout: Duration) -> Result<(), CallError> {
        let Shared { room, closing, .. } = &*self.shared;
        let error = select_biased! {
            recv(closing.done()) -> _ => CallError::Stopped,
            recv(room) -> _ => return Ok(()),
            recv(context.done()) -> _ => CallError::Cancelled(context.cause().unwrap_or(Cause::DeadlineExceeded)),
            default(timeout) => CallError::Full,
        };
        Err(self.shared.rejected(error))
    }

    /// Puts a message into the mailbox. The caller has a permit, so there is room.
    fn send(&self, message: Message<S>) -> Result<(), CallError> {
        let mut state = lock(&self.shared.state);
        let State { intake, metrics, .. } = &mut *state;
        let message = match intake {
            Some(mailbox) => match mailbox.try_send(message) {
                Ok(()) => {
                    metrics.queued += 1;
                    return Ok(());
                }
                Err(error) => error.into_inner(),
            },
            None => message,
        };
        drop(state);
        // After unlocking: what a call has captured is dropped with it.
        discard(message);
        Err(self.shared.rejected(CallError::Stopped))
    }
}

impl<S: Send + 'static> Drain for Owner<S> {
    /// A call that its caller has taken back is not left: nobody wants it any more.
    fn drain(&self, deadline: Instant) -> Drained {
        let shared = &self.shared;
        let before = shared.close();
        if shared.on_stop == AtStop::Refuse {
            shared.refuse_the_rest();
        }
        if !shared.thread.wait_deadline(deadline) {
            shared.refuse_the_rest();
        }
        if shared.thread.is_zero() {
            let thread = lock(&self.thread).take();
            // It has put down its guard: what is left to it are the destructors of thread-locals, which may block.
            join_until(thread.into_iter().collect(), deadline.max(Instant::now() + LEAVING));
        }
        let after = self.metrics();
        let finished = after.finished - before.finished;
        let cancelled = after.cancelled - before.cancelled;
        let left = before.queued + before.running - finished - cancelled;
        Drained { finished, left, ..Drained::default() }
    }
}

impl<S: Send + 'static> Drop for Owner<S> {
    fn drop(&mut self) {
        if !self.is_closed() {
            let OwnerMetrics { queued, .. } = self.shared.close();
            self.shared.refuse_the_rest();
            if queued > 0 {
                journal::warn!("{}: dropped without a stop: {queued} calls refused", self.shared.name);
            }
        }
    }
}

impl<S: Send + 'static> Shared<S> {
    /// Takes nothing any more; how things are at that moment.
    fn close(&self) -> OwnerMetrics {
        let metrics = {
            let mut state = lock(&self.state);
            // This drops the only sender: the thread gets what is in the mailbox, and then its end.
            state.intake = None;
            state.metrics
        };
        self.closing.cancel(Cause::Stopping);
        metrics
    }

    fn refuse_the_rest(&self) {
        self.context.cancel(Cause::Stopping);
        self.mailbox.try_iter().for_each(|message| self.refuse(message));
    }

    /// Drops a call that does not run. That tells its caller; where no caller waits, the hook is called.
    fn refuse(&self, message: Message<S>) {
        self.count(|metrics| {
            metrics.queued -= 1;
            metrics.refused += 1;
        });
        let origin = message.origin;
        discard(message);
        if origin == Origin::Tell && catch(|| (self.on_refused)()).is_err() {
            journal::error!("{}: the hook for refused calls panicked", self.name);
        }
    }

    /// Counts a call that was not taken.
    fn rejected(&self, error: CallError) -> CallError {
        self.count(|metrics| metrics.rejected += 1);
        error
    }

    /// The thread's life.
    fn own(&self, mut owned: S) {
        for message in &self.mailbox {
            if self.context.is_cancelled() {
                self.refuse(message);
                continue;
            }
            self.count(|metrics| {
                metrics.queued -= 1;
                metrics.running = 1;
            });
            // There are never more permits than the channel has room for.
            _ = self.room_again.try_send(());
            // The call itself is caught where it is run; this is for what it leaves behind.
            let fate = catch(|| (message.body)(&mut owned)).unwrap_or(Fate::Panicked);
            self.count(|metrics| {
                metrics.running = 0;
                *match fate {
                    Fate::Finished => &mut metrics.finished,
                    Fate::Panicked => &mut metrics.panicked,
                    Fate::Cancelled => &mut metrics.cancelled,
                } += 1;
            });
        }
        lock(&self.state).remains = Some(owned);
    }

    fn count(&self, change: impl FnOnce(&mut OwnerMetrics)) {
        change(&mut lock(&self.state).metrics);
    }
}

impl<S: Send + 'static> fmt::Debug for Owner<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, metrics) = (&self.shared.name, self.metrics());
        f.debug_struct("Owner").field("name", name).field("metrics", &metrics).finish_non_exhaustive()
    }
}
