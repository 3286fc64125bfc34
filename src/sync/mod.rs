//! The synchronisation primitives of this crate, in one place, so that a build with `--cfg loom` runs the
//! very same code under loom's model checker.

#[cfg(any(not(loom), test))]
mod answer_state;
#[cfg(loom)]
mod visible_arc;
#[cfg(any(not(loom), test))]
mod wake_flag;
#[cfg(any(not(loom), test))]
mod work_queue;

#[cfg(not(loom))]
pub(crate) use self::{
    answer_state::{Abandoned, AnswerState, Withdrawal},
    wake_flag::WakeFlag,
    work_queue::{Bounds, QueueStatus, WorkQueue},
};

#[cfg(all(loom, test))]
use loom::sync::atomic::fence;
#[cfg(loom)]
pub(crate) use loom::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
#[cfg(not(loom))]
use std::sync::atomic::fence;
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, Weak,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
#[cfg(loom)]
pub(crate) use visible_arc::{Arc, Weak};

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

/// Locks a mutex under which no foreign code ever runs: a poisoned one guards nothing half-done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sleeps until a notification or the deadline, `None` being never; gives the lock back as an error once the
/// deadline has passed. May wake up for no reason, as every condition variable.
pub(crate) fn wait<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    deadline: Option<Instant>,
) -> Result<MutexGuard<'a, T>, MutexGuard<'a, T>> {
    let Some(deadline) = deadline else {
        return Ok(condvar.wait(guard).unwrap_or_else(PoisonError::into_inner));
    };
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(guard),
        remaining => Ok(condvar.wait_timeout(guard, remaining).unwrap_or_else(PoisonError::into_inner).0),
    }
}
