//! Measures the path of a request to a worker and of its answer into the mailbox, without parser, socket and wake of the loop.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use softstop::{Request, Router, internals::Pool};

/// Requests that are made in advance, which is not measured.
const PREPARED: u64 = 1024;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut pool = Pool::new(Router::new().get("/", |_: &Request| "ok")).unwrap();
    let mut group = criterion.benchmark_group("pool/dispatch in one turn");
    // With one request the wakes of two threads dominate. With sixteen they are the smaller part.
    for depth in [1, 16] {
        group.throughput(Throughput::Elements(depth));
        group.bench_function(BenchmarkId::from_parameter(depth), |bencher| {
            bencher.iter_custom(|turns| {
                let mut took = Duration::ZERO;
                let mut left = turns;
                while left > 0 {
                    let at_once = left.min(PREPARED / depth);
                    let mut requests = pool.prepare((at_once * depth) as usize).unwrap().into_iter();
                    let began = Instant::now();
                    for _ in 0..at_once {
                        pool.answer(requests.by_ref().take(depth as usize));
                    }
                    took += began.elapsed();
                    left -= at_once;
                }
                took
            });
        });
    }
    group.finish();
}
