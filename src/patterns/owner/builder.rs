//! What an owner is started with.

use std::{
    io,
    sync::{Arc, Mutex},
    thread,
};

use crossbeam_channel::bounded;

use super::{AtStop, Owner, OwnerMetrics, Shared, State};
use crate::{Context, WaitGroup, contain::discard};

/// Configures an [`Owner`].
#[derive(Debug)]
pub struct OwnerBuilder {
    name: String,
    capacity: usize,
    on_stop: AtStop,
}

impl OwnerBuilder {
    pub(super) fn new(name: String) -> OwnerBuilder {
        // As many as a server has workers: each of them can have its call in the mailbox.
        OwnerBuilder { name, capacity: 512, on_stop: AtStop::default() }
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

    /// Gives the state to a new thread.
    ///
    /// # Errors
    ///
    /// If the system has no thread left.
    pub fn start<S: Send + 'static>(self, state: S) -> io::Result<Owner<S>> {
        let (sender, mailbox) = bounded(self.capacity);
        let shared = Arc::new(Shared {
            name: self.name,
            on_stop: self.on_stop,
            mailbox,
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
