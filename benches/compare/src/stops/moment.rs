//! Something that happens once, and that clients wait for: the signal to the server, or the end of its process.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

#[derive(Debug, Default)]
pub(super) struct Moment {
    has_come: Mutex<bool>,
    comes: Condvar,
}

impl Moment {
    pub(super) fn come(&self) {
        *self.has_come.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.comes.notify_all();
    }

    pub(super) fn has_come(&self) -> bool {
        *self.has_come.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it comes.
    pub(super) fn wait(&self) {
        let has_come = self.has_come.lock().unwrap_or_else(PoisonError::into_inner);
        let _come =
            self.comes.wait_while(has_come, |has_come| !*has_come).unwrap_or_else(PoisonError::into_inner);
    }

    /// Waits until it comes, for at most so long; whether it has come.
    pub(super) fn wait_for(&self, duration: Duration) -> bool {
        let has_come = self.has_come.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.comes.wait_timeout_while(has_come, duration, |has_come| !*has_come);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
