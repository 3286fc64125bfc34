//! The actions of a loop when a stop enters a phase, in the order in which the loop carries them out.

use super::Phase;

/// An action of one loop when a stop has come further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Tell the observer and the log that the stop has entered this phase.
    Announce(Phase),
    /// Cancel the hints of all contexts, so that handlers which would go on for ever end by themselves.
    Hint,
    /// Refuse new clients, accept those in the accept queue, and close the listeners. If the timeline says so, keep the
    /// listeners for the next start instead.
    EndListening,
    /// Answer 503 to each request of a route with [`OnStop::Cancel`](crate::OnStop::Cancel) that no worker has begun, so that
    /// no worker begins it now.
    RejectCancelled,
    /// Answer 503 to each request that no worker has begun, whatever its route.
    RejectWaiting,
    /// Cancel the contexts of the handlers that still run.
    CancelHandlers,
    /// Compute the deadline of each connection again, because [`StopProgress::verdict`](super::StopProgress::verdict) may have
    /// changed. Check again whether the listeners are kept.
    Review,
    /// Close every connection that is left.
    CutOff,
}

/// The actions of a loop at the beginning of a phase.
pub(super) fn on_entering(phase: Phase) -> &'static [Action] {
    match phase {
        Phase::Running => &[],
        Phase::LameDuck => &[Action::Announce(Phase::LameDuck)],
        // The listener is not just closed: the kernel has completed the handshakes of the clients in its accept queue, and a
        // plain close would reset them.
        Phase::Draining => {
            &[Action::Announce(Phase::Draining), Action::RejectCancelled, Action::Hint, Action::EndListening]
        }
        Phase::Cancelling => {
            &[Action::Announce(Phase::Cancelling), Action::RejectWaiting, Action::CancelHandlers]
        }
        // The last loop that leaves announces this phase, not each loop.
        Phase::Stopped => &[Action::CutOff],
    }
}
