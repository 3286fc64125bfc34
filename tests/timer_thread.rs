//! The thread that watches the deadlines exists only while a deadline needs it. This test is alone in its process, so
//! that no other test sets a deadline.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, thread, time::Duration};

use softstop::{Cause, Context};

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// No event announces the end of a thread. So this function checks the number again and again, for ten seconds at most.
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
    assert_eq!(threads(), before, "no deadline needs the thread");
    drop(without);

    // The contexts are dropped early.
    let contexts: Vec<_> = (0..100).map(|_| root.with_timeout(HOUR)).collect();
    assert_eq!(threads(), before + 1);
    // This wait gives the thread time to fall asleep for the hour. The test is valid without the wait too.
    assert_eq!(contexts[0].wait_timeout(Duration::from_millis(5)), None);
    drop(contexts);
    wait_for_threads(before);

    // The contexts end early, and their handles still exist.
    let child = root.child();
    let contexts: Vec<_> = (0..100).map(|_| child.with_timeout(HOUR)).collect();
    assert_eq!(threads(), before + 1);
    child.cancel("over");
    wait_for_threads(before);
    drop(contexts);

    // The deadline passes.
    let context = root.with_timeout(Duration::from_millis(5));
    assert_eq!(context.wait_timeout(Duration::from_secs(10)), Some(Cause::DeadlineExceeded));
    wait_for_threads(before);
}
