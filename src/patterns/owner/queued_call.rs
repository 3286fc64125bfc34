//! A call in the mailbox, ready to run on the owner's thread.

use super::CallError;
use crate::{
    isolation::contain::catch,
    patterns::{ItemFate, worker_queue::Fate},
};

/// A call has no item that could be kept.
pub(super) const PANICKED: Fate = Fate::Panicked(ItemFate::Lost);

pub(super) struct QueuedCall<S> {
    /// Runs the call and says how it ended.
    pub(super) run: Body<S>,
    pub(super) origin: Origin,
}

pub(super) type Body<S> = Box<dyn FnOnce(&mut S) -> Fate + Send>;

/// Who learns that a call was dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The caller that waits: the body's channel is closed when the body is dropped.
    Call,
    /// The hook: no caller waits.
    Tell,
}

pub(super) fn run<S, R>(call: impl FnOnce(&mut S) -> R, state: &mut S) -> Result<R, CallError> {
    catch(|| call(state)).map_err(|_| CallError::Panicked)
}
