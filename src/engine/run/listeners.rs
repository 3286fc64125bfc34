//! The listeners of a run, for a handover: further descriptors of them, and who holds them.

use std::{convert::Infallible, io, sync::atomic::Ordering, time::Instant};

use crossbeam_channel::{Receiver, bounded, select};

use super::{Listening, Loops, Run};
use crate::{
    engine::net::{DuplicateListener, Lent, LoopMessage},
    sync::lock,
};

impl Run {
    /// Further descriptors of the open listeners. The loop that accepts makes them; none if a stop has begun to close them.
    ///
    /// # Errors
    ///
    /// If descriptors have run out, if the loop does not answer `until` this time, because it runs a user's code, or if
    /// `patience` ends before.
    pub(crate) fn duplicate_listeners(
        &self,
        until: Instant,
        patience: &Receiver<Infallible>,
    ) -> io::Result<Vec<DuplicateListener>> {
        let (answer, answered) = bounded(1);
        if self.loops[0].mailbox.send(LoopMessage::DuplicateListeners(answer)).is_err() {
            return Ok(Vec::new());
        }
        select! {
            recv(answered) -> answer => answer.unwrap_or_else(|_| Ok(Vec::new())),
            recv(patience) -> _ => Err(io::Error::new(io::ErrorKind::Interrupted, "the listeners are not wanted any more")),
            default(until.saturating_duration_since(Instant::now())) => {
                let text = "its event loop does not answer, because an inline handler or a callback of this program blocks it";
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            }
        }
    }

    /// Says for every listener of the run whether another process has it, too.
    pub(crate) fn lend_listeners(&self, lent: Lent) {
        self.holdings.iter().for_each(|holding| holding.lend(lent));
    }

    /// The listeners are closed, or left to another process: called by the loop that accepts.
    pub(crate) fn has_ended_listening(&self) {
        let before = std::mem::replace(&mut lock(&self.progress.state).listening, Listening::Over);
        if let Listening::Yes { when_over } = before {
            when_over.into_iter().for_each(|callback| callback());
        }
    }

    /// Calls back when the run has no listeners any more; at once if it has none. The callback must not block.
    pub(crate) fn when_not_listening(&self, callback: Box<dyn FnOnce() + Send>) {
        {
            let state = &mut *lock(&self.progress.state);
            if let (Listening::Yes { when_over }, Loops::Serving { .. }) =
                (&mut state.listening, &state.loops)
            {
                when_over.push(callback);
                return;
            }
        }
        callback();
    }

    /// Notes that another process serves at the same addresses. A health check over a connection of this process must not hear
    /// "not ready", because the service goes on.
    pub(crate) fn note_handed_over(&self) {
        self.handed_over.store(true, Ordering::Release);
    }

    pub(crate) fn is_handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Acquire)
    }
}
