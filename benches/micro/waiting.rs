//! Measures wait groups and contexts: making, asking and ending them.

use std::{hint::black_box, time::Duration};

use criterion::{BatchSize, Criterion, Throughput};
use softstop::{Cause, Context, WaitGroup};

/// Children of a context that is cancelled, like the requests in flight when the grace period of a stop ends.
const CHILDREN: usize = 1000;
/// Longer than a bench, so the deadline is armed and cancelled, and never passes.
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wait group");
    let work = WaitGroup::new();
    group.bench_function("a guard that reaches zero", |bencher| bencher.iter(|| drop(work.guard())));
    let busy = work.guard();
    group.bench_function("a guard among others", |bencher| bencher.iter(|| drop(work.guard())));
    drop(busy);
    group.bench_function("waiting for zero at zero", |bencher| bencher.iter(|| work.wait()));
    group.finish();

    let mut group = criterion.benchmark_group("context");
    let root = Context::new();
    group.bench_function("create", |bencher| bencher.iter(Context::new));
    group.bench_function("create a child and drop it", |bencher| bencher.iter(|| root.child()));
    group.bench_function("ask whether it has ended", |bencher| {
        bencher.iter(|| black_box(&root).is_cancelled());
    });
    group.bench_function("end one that nobody waits for", |bencher| {
        bencher.iter_batched_ref(
            Context::new,
            |context| context.cancel(Cause::Stopping),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("register a callback and call it off", |bencher| {
        bencher.iter(|| root.on_cancel(|_| {}));
    });
    // The thread of the timer exists all the time, as in a server whose requests have deadlines.
    let _other = root.with_timeout(HOUR);
    group.bench_function("arm a deadline and cancel it", |bencher| bencher.iter(|| root.with_timeout(HOUR)));
    group.throughput(Throughput::Elements(CHILDREN as u64));
    group.bench_function("end one with 1000 children", |bencher| {
        let family = || {
            let parent = Context::new();
            let children: Vec<Context> = (0..CHILDREN).map(|_| parent.child()).collect();
            (parent, children)
        };
        bencher.iter_batched_ref(family, |(parent, _)| parent.cancel(Cause::Stopping), BatchSize::LargeInput);
    });
    group.finish();
}
