//! Measures the decisions of one loop during a stop, for ten thousand connections: the phases, the verdict on each connection,
//! and its deadline. `micro` and `stop_idle` measure whole stops with sockets.

use criterion::{BenchmarkId, Criterion, Throughput};
use softstop::internals::{Draining, Standing};

const CROWD: usize = 10_000;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("drain");
    let mut nobody = Draining::new([]);
    // Three actions of the phase, the announcement and the review.
    assert_eq!((nobody.begin(), nobody.advance()), (5, 0));
    group.bench_function("begin", |bencher| bencher.iter(|| nobody.begin()));
    group.bench_function("go on, with nothing to do", |bencher| bencher.iter(|| nobody.advance()));
    group.finish();

    let mut group = criterion.benchmark_group("drain/10000 connections");
    group.throughput(Throughput::Elements(CROWD as u64));
    let all = [Standing::Quiet, Standing::InHead, Standing::InFlight, Standing::Lingering];
    let mut mixed = Draining::new(all.into_iter().cycle().take(CROWD));
    assert_eq!((mixed.hint(), mixed.decide()), (CROWD / 4, CROWD / 2));
    group.bench_function("hint/mixed", |bencher| bencher.iter(|| mixed.hint()));
    for (name, standings) in [
        ("quiet", &[Standing::Quiet][..]),
        ("in a head", &[Standing::InHead]),
        ("in flight", &[Standing::InFlight]),
        ("lingering", &[Standing::Lingering]),
        ("mixed", &all),
    ] {
        let mut draining = Draining::new(standings.iter().copied().cycle().take(CROWD));
        group.bench_function(BenchmarkId::new("decide", name), |bencher| bencher.iter(|| draining.decide()));
        group.bench_function(BenchmarkId::new("decide and set deadlines", name), |bencher| {
            bencher.iter(|| draining.review());
        });
    }
    group.finish();
}
