//! Counts what is still at work, so that a stop knows when the last of it is done.
//!
//! One word holds the count and, in its lowest bit, whether somebody waits. Guards only touch that word; the lock
//! behind it is for waiters, and for the one drop that has to wake them.
//!
//! ```text
//!                guard()                        drop                      register (under the lock)
//!   n ─────────────────────> n+1     n+1 ─────────────────> n       n>0 ──────────────────────> n>0, WAITING
//!                                    1, WAITING ──────────> 0
//! ```
//!
//! The last step is what everything rests on: the count reaches zero and the bit is cleared in one go. So, seen from
//! under the lock, a cleared bit means that everybody in the queue has had their zero, even if the thread that
//! brought it about has not come to the lock yet, and even if new guards exist by now.

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

type Callback = Box<dyn FnOnce() + Send>;

/// A counter of running work that can be waited for.
///
/// Every [`WaitGuard`] counts one from [`guard`](WaitGroup::guard) until it is dropped, be it by a return, a `?` or a
/// panic. Clones are handles of the same counter. Taking a guard and dropping it are one atomic operation each on
/// the counter, and never take a lock; only the drop that reaches zero does, and only if somebody waits.
///
/// The count may leave zero again: the counter is not used up. Whoever waited while it was zero returns, even if
/// new guards came before that thread got to run; whoever begins to wait after they came waits for the next zero.
///
/// # In comparison
///
/// * [`std::sync::Barrier`] waits until a number fixed beforehand has *arrived*, and everybody waits; here the number
///   changes all the time, and those who work never wait.
/// * crossbeam's `WaitGroup` is a guard and the waiter in one: `wait` consumes it, so it can neither be asked twice
///   nor be given up at a deadline, and it cannot call back.
/// * Go's `sync.WaitGroup` has explicit `Add` and `Done`: a forgotten `Done` waits for ever, and one too many panics.
///   A guard can do neither.
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
///         // ... and when this is over, by whatever way:
///         drop(guard);
///     });
/// }
/// assert!(work.wait_deadline(Instant::now() + Duration::from_secs(30)));
/// assert_eq!(work.count(), 0);
/// ```
#[derive(Clone, Default)]
pub struct WaitGroup {
    shared: Arc<Shared>,
}

/// Counts one in its [`WaitGroup`] until it is dropped. A clone counts another one.
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
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Guards times [`ONE`], plus [`WAITING`].
    state: AtomicUsize,
    queue: Mutex<Queue>,
    zero: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Rises with every zero that somebody waited for: a waiter is done when it is no longer the one it came in.
    generation: u64,
    /// Callbacks of this generation, which wait for a zero.
    registered: Vec<Callback>,
    /// Callbacks of former generations, which the drop that reached zero has yet to collect.
    due: Vec<Callback>,
}

impl WaitGroup {
    /// A counter at zero.
    pub fn new() -> WaitGroup {
        WaitGroup::default()
    }

    /// Counts one more, until the guard is dropped.
    pub fn guard(&self) -> WaitGuard {
        WaitGuard::new(&self.shared)
    }

    /// Counts one more, but not from zero: for whoever must not revive what has ended.
    #[cfg(not(loom))]
    pub(crate) fn guard_unless_zero(&self) -> Option<WaitGuard> {
        let add = |state| (state >= ONE).then_some(state + ONE);
        let shared = Arc::clone(&self.shared);
        shared.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, add).ok()?;
        Some(WaitGuard { shared })
    }

    /// How many guards there are. A snapshot: it may be outdated when it is looked at.
    pub fn count(&self) -> usize {
        self.shared.state.load(Ordering::Acquire) / ONE
    }

    /// Whether there is no guard. What was done before the last of them was dropped is visible after `true`.
    pub fn is_zero(&self) -> bool {
        self.count() == 0
    }

    /// Blocks until there is no guard; not at all if there is none now.
    pub fn wait(&self) {
        self.wait_until(None);
    }

    /// As [`wait`](WaitGroup::wait), but gives up at the deadline: `true` if zero was reached, `false` if not. A
    /// deadline in the past asks without blocking.
    pub fn wait_deadline(&self, deadline: Instant) -> bool {
        self.wait_until(Some(deadline))
    }

    /// As [`wait_deadline`](WaitGroup::wait_deadline), that much time from now. A time-out beyond what an
    /// [`Instant`] can tell is none.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_until(Instant::now().checked_add(timeout))
    }

    /// Has the callback run once when there is no guard: here and now if there is none, or else by whoever drops the
    /// last one, on that thread, which it should not keep for long. No lock is held meanwhile, so it may use this
    /// group like anybody else. Callbacks run in the order in which they were registered. A panic in one is caught
    /// and logged.
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
        let mut queue = lock(&self.shared.queue);
        if self.shared.register(&mut queue).is_some() {
            queue.registered.push(Box::new(callback));
        } else {
            drop(queue);
            run_callback(callback);
        }
    }

    fn wait_until(&self, deadline: Option<Instant>) -> bool {
        if self.is_zero() {
            return true;
        }
        let mut queue = lock(&self.shared.queue);
        let Some(generation) = self.shared.register(&mut queue) else { return true };
        loop {
            self.shared.settle(&mut queue);
            if queue.generation != generation {
                return true;
            }
            queue = match wait(&self.shared.zero, queue, deadline) {
                Ok(queue) => queue,
                Err(_) => return false,
            };
        }
    }
}

impl Shared {
    /// Makes the next zero come to the lock, and tells the generation that it will end; `None` if it is zero now.
    fn register(&self, queue: &mut Queue) -> Option<u64> {
        let set = |state| (state >= ONE).then_some(state | WAITING);
        let state = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, set).ok()?;
        if state & WAITING == 0 {
            // There may be some in the queue whose zero is not settled; the bit is about to mean other ones.
            queue.advance();
        }
        Some(queue.generation)
    }

    /// Lets those who have had their zero go.
    fn settle(&self, queue: &mut Queue) {
        if self.state.load(Ordering::Acquire) & WAITING == 0 {
            queue.advance();
        }
    }

    /// Zero was reached while somebody waited.
    #[cold]
    fn reached_zero(&self) {
        let mut queue = lock(&self.queue);
        self.settle(&mut queue);
        let due = mem::take(&mut queue.due);
        drop(queue);
        self.zero.notify_all();
        due.into_iter().for_each(run_callback);
    }
}

impl Queue {
    fn advance(&mut self) {
        self.generation += 1;
        self.due.append(&mut self.registered);
    }
}

impl WaitGuard {
    fn new(shared: &Arc<Shared>) -> WaitGuard {
        let shared = Arc::clone(shared);
        shared.state.fetch_add(ONE, Ordering::Relaxed);
        WaitGuard { shared }
    }
}

impl Clone for WaitGuard {
    fn clone(&self) -> WaitGuard {
        WaitGuard::new(&self.shared)
    }
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        const LAST_WAITED_FOR: usize = ONE | WAITING;
        // Release: what was done under this guard. Acquire: what was done under the others, for the callbacks.
        let previous = self.shared.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |state| {
            Some(if state == LAST_WAITED_FOR { 0 } else { state - ONE })
        });
        if previous == Ok(LAST_WAITED_FOR) {
            self.shared.reached_zero();
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
