//! The messages of the program at its end. Standard error may be a full pipe that no process reads. A process that has
//! stopped must not wait for the reader, and its exit status reports the result anyway.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// How long the messages may take. Writing some lines takes microseconds.
const BOUND: Duration = Duration::from_millis(500);

/// Writes on a thread of its own, and waits for the thread within the bound.
pub(crate) fn say(write: impl FnOnce() + Send + 'static) {
    let said = Arc::new((Mutex::new(false), Condvar::new()));
    let spoken = thread::Builder::new().name("words".to_owned()).spawn({
        let said = Arc::clone(&said);
        move || {
            write();
            *said.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            said.1.notify_all();
        }
    });
    if spoken.is_ok() {
        let done = said.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(said.1.wait_timeout_while(done, BOUND, |done| !*done));
    }
}
