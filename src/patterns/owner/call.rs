//! What is said of calls: what a stop does with them, why one has no answer, and how many there were.

use std::fmt;

use crate::Cause;

/// What an owner does at a stop with the calls that are in its mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtStop {
    /// It runs them, until the deadline.
    #[default]
    Drain,
    /// It refuses them.
    Refuse,
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The mailbox is full, and of a [`call`](super::Owner::call) was so until its time was over. It does not run.
    Full,
    /// The owner is stopping, and has refused it. It does not run.
    Stopped,
    /// Before it had begun, the caller's context ended, with that cause, or its time was over
    /// ([`Cause::DeadlineExceeded`]). It does not run.
    Cancelled(Cause),
    /// The same, but it had begun: it runs to its end, and the state will have changed.
    Begun(Cause),
    /// It panicked, possibly halfway through a change.
    Panicked,
}

/// What an [`Owner`](super::Owner) has at the moment (`queued`, `running`) and has had since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OwnerMetrics {
    /// Calls in the mailbox, those that were taken back included until the owner comes across them.
    pub queued: u64,
    /// Whether a call runs: 0 or 1.
    pub running: u64,
    /// Calls that ran to their end.
    pub finished: u64,
    /// Calls that panicked.
    pub panicked: u64,
    /// Calls that their callers took back before they began.
    pub cancelled: u64,
    /// Calls that were in the mailbox and were refused at a stop.
    pub refused: u64,
    /// Calls that were not taken, the mailbox being full or the owner stopping.
    pub rejected: u64,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Full => f.write_str("the mailbox is full"),
            CallError::Stopped => f.write_str("the owner is stopping"),
            CallError::Cancelled(cause) => write!(f, "taken back before it began: {cause}"),
            CallError::Begun(cause) => write!(f, "begun, but not waited for: {cause}"),
            CallError::Panicked => f.write_str("it panicked"),
        }
    }
}

impl std::error::Error for CallError {}
