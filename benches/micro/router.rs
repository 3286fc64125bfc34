//! Measures routing by the number of routes of a server. The client sends 64 requests in one write, so that system calls are
//! the smaller part. The cost of one lookup is the difference to a single route, divided by 64.

use criterion::{Criterion, Throughput};
use softstop::{Request, Router, route};

use crate::support::{Asking, serve};

const DEPTH: usize = 64;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route/64 requests inline");
    group.throughput(Throughput::Elements(DEPTH as u64));
    for (name, routes, target) in [
        ("the only route", 0, "/users/all"),
        ("the same among 200", 200, "/users/all"),
        ("with two parameters among 200", 200, "/things/17/parts/4"),
    ] {
        let mut router = Router::new().get("/users/all", route(|_: &Request| "ok").inline());
        for number in 0..routes {
            router = router.get(&format!("/users/{number}/profile"), route(|_: &Request| "another").inline());
        }
        if routes > 0 {
            router = router.get("/things/{thing}/parts/{part}", route(|_: &Request| "ok").inline());
        }
        let (_server, address) = serve(router);
        let mut client = Asking::new(address, target, DEPTH);
        group.bench_function(name, |bencher| bencher.iter(|| client.ask()));
    }
    group.finish();
}
