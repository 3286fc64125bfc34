//! Counts running work, so that a stop knows when nothing is left.
//!
//! One atomic word holds the count and, in its lowest bit, whether somebody waits. Taking and dropping a guard only changes this
//! word. Waiters take a lock, and so does the one drop that has to wake them.
//!
//! ```text
//!                guard()                        drop                  register (while holding the lock)
//!   n ─────────────────────> n+1     n+1 ─────────────────> n       n>0 ──────────────────────> n>0, WAITING
//!                                    1, WAITING ──────────> 0
//! ```
//!
//! The last transition is essential: one atomic operation takes the count to zero and clears the bit. So a thread that holds the
//! lock and finds the bit cleared knows that the count was zero for all waiters in the waiters. This holds even if the thread that
//! dropped the last guard has not locked the waiters yet, and even if new guards exist by then.

use std::{
    fmt, mem,
    time::{Duration, Instant},
};

use crate::{
    stop::run_callback,
    sync::{Arc, AtomicUsize, Condvar, Mutex, Ordering, lock, wait},
};

/// Set while somebody waits for zero.
const WAITING: usize = 1;
/// One guard.
const ONE: usize = 2;

type ZeroCallback = Box<dyn FnOnce() + Send>;

/// Counts running work, so that others can wait until there is none.
///
/// Each [`WaitGuard`] counts as one, from [`guard`](WaitGroup::guard) until it is dropped. A return, a `?` and a panic all drop it.
/// A clone of the group is another handle of the same counter. In a [`Group`](crate::Group), a wait group can be drained
/// between two stages.
///
/// # Guaranteed
///
/// - Taking or dropping a guard is one atomic operation on the counter, and takes no lock. Only the drop of the last guard takes
///   a lock, and only if somebody waits.
/// - What a thread did before it dropped its guard is visible to a thread that has waited for zero.
/// - The counter can leave zero and reach it again, as often as needed. A thread that was waiting when the counter reached zero
///   returns, even if new guards exist by then.
///
/// # Not guaranteed
///
/// - [`count`](WaitGroup::count) and [`is_zero`](WaitGroup::is_zero) are snapshots: the count may change at once.
///
/// # Your part
///
/// Take a guard *before* the work starts, usually before the thread that does it is spawned. A guard that is taken later leaves
/// a gap, in which the count may be zero too early.
///
/// # In comparison
///
/// | type | difference |
/// | --- | --- |
/// | [`std::sync::Barrier`] | waits until a fixed number of threads has *arrived*, and each of them waits |
/// | crossbeam's `WaitGroup` | `wait` consumes the handle, has no deadline, and calls no callback |
/// | Go's `sync.WaitGroup` | `Add` and `Done` are explicit: a missing `Done` waits for ever, one too many panics |
///
/// # Examples
///
/// ```
/// use std::{thread, time::{Duration, Instant}};
/// use softstop::WaitGroup;
///
/// let work = WaitGroup::new();
/// for _ in 0..3 {
///     let guard = work.guard();
///     thread::spawn(move || {
///         // The work is here. A return, a `?` or a panic drops the guard.
///         drop(guard);
///     });
/// }
/// assert!(work.wait_deadline(Instant::now() + Duration::from_secs(30)));
/// assert_eq!(work.count(), 0);
/// ```
#[derive(Clone, Default)]
pub struct WaitGroup {
    guards: Arc<Guards>,
}

/// Counts as one in its [`WaitGroup`] until it is dropped. A clone counts as another one.
///
/// # Examples
///
/// ```
/// let group = softstop::WaitGroup::new();
/// let guard = group.guard();
/// let other = guard.clone();
/// assert_eq!(group.count(), 2);
/// drop((guard, other));
/// assert!(group.is_zero());
/// ```
pub struct WaitGuard {
    guards: Arc<Guards>,
}

/// The state that all handles and guards of one group share.
#[derive(Default)]
struct Guards {
    /// Guards times [`ONE`], plus [`WAITING`].
    state: AtomicUsize,
    waiters: Mutex<Waiters>,
    zero: Condvar,
}

#[derive(Default)]
struct Waiters {
    /// Grows with each zero that somebody waited for. A waiter returns when the generation is not the one in which it began to
    /// wait.
    generation: u64,
    /// Callbacks of this generation: they wait for the next zero.
    registered: Vec<ZeroCallback>,
    /// Callbacks of former generations: the drop that reached zero is going to take and call them.
    due: Vec<ZeroCallback>,
}

impl WaitGroup {
    /// Makes a counter at zero.
    pub fn new() -> WaitGroup {
        WaitGroup::default()
    }

    /// Adds one to the count, until the returned guard is dropped.
    pub fn guard(&self) -> WaitGuard {
        WaitGuard::new(&self.guards)
    }

    /// Adds one to the count, but not to a count of zero: a caller must not add work after all work has ended.
    #[cfg(not(loom))]
    pub(crate) fn guard_unless_zero(&self) -> Option<WaitGuard> {
        let add = |state| (state >= ONE).then_some(state + ONE);
        let guards = Arc::clone(&self.guards);
        guards.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, add).ok()?;
        Some(WaitGuard { guards })
    }

    /// The number of guards. A snapshot: the number may have changed when the caller sees it.
    pub fn count(&self) -> usize {
        self.guards.state.load(Ordering::Acquire) / ONE
    }

    /// Whether there is no guard. If this returns `true`, the caller sees all that was done before the last guard was dropped.
    pub fn is_zero(&self) -> bool {
        self.count() == 0
    }

    /// Blocks until there is no guard. Returns at once if there is none.
    pub fn wait(&self) {
        self.wait_until(None);
    }

    /// Blocks until there is no guard, but not longer than until `deadline`. Returns `true` if the count was zero, and `false` if
    /// the deadline passed first. With a deadline in the past, this does not block.
    pub fn wait_deadline(&self, deadline: Instant) -> bool {
        self.wait_until(Some(deadline))
    }

    /// Blocks until there is no guard, but for at most `timeout`: see [`wait_deadline`](WaitGroup::wait_deadline). If the end of
    /// the time-out is more than an [`Instant`] can hold, this waits without a limit.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_until(Instant::now().checked_add(timeout))
    }

    /// Registers a callback that runs once when there is no guard. If there is none now, the callback runs now, on this thread.
    /// Otherwise it runs on the thread that drops the last guard.
    ///
    /// **Guaranteed:** callbacks run in the order in which they were registered. No lock is held, so a callback may use this
    /// group. A panic of a callback is caught and logged.
    ///
    /// **Your part:** the callback must be short and must not block, because that thread has work of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// let group = softstop::WaitGroup::new();
    /// let guard = group.guard();
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// group.on_zero(move || sender.send("all done").unwrap());
    /// drop(guard);
    /// assert_eq!(receiver.recv(), Ok("all done"));
    /// ```
    pub fn on_zero(&self, callback: impl FnOnce() + Send + 'static) {
        let mut waiters = lock(&self.guards.waiters);
        if self.guards.register(&mut waiters).is_some() {
            waiters.registered.push(Box::new(callback));
        } else {
            drop(waiters);
            run_callback(callback);
        }
    }

    fn wait_until(&self, deadline: Option<Instant>) -> bool {
        if self.is_zero() {
            return true;
        }
        let mut waiters = lock(&self.guards.waiters);
        let Some(generation) = self.guards.register(&mut waiters) else { return true };
        loop {
            self.guards.settle(&mut waiters);
            if waiters.generation != generation {
                return true;
            }
            waiters = match wait(&self.guards.zero, waiters, deadline) {
                Ok(waiters) => waiters,
                Err(_) => return false,
            };
        }
    }
}

impl Guards {
    /// Sets [`WAITING`], so that the drop that reaches zero takes the lock. Returns the current generation, which that drop ends.
    /// `None` if the count is zero now.
    fn register(&self, waiters: &mut Waiters) -> Option<u64> {
        let set = |state| (state >= ONE).then_some(state | WAITING);
        let state = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, set).ok()?;
        if state & WAITING == 0 {
            // A cleared bit means that the waiters that are registered have had their zero, though no thread has settled it.
            // From now on the bit stands for new waiters, so settle the earlier ones first.
            waiters.advance();
        }
        Some(waiters.generation)
    }

    /// Ends the generation, if the count was zero since its first waiter registered.
    fn settle(&self, waiters: &mut Waiters) {
        if self.state.load(Ordering::Acquire) & WAITING == 0 {
            waiters.advance();
        }
    }

    /// Wakes the waiters and calls the callbacks, after a drop that reached zero while somebody waited.
    #[cold]
    fn reached_zero(&self) {
        let mut waiters = lock(&self.waiters);
        self.settle(&mut waiters);
        let due = mem::take(&mut waiters.due);
        drop(waiters);
        self.zero.notify_all();
        due.into_iter().for_each(run_callback);
    }
}

impl Waiters {
    fn advance(&mut self) {
        self.generation += 1;
        self.due.append(&mut self.registered);
    }
}

impl WaitGuard {
    fn new(guards: &Arc<Guards>) -> WaitGuard {
        let guards = Arc::clone(guards);
        guards.state.fetch_add(ONE, Ordering::Relaxed);
        WaitGuard { guards }
    }
}

impl Clone for WaitGuard {
    fn clone(&self) -> WaitGuard {
        WaitGuard::new(&self.guards)
    }
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        const LAST_WAITED_FOR: usize = ONE | WAITING;
        // Release: publishes what this thread did. Acquire: makes visible what the threads of the other guards did, for the
        // callbacks.
        let previous = self.guards.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |state| {
            Some(if state == LAST_WAITED_FOR { 0 } else { state - ONE })
        });
        if previous == Ok(LAST_WAITED_FOR) {
            self.guards.reached_zero();
        }
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WaitGroup").field("count", &self.count()).finish()
    }
}

impl fmt::Debug for WaitGuard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WaitGuard").finish_non_exhaustive()
    }
}
