//! The listeners of a run, for a handover: further descriptors of them, and who holds them.

use std::{
    io,
    time::{Duration, Instant},
};

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::Run;
use crate::engine::net::{DuplicateListener, Lent, LoopMessage};

impl Run {
    /// Further descriptors of the open listeners. The loop that accepts makes them; none if a stop has begun to close them.
    ///
    /// # Errors
    ///
    /// If descriptors have run out, or if the loop does not answer `within` this time, because it runs a user's code.
    pub(crate) fn duplicate_listeners(&self, within: Duration) -> io::Result<Vec<DuplicateListener>> {
        let (answer, answered) = bounded(1);
        if self.loops[0].mailbox.send(LoopMessage::DuplicateListeners(answer)).is_err() {
            return Ok(Vec::new());
        }
        match answered.recv_deadline(Instant::now() + within) {
            Ok(listeners) => listeners,
            Err(RecvTimeoutError::Disconnected) => Ok(Vec::new()),
            Err(RecvTimeoutError::Timeout) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the loop that accepts does not answer"))
            }
        }
    }

    /// Says for every listener of the run whether another process has it, too.
    pub(crate) fn lend_listeners(&self, lent: Lent) {
        self.holdings.iter().for_each(|holding| holding.lend(lent));
    }
}
