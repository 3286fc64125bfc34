//! How another thread reaches a loop, with and without a system call.

use std::{
    thread,
    time::{Duration, Instant},
};

use criterion::Criterion;
use softstop::internals::mailbox;

/// Messages that are sent before the loop looks.
const BURST: u64 = 1024;
/// Ends the thread that echoes.
const END: u64 = 0;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mailbox");

    // Both are loops: a round trip is two messages, two wakes and two returns from a poll, and nothing else.
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
    // With the system call, which finds nobody asleep.
    group.bench_function("send that wakes, and take", |bencher| {
        bencher.iter(|| {
            inbox.lower();
            mailbox.send(1);
            inbox.take().unwrap()
        });
    });
    // From the first of these on the flag is up: nobody lowers it.
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
