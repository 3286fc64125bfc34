//! What lies in the mailbox: a call, ready to run on the owner's thread.

use super::CallError;
use crate::isolation::contain::catch;

pub(super) struct Message<S> {
    /// Runs the call and says what became of it.
    pub(super) body: Body<S>,
    pub(super) origin: Origin,
}

pub(super) type Body<S> = Box<dyn FnOnce(&mut S) -> Fate + Send>;

/// Who is told if the message is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The caller, when the body is dropped.
    Call,
    /// The hook.
    Tell,
}

pub(super) enum Fate {
    Finished,
    Panicked,
    Cancelled,
}

pub(super) fn run<S, R>(call: impl FnOnce(&mut S) -> R, state: &mut S) -> Result<R, CallError> {
    catch(|| call(state)).map_err(|_| CallError::Panicked)
}
