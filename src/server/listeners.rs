//! The listeners of a server, for a handover to another process.
//!
//! ```text
//!   this process                                             the other process
//!   ServerHandle::offer_listeners   -- descriptors -->       GivenListener::new
//!   OfferedListener::holding.lend(Yes)                       Server::bind_with, then serve
//!   a stop leaves the listeners     -- closed      -->       ServerHandle::lend_listeners(No)
//! ```

use std::{convert::Infallible, time::Instant};

use crossbeam_channel::Receiver;

use super::{Server, ServerHandle, Start};
use crate::{
    config::ListenOn,
    engine::net::{GivenListener, Lent, OfferedListener},
    error::Error,
};

impl ServerHandle {
    /// Further descriptors of the listeners of the run that is under way. None if the server does not run, or is about to close
    /// its listeners.
    ///
    /// # Errors
    ///
    /// If descriptors have run out, if the loop that accepts does not answer `until` this time, or if `patience` ends before.
    pub(crate) fn offer_listeners(
        &self,
        until: Instant,
        patience: &Receiver<Infallible>,
    ) -> Result<Vec<OfferedListener>, Error> {
        let Some(run) = self.lifecycle.run() else { return Ok(Vec::new()) };
        let config = &self.lifecycle.config;
        let listeners = run
            .duplicate_listeners(until, patience)
            .map_err(|error| Error::io(format!("{}: cannot hand its listeners over", config.name), error))?;
        // Only the program knows what a listener is that the program has bound, so such a listener is not offered.
        let offered =
            listeners.into_iter().filter_map(|listener| match &config.listen[listener.listen_index] {
                ListenOn::Bound(_) => None,
                ListenOn::Address(spec) => Some(OfferedListener {
                    listen_index: listener.listen_index,
                    spec: spec.clone(),
                    address: listener.address,
                    descriptor: listener.descriptor,
                    file: listener.file,
                    holding: listener.holding,
                }),
            });
        Ok(offered.collect())
    }

    /// Says for every listener of the run that is under way whether another process has it, too. A stop that begins while a
    /// listener is lent leaves the listener as it is.
    pub(crate) fn lend_listeners(&self, lent: Lent) {
        if let Some(run) = self.lifecycle.run() {
            run.lend_listeners(lent);
        }
    }
}

impl ServerHandle {
    /// Notes that another process serves at the addresses of this server.
    pub(crate) fn note_handed_over(&self) {
        if let Some(run) = self.lifecycle.run() {
            run.note_handed_over();
        }
    }

    /// Calls back when the server does not listen any more; at once if it does not run. The callback must not block.
    pub(crate) fn when_not_listening(&self, callback: Box<dyn FnOnce() + Send>) {
        match self.lifecycle.run() {
            Some(run) => run.when_not_listening(callback),
            None => callback(),
        }
    }
}

impl Server {
    /// As [`Server::bind`], with listeners of another process in place of those that have the same addresses. What the server
    /// does not want stays in `given`. The listeners count as lent until [`ServerHandle::lend_listeners`] says otherwise.
    pub(crate) fn bind_with(&self, given: &mut Vec<GivenListener>) -> Result<Start<'_>, Error> {
        Start::bind(self, given)
    }
}
