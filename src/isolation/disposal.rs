//! Drops foreign values that a loop has to get rid of, on a thread that may block.
//!
//! Examples are the reader of a content that no client reads, the handler of an upgrade that does not happen, and a callback
//! that is never called. Each of them may own any value, so the `Drop` of each may block. On a loop this would block every
//! connection. So a loop hands the values to one thread, which exists only while there are values. All other threads drop them
//! in place.

use std::{
    collections::VecDeque,
    // The primitives of `std`, because loom's models have no loop.
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use crate::isolation::{contain::discard, journal, repeated::Repeated};

/// The most values that wait. More values come only if one blocks the thread and others keep coming. Further values are
/// leaked, because a blocked loop would be worse.
const CAPACITY: usize = 4096;

type Value = Box<dyn Send>;

static DISPOSAL: Mutex<Disposal> =
    Mutex::new(Disposal { waiting: VecDeque::new(), has_thread: false, leaked: Repeated::new() });

struct Disposal {
    waiting: VecDeque<Value>,
    has_thread: bool,
    leaked: Repeated,
}

/// Drops the value: on this thread if it may block, and on the disposal thread otherwise. A panic of its `Drop` is caught and
/// logged.
pub(crate) fn dispose(value: impl Send + 'static) {
    if journal::may_block() {
        return discard(value);
    }
    let mut disposal = lock();
    if disposal.waiting.len() == CAPACITY {
        let leaked = disposal.leaked.count(Instant::now());
        drop(disposal);
        if let Some(times) = leaked {
            journal::error!(
                "a value is leaked, because the drop of earlier values takes too long ({times} times since the last line)"
            );
        }
        return std::mem::forget(value);
    }
    disposal.waiting.push_back(Box::new(value));
    if !std::mem::replace(&mut disposal.has_thread, true) {
        drop(disposal);
        if thread::Builder::new().name("softstop-drop".into()).spawn(run).is_err() {
            // The next value tries again, and the thread then drops this value too.
            lock().has_thread = false;
        }
    }
}

fn run() {
    loop {
        let next = {
            let mut disposal = lock();
            let next = disposal.waiting.pop_front();
            disposal.has_thread = next.is_some();
            next
        };
        let Some(value) = next else { return };
        discard(value);
    }
}

fn lock() -> MutexGuard<'static, Disposal> {
    DISPOSAL.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::mpsc::{Sender, channel},
        thread::{self, ThreadId},
        time::Duration,
    };

    struct Tell(Sender<ThreadId>);

    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).unwrap();
            panic!("on purpose");
        }
    }

    #[test]
    fn what_a_loop_disposes_of_is_dropped_elsewhere() {
        let (sender, dropped) = channel();
        dispose(Tell(sender.clone()));
        assert_eq!(dropped.try_recv(), Ok(thread::current().id()), "this thread may block");
        let looping = thread::spawn(move || {
            journal::this_thread_must_not_block();
            dispose(Tell(sender.clone()));
            dispose(Tell(sender));
        });
        let id = looping.thread().id();
        looping.join().unwrap();
        for _ in 0..2 {
            let elsewhere = dropped.recv_timeout(Duration::from_secs(30)).expect("it is dropped");
            assert!(elsewhere != id && elsewhere != thread::current().id());
        }
    }
}
