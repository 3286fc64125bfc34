//! The promises of a wait group: to the work that it counts, and to the threads that wait.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use softstop::{WaitGroup, WaitGuard};

/// A bound that only detects a hang.
const LONG: Duration = Duration::from_secs(10);

fn assert_send_and_sync<T: Send + Sync>() {}

#[test]
fn guards_count_until_they_are_dropped() {
    assert_send_and_sync::<(WaitGroup, WaitGuard)>();
    let group = WaitGroup::new();
    assert!(group.is_zero());
    let guard = group.guard();
    let same_group = group.clone();
    let other = guard.clone();
    assert_eq!(same_group.count(), 2);
    assert!(!same_group.is_zero());
    assert_eq!(format!("{group:?}"), "WaitGroup { count: 2 }");
    drop(guard);
    assert_eq!(group.count(), 1);
    drop(other);
    assert!(group.is_zero());
}

#[test]
fn a_panic_drops_its_guard() {
    let group = WaitGroup::new();
    let guard = group.guard();
    let worker = thread::spawn(move || {
        let _guard = guard;
        panic!("on purpose");
    });
    assert!(group.wait_timeout(LONG));
    assert!(worker.join().is_err());
}

#[test]
fn a_wait_at_zero_does_not_block() {
    let group = WaitGroup::new();
    group.wait();
    assert!(group.wait_timeout(Duration::ZERO));
    assert!(group.wait_deadline(Instant::now() - Duration::from_secs(1)));
}

#[test]
fn a_wait_ends_at_zero_or_at_its_deadline() {
    let group = WaitGroup::new();
    let guard = group.guard();
    assert!(!group.wait_deadline(Instant::now() - Duration::from_secs(1)));
    let begin = Instant::now();
    assert!(!group.wait_timeout(Duration::from_millis(5)));
    assert!(begin.elapsed() >= Duration::from_millis(5));

    let (sender, receiver) = mpsc::channel();
    let waiters = [None, Some(LONG), Some(Duration::MAX)].map(|timeout| {
        let (group, sender) = (group.clone(), sender.clone());
        thread::spawn(move || {
            let zero = timeout.is_none_or(|timeout| group.wait_timeout(timeout));
            if timeout.is_none() {
                group.wait();
            }
            sender.send(zero).unwrap();
        })
    });
    assert_eq!(receiver.recv_timeout(Duration::from_millis(5)), Err(RecvTimeoutError::Timeout));
    drop(guard);
    for waiter in waiters {
        assert_eq!(receiver.recv_timeout(LONG), Ok(true));
        waiter.join().unwrap();
    }
}

#[test]
fn a_group_can_be_used_again() {
    let group = WaitGroup::new();
    for _ in 0..3 {
        let guard = group.guard();
        assert!(!group.wait_timeout(Duration::ZERO));
        let waiter = thread::spawn({
            let group = group.clone();
            move || group.wait_timeout(LONG)
        });
        drop(guard);
        // The next guard may come before the waiter runs. The waiter has to return in any case.
        let next = group.guard();
        drop(next);
        assert!(waiter.join().unwrap());
    }
}

#[test]
fn on_zero_runs_at_once_if_there_is_no_guard() {
    let group = WaitGroup::new();
    let (sender, receiver) = mpsc::channel();
    group.on_zero(move || sender.send(thread::current().id()).unwrap());
    assert_eq!(receiver.try_recv(), Ok(thread::current().id()));
}

#[test]
fn on_zero_runs_once_in_order_on_the_thread_of_the_last_guard() {
    let group = WaitGroup::new();
    let guards = [group.guard(), group.guard()];
    let (sender, receiver) = mpsc::channel();
    for number in 0..3 {
        let sender = sender.clone();
        group.on_zero(move || sender.send((number, thread::current().id())).unwrap());
    }
    drop(sender);
    let [one, two] = guards;
    drop(one);
    assert_eq!(receiver.try_recv(), Err(mpsc::TryRecvError::Empty));
    let last = thread::spawn(move || {
        drop(two);
        thread::current().id()
    });
    let last = last.join().unwrap();
    drop(group.guard());
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [(0, last), (1, last), (2, last)]);
}

#[test]
fn on_zero_may_use_the_group() {
    let group = WaitGroup::new();
    let guard = group.guard();
    let (sender, receiver) = mpsc::channel();
    group.on_zero({
        let group = group.clone();
        move || {
            group.wait();
            let guard = group.guard();
            group.on_zero(move || sender.send("the second zero").unwrap());
            drop(guard);
        }
    });
    drop(guard);
    assert_eq!(receiver.try_recv(), Ok("the second zero"));
}

#[test]
fn a_callback_that_panics_does_not_stop_the_others() {
    let group = WaitGroup::new();
    let guard = group.guard();
    let (sender, receiver) = mpsc::channel();
    group.on_zero(|| panic!("on purpose"));
    group.on_zero(move || sender.send("ran").unwrap());
    drop(guard);
    assert_eq!(receiver.try_recv(), Ok("ran"));
    assert!(group.wait_timeout(Duration::ZERO));
}

#[test]
fn many_threads_lose_no_count_and_no_wake_up() {
    const ROUNDS: usize = 200;
    let group = WaitGroup::new();
    let (sender, receiver) = mpsc::channel();
    for round in 0..ROUNDS {
        let guards: [WaitGuard; 4] = std::array::from_fn(|_| group.guard());
        let workers = guards.map(|guard| {
            thread::spawn(move || {
                for _ in 0..100 {
                    drop(guard.clone());
                }
            })
        });
        let sender = sender.clone();
        group.on_zero(move || sender.send(round).unwrap());
        assert!(group.wait_timeout(LONG));
        assert_eq!(receiver.recv_timeout(LONG), Ok(round));
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert!(group.is_zero());
    }
}
