//! A stop, by the number of idle connections: each of them is decided on, closed and lingered for. It has to grow linearly
//! at most.
//!
//! Both ends are in this process, so there are as many as the usual 1024 descriptors allow. What one connection costs is
//! the difference of two figures, divided by that of their numbers; the client's close of each is in it.

use std::{
    io::Read,
    net::TcpStream,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, SamplingMode};
use softstop::{Request, Router, StopPolicy, route};

use crate::support::{Asking, serve};

const CROWDS: [usize; 4] = [0, 1, 100, 400];
/// So that no connection is young when the stop comes: what is waited for otherwise is the client's last request.
const NO_QUIET: Duration = Duration::ZERO;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stop/idle connections");
    // A stop is milliseconds, and starting again is as much.
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    for crowd in CROWDS {
        group.bench_function(BenchmarkId::from_parameter(crowd), |bencher| {
            bencher.iter_custom(|stops| (0..stops).map(|_| stop(crowd)).sum());
        });
    }
    group.finish();
}

/// How long a stop takes with so many connections, on each of which a request has been answered.
fn stop(crowd: usize) -> Duration {
    let (server, address) = serve(Router::new().get("/", route(|_: &Request| "ok").inline()));
    let clients: Vec<TcpStream> = (0..crowd).map(|_| Asking::new(address, "/", 1).into_stream()).collect();
    // Whoever is closed closes, too; the order is that in which they came.
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
