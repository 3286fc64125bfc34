//! Measures a request and its answer over a socket: inline, on the pool, and in batches.
//!
//! The difference between pool and inline is the path to a worker and back: the queue, the wake of the worker, the mailbox and
//! the wake of the loop. A batch shares the wakes. Every request arms and cancels the deadlines of its connection.

use criterion::{Criterion, Throughput};
use softstop::{Request, Router, route};

use crate::support::{Asking, serve};

pub(crate) fn bench(criterion: &mut Criterion) {
    let routes = Router::new()
        .get("/inline", route(|_: &Request| "ok").inline())
        .get("/pool", |_: &Request| "ok")
        .get(
            "/context",
            route(|request: &Request| if request.context().is_cancelled() { "no" } else { "ok" }).inline(),
        );
    let (_server, address) = serve(routes);
    let mut group = criterion.benchmark_group("serve");
    for (name, target, depth) in [
        ("inline", "/inline", 1),
        ("inline, with its context", "/context", 1),
        ("pool", "/pool", 1),
        ("inline, 16 pipelined", "/inline", 16),
        ("pool, 16 pipelined", "/pool", 16),
    ] {
        group.throughput(Throughput::Elements(depth as u64));
        let mut client = Asking::new(address, target, depth);
        group.bench_function(name, |bencher| bencher.iter(|| client.ask()));
    }
    group.finish();
}
