//! The thread that watches the deadlines is there when it is needed, and only then. Alone in its process, where
//! nobody else arms one.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::{fs, thread, time::Duration};

use softstop::{Cause, Context};

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// The end of a thread is no event that others could wait for: asks now and then, for ten seconds at most.
fn wait_for_threads(count: usize) {
    for _ in 0..1000 {
        if threads() == count {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("there are {} threads and should be {count}", threads());
}

#[test]
fn the_timer_comes_with_the_first_deadline_and_goes_after_the_last() {
    const HOUR: Duration = Duration::from_secs(3600);
    let root = Context::new();
    let before = threads();
    let without = (root.child(), root.with_timeout(Duration::ZERO), root.with_timeout(Duration::MAX));
    assert_eq!(threads(), before, "there was nothing to watch");
    drop(without);

    // Dropped early.
    let contexts: Vec<_> = (0..100).map(|_| root.with_timeout(HOUR)).collect();
    assert_eq!(threads(), before + 1);
    // Time for the thread to fall asleep, for the hour; the test is as good without.
    assert_eq!(contexts[0].wait_timeout(Duration::from_millis(5)), None);
    drop(contexts);
    wait_for_threads(before);

    // Ended early, with the handles still there.
    let child = root.child();
    let contexts: Vec<_> = (0..100).map(|_| child.with_timeout(HOUR)).collect();
    assert_eq!(threads(), before + 1);
    child.cancel("over");
    wait_for_threads(before);
    drop(contexts);

    // Come.
    let context = root.with_timeout(Duration::from_millis(5));
    assert_eq!(context.wait_timeout(Duration::from_secs(10)), Some(Cause::DeadlineExceeded));
    wait_for_threads(before);
}
