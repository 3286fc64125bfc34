//! Measures the change of a connection's deadline, which every request makes. Apart from the caches of the processor, the
//! cost must not depend on the number of connections.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion};
use softstop::internals::Deadlines;

const CROWDS: [usize; 2] = [1, 10_000];
/// Coprime with both numbers of connections, so that the bench visits all connections, but not in the order of memory.
const STRIDE: usize = 7919;
/// Later than all deadlines at the beginning.
const HOUR: Duration = Duration::from_secs(3600);

/// All connections one after the other, with growing times, because new deadlines are later than old ones.
struct Turns {
    slot: usize,
    at: Instant,
    crowd: usize,
}

impl Turns {
    fn next(&mut self) -> (usize, Instant) {
        self.slot = (self.slot + STRIDE) % self.crowd;
        self.at += Duration::from_nanos(1);
        (self.slot, self.at)
    }
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deadlines");
    let first = Instant::now();
    for crowd in CROWDS {
        let mut deadlines = Deadlines::none();
        (0..crowd).for_each(|slot| deadlines.set_idle(slot, first));
        let mut turns = Turns { slot: 0, at: first + HOUR, crowd };
        group.bench_function(BenchmarkId::new("cancel and arm", crowd), |bencher| {
            bencher.iter(|| {
                let (slot, at) = turns.next();
                deadlines.cancel(slot);
                deadlines.set_idle(slot, at);
            });
        });
        group.bench_function(BenchmarkId::new("move to a later time", crowd), |bencher| {
            bencher.iter(|| {
                let (slot, at) = turns.next();
                deadlines.set_idle(slot, at);
            });
        });
        group.bench_function(BenchmarkId::new("move to another kind and back", crowd), |bencher| {
            bencher.iter(|| {
                let (slot, at) = turns.next();
                deadlines.set_header(slot, at);
                deadlines.set_idle(slot, at);
            });
        });
        group.bench_function(BenchmarkId::new("leave as it is", crowd), |bencher| {
            // After every event the loop sets the deadline of the connection again, often to the same value.
            let (slot, at) = turns.next();
            deadlines.set_idle(slot, at);
            bencher.iter(|| deadlines.set_idle(black_box(slot), black_box(at)));
        });
        group.bench_function(BenchmarkId::new("find the next one", crowd), |bencher| {
            bencher.iter(|| black_box(&deadlines).next());
        });
        group.bench_function(BenchmarkId::new("take out one that is over and arm it", crowd), |bencher| {
            bencher.iter(|| {
                let (_, at) = turns.next();
                let slot = deadlines.pop_expired(at).unwrap();
                deadlines.set_idle(slot, at);
            });
        });
    }
    group.finish();
}
