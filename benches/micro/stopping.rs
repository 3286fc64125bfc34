//! Measures a stop by the number of idle connections. The loop decides on each connection, closes it and lingers. The time must
//! grow linearly at most.
//!
//! Both ends are in this process, so the usual 1024 descriptors bound the number of connections. The cost of one connection
//! is the difference of two figures, divided by the difference of their numbers. It includes the close by the client.

use std::{
    io::Read,
    net::TcpStream,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, SamplingMode};
use softstop::{Request, Router, StopPolicy, route};

use crate::support::{Asking, serve};

const CROWDS: [usize; 4] = [0, 1, 100, 400];
/// Without a quiet period, because otherwise the stop would wait for a last request of young connections.
const NO_QUIET: Duration = Duration::ZERO;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stop/idle connections");
    // A stop takes milliseconds, and so does the next start.
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    for crowd in CROWDS {
        group.bench_function(BenchmarkId::from_parameter(crowd), |bencher| {
            bencher.iter_custom(|stops| (0..stops).map(|_| stop(crowd)).sum());
        });
    }
    group.finish();
}

/// How long a stop takes with this many connections. Each of them has got one answer before.
fn stop(crowd: usize) -> Duration {
    let (server, address) = serve(Router::new().get("/", route(|_: &Request| "ok").inline()));
    let clients: Vec<TcpStream> = (0..crowd).map(|_| Asking::new(address, "/", 1).into_stream()).collect();
    // The clients close their side, in the order of their connections.
    let closing = std::thread::spawn(move || {
        for mut client in clients {
            assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
        }
    });
    let asked = Instant::now();
    let report = server.stop(StopPolicy::default().quiet(NO_QUIET));
    let took = asked.elapsed();
    closing.join().unwrap();
    assert!(report.is_clean(), "{report}");
    took
}
