//! What is left of a run when its threads are gone.

use std::sync::Mutex;

use crate::{
    engine::net::Listener,
    listen_address::ListenAddress,
    stop::{StopPolicy, StopReport},
    sync::lock,
};

/// What a run has left: its report, and the listeners that the stop kept. A closed run has no threads and no connections;
/// until then the run is a [`Run`](super::Run).
pub(crate) struct ClosedRun {
    pub(crate) report: StopReport,
    /// Until the next start takes them, or a further stop closes them.
    listeners: Mutex<Vec<Listener>>,
}

impl ClosedRun {
    pub(super) fn new(report: StopReport, listeners: Vec<Listener>) -> ClosedRun {
        ClosedRun { report, listeners: Mutex::new(listeners) }
    }

    /// Takes the kept listeners out, for a start.
    pub(crate) fn take_listeners(&self) -> Vec<Listener> {
        std::mem::take(&mut lock(&self.listeners))
    }

    /// Puts listeners back that a start has taken and could not use.
    pub(crate) fn put_listeners_back(&self, listeners: Vec<Listener>) {
        *lock(&self.listeners) = listeners;
    }

    /// Closes the kept listeners, unless the policy of a further stop keeps them too. The kernel resets the clients in their
    /// accept queues.
    pub(crate) fn close_listeners(&self, policy: &StopPolicy) {
        if !policy.keeps_listener() {
            drop(self.take_listeners());
        }
    }

    /// The addresses of the kept listeners.
    pub(crate) fn addresses(&self) -> Vec<ListenAddress> {
        lock(&self.listeners).iter().map(|listener| listener.address.clone()).collect()
    }
}
