//! Measures how a loop finds the connection of an event. The values are numbers here, so the cost of moving a connection in
//! or out is not included.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use softstop::internals::Table;

const CROWDS: [usize; 2] = [1, 10_000];
/// Coprime with both sizes, so that the bench visits all values, but not in the order of memory.
const STRIDE: usize = 7919;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table");
    for crowd in CROWDS {
        let mut table = Table::empty();
        let mut keys: Vec<usize> = (0..crowd).map(|_| table.insert(0)).collect();
        let mut place = 0;
        group.bench_function(BenchmarkId::new("get", crowd), |bencher| {
            bencher.iter(|| {
                place = (place + STRIDE) % crowd;
                *table.get(keys[place]).unwrap() += 1;
            });
        });
        group.bench_function(BenchmarkId::new("remove and insert", crowd), |bencher| {
            bencher.iter(|| {
                place = (place + STRIDE) % crowd;
                let value = table.remove(keys[place]).unwrap();
                keys[place] = table.insert(black_box(value));
            });
        });
        let stale = keys[0];
        table.remove(stale).unwrap();
        table.insert(0);
        group.bench_function(BenchmarkId::new("get one that has gone", crowd), |bencher| {
            bencher.iter(|| assert_eq!(table.get(black_box(stale)), None));
        });
    }
    group.finish();
}
