//! Public words about calls: what a stop does with them, why one has no answer, and how many there were.

use std::fmt;

use crate::{Cause, Refused};

/// What a stop does with the calls that wait in the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WaitingCalls {
    /// They run, until the deadline.
    #[default]
    Run,
    /// They are dropped at once, and do not run.
    Drop,
}

/// Why a [`call`](super::Owner::call) has no answer, and whether it runs all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The mailbox was full for the whole time limit. The call does not run.
    Full,
    /// The owner is stopping. The call does not run.
    Stopping,
    /// The caller's context ended with this cause, or the time limit was over ([`Cause::DeadlineExceeded`]), before the call
    /// had begun. The call does not run.
    Cancelled(Cause),
    /// The same, but the call had begun. The call runs to its end, and changes the state.
    Begun(Cause),
    /// The call panicked. The state may be half changed.
    Panicked,
}

/// How many calls an [`Owner`](super::Owner) has now (`queued`, `running`), and has had since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OwnerMetrics {
    /// Calls in the mailbox, or that a stop is dropping. A call that its caller took back counts until the owner finds it.
    pub queued: u64,
    /// Calls that run: 0 or 1.
    pub running: u64,
    /// Calls that ran to their end.
    pub finished: u64,
    /// Calls that panicked.
    pub panicked: u64,
    /// Calls that their callers took back before they began.
    pub cancelled: u64,
    /// Calls that were in the mailbox, and that a stop dropped.
    pub dropped: u64,
    /// Calls that were not taken, because the mailbox was full, the owner was stopping, or the caller's context ended.
    pub refused: u64,
}

/// For a program that answers a refused `tell` as it answers a refused `call`.
impl<T> From<Refused<T>> for CallError {
    fn from(refused: Refused<T>) -> CallError {
        match refused {
            Refused::Full(_) => CallError::Full,
            Refused::Stopping(_) => CallError::Stopping,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Full => f.write_str("full: the owner has no room for the call, try again later"),
            CallError::Stopping => f.write_str("stopping: the owner does not run the call"),
            CallError::Cancelled(cause) => write!(f, "taken back before it began: {cause}"),
            CallError::Begun(cause) => write!(f, "begun, but not waited for: {cause}"),
            CallError::Panicked => f.write_str("the call panicked"),
        }
    }
}

impl std::error::Error for CallError {}
