//! The mechanism under [`JobQueue`](super::JobQueue) and [`Owner`](super::Owner): a bounded queue, the threads that work it
//! off, and an end at which every entry was done or given back.
//!
//! ```text
//!           a permit                    a worker takes it, and it may begin
//!   push ─────────────> queued ─────────────────────────────────────────────> running ──> Fate
//!     │ none              │
//!     v                   │ closed, and it may not begin any more
//!   Refused(entry)        └──────────────────────────────────────────────────> given back
//!
//!   Open ── close ──> Closed(deadline) ── the deadline ──> over: no entry begins any more
//! ```
//!
//! - **Room** is a channel of permits, as many as entries may wait. A caller needs a permit to push. The permit is put back
//!   when the entry begins, so an entry that a worker holds until its turn still takes room.
//! - **The end** needs no message to the workers. Closing drops the only sender, so each worker takes what is in the
//!   channel and then sees the end of the channel.
//! - **Nothing is lost**: an entry belongs to its caller, to the channel, to a worker, or to the hook `give_back`. An entry
//!   leaves `queued` and `running` in the same step that counts its end, so the counters always add up.

mod counters;

use std::{
    io,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded, select_biased};

pub(super) use self::counters::{Counters, Fate};
use crate::{
    Cause, Context, Refused, WaitGroup,
    group::Drained,
    isolation::{
        contain::{catch, discard},
        joining::join_until,
        journal,
    },
    patterns::ItemFate,
    sync::lock,
};

/// How long a drain waits after its deadline for threads that return now. To return takes moments, and a drain that its
/// caller has bounded must not take much longer than its bound.
const LEAVING: Duration = Duration::from_millis(100);

/// The owner's side: pushes entries and ends the queue. A queue that is dropped without a drain gives back what has not
/// begun, and does not wait.
pub(super) struct WorkerQueue<E: Send + 'static> {
    shared: Arc<Shared<E>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the workers and the owner's side share.
pub(super) struct Shared<E> {
    name: String,
    entries: Receiver<E>,
    permits: Receiver<()>,
    permits_back: Sender<()>,
    give_back: Box<dyn Fn(E) -> ItemFate + Send + Sync>,
    /// Ends when the queue is closed.
    closing: Context,
    /// Ends when no entry may begin any more. Its hint is `closing`.
    over: Context,
    /// One guard for each worker.
    workers: WaitGroup,
    state: Mutex<State<E>>,
}

struct State<E> {
    intake: Intake<E>,
    counters: Counters,
}

enum Intake<E> {
    Open(Sender<E>),
    /// Closed by a drain with this deadline, the strictest so far.
    Closed(Instant),
}

/// What a drain does with the entries that wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The workers do them, until the deadline.
    WorkOff,
    /// All are given back at once.
    GiveBack,
}

/// Room for one entry. A permit that is not used is lost, so it is dropped only when the queue is closed.
pub(super) struct Permit(());

/// Why there is no permit.
pub(super) enum NoPermit {
    Full,
    Stopping,
    Cancelled(Cause),
}

impl<E: Send + 'static> WorkerQueue<E> {
    /// An open queue without workers. `give_back` gets each entry that was taken and has not begun when the queue ends.
    pub(super) fn new(
        name: String,
        capacity: usize,
        give_back: impl Fn(E) -> ItemFate + Send + Sync + 'static,
    ) -> WorkerQueue<E> {
        let (sender, entries) = bounded(capacity);
        let (permits_back, permits) = bounded(capacity);
        (0..capacity).for_each(|_| _ = permits_back.try_send(()));
        let (over, closing) = Context::root_with_hint(None);
        let shared = Shared {
            name,
            entries,
            permits,
            permits_back,
            give_back: Box::new(give_back),
            closing,
            over,
            workers: WaitGroup::new(),
            state: Mutex::new(State { intake: Intake::Open(sender), counters: Counters::default() }),
        };
        WorkerQueue { shared: Arc::new(shared), threads: Mutex::default() }
    }

    /// Starts a worker with this thread name. `life` is its whole life: it calls [`Shared::work`].
    pub(super) fn spawn(
        &self,
        thread_name: String,
        life: impl FnOnce(&Shared<E>) + Send + 'static,
    ) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let guard = shared.workers.guard();
        let thread = thread::Builder::new().name(thread_name).spawn(move || {
            // The user's values that `life` has captured are dropped with it, and may panic.
            if let Err(panic) = catch(|| life(&shared)) {
                journal::error!("{}: a value panicked when its worker dropped it: {panic}", shared.name);
            }
            discard(shared);
            drop(guard);
        })?;
        lock(&self.threads).push(thread);
        Ok(())
    }

    /// The name that the threads and the log lines have.
    pub(super) fn name(&self) -> &str {
        &self.shared.name
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(lock(&self.shared.state).intake, Intake::Closed(_))
    }

    /// A snapshot, consistent in itself.
    pub(super) fn counters(&self) -> Counters {
        lock(&self.shared.state).counters
    }

    /// Makes an entry of a value and takes it, if there is room now.
    pub(super) fn try_push<T>(&self, value: T, entry: impl FnOnce(T) -> E) -> Result<(), Refused<T>> {
        if self.shared.permits.try_recv().is_ok() {
            return self.push(Permit(()), value, entry);
        }
        self.shared.count(|counters| counters.refused += 1);
        Err(if self.is_closed() { Refused::Stopping(value) } else { Refused::Full(value) })
    }

    /// Waits for room, but not beyond the end of the context, the time limit, or the beginning of a drain.
    pub(super) fn wait_for_permit(&self, context: &Context, timeout: Duration) -> Result<Permit, NoPermit> {
        let Shared { permits, closing, .. } = &*self.shared;
        let why = select_biased! {
            recv(closing.done()) -> _ => NoPermit::Stopping,
            recv(permits) -> _ => return Ok(Permit(())),
            recv(context.done()) -> _ => NoPermit::Cancelled(context.cause().unwrap_or(Cause::DeadlineExceeded)),
            default(timeout) => NoPermit::Full,
        };
        self.shared.count(|counters| counters.refused += 1);
        Err(why)
    }

    /// Makes an entry of a value and takes it. With a permit there is room, so a refusal is [`Refused::Stopping`].
    pub(super) fn push<T>(
        &self,
        permit: Permit,
        value: T,
        entry: impl FnOnce(T) -> E,
    ) -> Result<(), Refused<T>> {
        let Permit(()) = permit;
        let mut state = lock(&self.shared.state);
        let State { intake, counters } = &mut *state;
        match intake {
            Intake::Open(sender) => {
                sender
                    .try_send(entry(value))
                    .expect("the channel has a place for each permit, and `shared` receives");
                counters.queued += 1;
                Ok(())
            }
            Intake::Closed(_) => {
                counters.refused += 1;
                Err(Refused::Stopping(value))
            }
        }
    }

    /// Closes the queue, waits until the workers have emptied it, and gives back what has not begun at the deadline.
    ///
    /// Several drains at once are possible. The strictest deadline wins. Each drain reports what ended while it ran.
    pub(super) fn drain(&self, deadline: Instant, waiting: Waiting) -> Drained {
        let shared = &self.shared;
        let before = shared.close(deadline);
        if waiting == Waiting::GiveBack {
            shared.give_back_the_rest();
        }
        if !shared.workers.wait_deadline(deadline) {
            shared.give_back_the_rest();
            shared.workers.wait_timeout(LEAVING);
        }
        if shared.workers.is_zero() {
            // Nothing is left to the threads but the destructors of thread-locals, which are a user's code and may block.
            let threads = std::mem::take(&mut *lock(&self.threads));
            join_until(threads, deadline.max(Instant::now() + LEAVING));
        }
        let after = self.counters();
        // Nothing is taken after `close`, so each entry that ended since then was in `before`.
        let (finished, given_back) = (after.finished - before.finished, after.kept - before.kept);
        let taken_back = after.taken_back - before.taken_back;
        Drained {
            finished,
            given_back,
            left: before.queued + before.running - finished - given_back - taken_back,
        }
    }
}

impl<E: Send + 'static> Drop for WorkerQueue<E> {
    fn drop(&mut self) {
        if self.is_closed() {
            return;
        }
        let Counters { queued, running, .. } = self.shared.close(Instant::now());
        self.shared.give_back_the_rest();
        if queued + running > 0 {
            let name = self.name();
            journal::warn!("{name}: dropped without a drain: {queued} given back, {running} left running");
        }
    }
}

impl<E> Shared<E> {
    /// A worker's life: takes entries until the queue is closed and empty. An entry that may not begin is given back.
    pub(super) fn work(&self, may_begin: impl Fn() -> bool, mut run: impl FnMut(E, Running<'_, E>)) {
        for entry in &self.entries {
            if !may_begin() {
                self.give_back(entry);
                continue;
            }
            self.count(Counters::begin);
            // Never full: there are as many permits as the channel has room for.
            _ = self.permits_back.try_send(());
            run(entry, Running(self));
        }
    }

    /// Ends when the queue is closed.
    pub(super) fn closing(&self) -> &Context {
        &self.closing
    }

    /// Ends when no entry may begin any more.
    pub(super) fn over(&self) -> &Context {
        &self.over
    }

    /// The deadline of the drain, once the queue is closed.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match lock(&self.state).intake {
            Intake::Open(_) => None,
            Intake::Closed(deadline) => Some(deadline),
        }
    }

    /// Refuses new entries, and tells the workers. Returns the counters of that moment.
    fn close(&self, deadline: Instant) -> Counters {
        let counters = {
            let mut state = lock(&self.state);
            let strictest = match state.intake {
                Intake::Open(_) => deadline,
                Intake::Closed(known) => known.min(deadline),
            };
            state.intake = Intake::Closed(strictest);
            state.counters
        };
        // After unlocking: contexts call back to users' code.
        self.closing.cancel(Cause::Stopping);
        counters
    }

    fn give_back_the_rest(&self) {
        self.over.cancel(Cause::Stopping);
        self.entries.try_iter().for_each(|entry| self.give_back(entry));
    }

    fn give_back(&self, entry: E) {
        let fate = (self.give_back)(entry);
        self.count(|counters| counters.give_back(fate));
    }

    fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut lock(&self.state).counters);
    }
}

/// An entry that runs. Its worker says how the entry ended.
pub(super) struct Running<'a, E>(&'a Shared<E>);

impl<E> Running<'_, E> {
    pub(super) fn end(self, fate: Fate) {
        self.0.count(|counters| counters.end(fate));
    }
}
