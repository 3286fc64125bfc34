//! The options of an owner, its start, and the life of its thread.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use super::{
    Owner, WaitingCalls,
    queued_call::{Origin, PANICKED, QueuedCall},
};
use crate::{
    Error,
    isolation::{
        contain::{catch, discard},
        journal,
    },
    patterns::{
        ItemFate,
        worker_queue::{Shared, WorkerQueue},
    },
    sync::lock,
};

/// Configures an [`Owner`].
pub struct OwnerBuilder {
    name: String,
    capacity: usize,
    waiting_calls: WaitingCalls,
    on_dropped: Box<dyn Fn() + Send + Sync>,
}

impl OwnerBuilder {
    pub(super) fn new(name: String) -> OwnerBuilder {
        let log_name = name.clone();
        let on_dropped =
            Box::new(move || journal::error!("{log_name}: a call that was told is lost (dropped at a stop)"));
        // As many as a server has workers by default, so that each of them can have a call in the mailbox.
        OwnerBuilder { name, capacity: 512, waiting_calls: WaitingCalls::default(), on_dropped }
    }

    /// How many calls may wait in the mailbox, at least 1. Default 512.
    #[must_use]
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity.max(1);
        self
    }

    /// What a stop does with the calls that wait in the mailbox. Default [`WaitingCalls::Run`].
    #[must_use]
    pub fn on_stop(mut self, waiting_calls: WaitingCalls) -> Self {
        self.waiting_calls = waiting_calls;
        self
    }

    /// Sets the hook that is called for each [`tell`](Owner::tell) that returned `Ok` and was dropped at a stop. Default: an
    /// error is logged.
    ///
    /// The hook is called after the call and its captured values were dropped. It runs on the owner's thread, or on the
    /// thread that stops or drops the owner. So it must be quick.
    ///
    /// To have captured values back, let their `Drop` hand them over, or wait with [`Owner::call`].
    #[must_use]
    pub fn on_dropped(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_dropped = Box::new(hook);
        self
    }

    /// Gives the state to a new thread.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the system has no thread left. The state is dropped then.
    pub fn start<S: Send + 'static>(self, state: S) -> Result<Owner<S>, Error> {
        let OwnerBuilder { name, capacity, waiting_calls, on_dropped } = self;
        let log_name = name.clone();
        let mailbox = WorkerQueue::new(name.clone(), capacity, move |call: QueuedCall<S>| {
            let origin = call.origin;
            // A caller that waits learns from this drop that its call does not run.
            discard(call);
            if origin == Origin::Tell
                && let Err(panic) = catch(&on_dropped)
            {
                journal::error!("{log_name}: the hook for dropped calls panicked: {panic}");
            }
            ItemFate::Lost
        });
        let remains = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&remains);
        mailbox
            .spawn(name.clone(), move |mailbox| *lock(&kept) = Some(own(mailbox, state)))
            .map_err(|error| Error::io(format!("{name}: cannot start its thread"), error))?;
        Ok(Owner { mailbox, waiting_calls, remains })
    }
}

/// The life of the owner's thread. Returns the state at the end.
fn own<S>(mailbox: &Shared<QueuedCall<S>>, mut state: S) -> S {
    mailbox.work(
        || !mailbox.over().is_cancelled(),
        |call, running| {
            // The call's own panic is caught where it runs. This catch is for values that the call leaves behind.
            running.end(catch(|| (call.run)(&mut state)).unwrap_or(PANICKED));
        },
    );
    state
}

impl fmt::Debug for OwnerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerBuilder")
            .field("name", &self.name)
            .field("capacity", &self.capacity)
            .field("waiting_calls", &self.waiting_calls)
            .finish_non_exhaustive()
    }
}
