//! What an owner is started with.

use std::{
    fmt, io,
    sync::{Arc, Mutex},
    thread,
};

use crossbeam_channel::bounded;

use super::{AtStop, Owner, OwnerMetrics, Shared, State};
use crate::{
    Context, WaitGroup,
    isolation::{contain::discard, journal},
};

/// Configures an [`Owner`].
pub struct OwnerBuilder {
    name: String,
    capacity: usize,
    on_stop: AtStop,
    on_refused: Box<dyn Fn() + Send + Sync>,
}

impl OwnerBuilder {
    pub(super) fn new(name: String) -> OwnerBuilder {
        // As many as a server has workers: each of them can have its call in the mailbox.
        let log_name = name.clone();
        let on_refused =
            Box::new(move || journal::error!("{log_name}: a call that was told is lost (refused at a stop)"));
        OwnerBuilder { name, capacity: 512, on_stop: AtStop::default(), on_refused }
    }

    /// How many calls may wait in the mailbox, at least 1. Default 512.
    #[must_use]
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity.max(1);
        self
    }

    /// What becomes, at a stop, of the calls in the mailbox. By default they run.
    #[must_use]
    pub fn on_stop(mut self, on_stop: AtStop) -> Self {
        self.on_stop = on_stop;
        self
    }

    /// Is told of each [`tell`](Owner::tell) that returned `Ok` and was refused at a stop, after the call was dropped with
    /// all that it had captured. It runs on the owner's thread, or on the thread that stops or drops the owner: so it
    /// must be quick. By default it is logged as an error that a call is lost.
    ///
    /// Who needs to have back what a call had captured makes it do so in its `Drop`, or waits with [`Owner::call`].
    #[must_use]
    pub fn on_refused(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_refused = Box::new(hook);
        self
    }

    /// Gives the state to a new thread.
    ///
    /// # Errors
    ///
    /// If the system has no thread left.
    pub fn start<S: Send + 'static>(self, state: S) -> io::Result<Owner<S>> {
        let (sender, mailbox) = bounded(self.capacity);
        let (room_again, room) = bounded(self.capacity);
        (0..self.capacity).for_each(|_| _ = room_again.try_send(()));
        let shared = Arc::new(Shared {
            name: self.name,
            on_stop: self.on_stop,
            on_refused: self.on_refused,
            mailbox,
            room,
            room_again,
            closing: Context::new(),
            context: Context::new(),
            thread: WaitGroup::new(),
            state: Mutex::new(State {
                intake: Some(sender),
                metrics: OwnerMetrics::default(),
                remains: None,
            }),
        });
        let guard = shared.thread.guard();
        let thread = thread::Builder::new().name(shared.name.clone()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                shared.own(state);
                discard(shared);
                drop(guard);
            }
        })?;
        Ok(Owner { shared, thread: Mutex::new(Some(thread)) })
    }
}

impl fmt::Debug for OwnerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerBuilder")
            .field("name", &self.name)
            .field("capacity", &self.capacity)
            .field("on_stop", &self.on_stop)
            .finish_non_exhaustive()
    }
}
