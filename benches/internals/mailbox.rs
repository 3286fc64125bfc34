//! Measures how another thread reaches a loop, with and without a system call.

use std::{
    thread,
    time::{Duration, Instant},
};

use criterion::Criterion;
use softstop::internals::mailbox;

/// Messages that are sent before the loop takes them.
const BURST: u64 = 1024;
/// The message that ends the echoing thread.
const END: u64 = 0;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mailbox");

    // Both threads are loops. A round trip is two messages, two wakes and two returns from a poll.
    let (to_other, mut other) = mailbox().unwrap();
    let (to_this, mut this) = mailbox().unwrap();
    let echo = thread::spawn(move || {
        while let message @ 1.. = other.receive().unwrap() {
            to_this.send(message);
        }
    });
    group.bench_function("round trip between two sleeping loops", |bencher| {
        bencher.iter(|| {
            to_other.send(1);
            this.receive().unwrap()
        });
    });
    to_other.send(END);
    echo.join().unwrap();

    let (mailbox, mut inbox) = mailbox().unwrap();
    // Makes the system call, but no thread sleeps.
    group.bench_function("send that wakes, and take", |bencher| {
        bencher.iter(|| {
            inbox.lower();
            mailbox.send(1);
            inbox.take().unwrap()
        });
    });
    // The first message sets the flag, and no thread clears it.
    group.bench_function("send when a wake is pending", |bencher| {
        bencher.iter_custom(|sends| {
            let mut took = Duration::ZERO;
            let mut left = sends;
            while left > 0 {
                let burst = left.min(BURST);
                let asked = Instant::now();
                (0..burst).for_each(|message| mailbox.send(message));
                took += asked.elapsed();
                assert_eq!(inbox.take(), Some(burst - 1));
                left -= burst;
            }
            took
        });
    });
    group.bench_function("send when a wake is pending, and take", |bencher| {
        bencher.iter(|| {
            mailbox.send(1);
            inbox.take().unwrap()
        });
    });
    group.finish();
}
