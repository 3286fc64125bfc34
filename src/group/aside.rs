//! User code on threads that no stop waits for.

use std::{io, sync::Arc, thread, time::Instant};

use super::Drain;
use crate::{
    isolation::{contain::catch, journal},
    stop::{Cause, Context},
};

/// Tells a drain that is under way that there is less time. The first call of [`Drain::drain`] has the answer.
pub(super) fn hurry(drain: Arc<dyn Drain>, deadline: Instant) {
    let body = move || _ = drain.drain(deadline);
    if let Err(error) = run("drain sooner", body) {
        journal::warn!("a drain is not told that there is less time: no thread to be had: {error}");
    }
}

/// Cancels a context of the group. Its callbacks are user code, so the stop does not wait for them.
pub(super) fn cancel(context: &Context) {
    let there = context.clone();
    if run("group cancels", move || _ = there.cancel(Cause::Stopping)).is_err() {
        // No thread is to be had, so the callbacks run here.
        context.cancel(Cause::Stopping);
    }
}

/// Runs user code on a thread that nobody joins.
pub(super) fn run(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let purpose = name.to_owned();
    let body = move || {
        if let Err(panic) = catch(body) {
            journal::error!("{purpose}: panicked: {panic}");
        }
    };
    thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}
