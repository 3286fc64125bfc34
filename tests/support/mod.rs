//! Shared by the integration tests: a client that sees every byte, handlers that a test holds, and the program as a child
//! process (`program.rs`, for the tests that need it). Nothing in here sleeps. The one time-out only detects a hang.
#![allow(dead_code, reason = "each test program uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub(crate) mod client;
pub(crate) mod gate;
pub(crate) mod process;
pub(crate) mod transport;

use std::{
    net::SocketAddr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use softstop::{Router, Server, ServerBuilder, StopPolicy, report::StopReport};

/// Longer than anything here takes on the slowest machine. A wait of this length is a hang.
pub(crate) const HUNG: Duration = Duration::from_secs(30);

/// The delay that a busy machine may add to a guaranteed bound.
pub(crate) const NOISE: Duration = Duration::from_secs(10);

/// A builder of a server on a free port, with two loops.
pub(crate) fn local() -> ServerBuilder {
    transport::listen(Server::builder().name("tested").listen("127.0.0.1:0").loops(2))
}

/// Builds and starts a server. Returns the server and its first address.
pub(crate) fn start(builder: ServerBuilder) -> (Server, SocketAddr) {
    let server = builder.build();
    server.start().unwrap();
    let address = transport::first_address(&server);
    (server, address)
}

/// A running server of these routes.
pub(crate) fn serve(routes: Router) -> (Server, SocketAddr) {
    start(local().routes(routes))
}

/// A policy whose grace period is longer than a test may take.
pub(crate) fn patient() -> StopPolicy {
    StopPolicy::default().grace(HUNG * 2)
}

/// Runs `body` on a thread of its own. [`soon`] waits for the result.
pub(crate) fn in_background<T: Send + 'static>(
    body: impl FnOnce() -> T + Send + 'static,
) -> mpsc::Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(body()));
    receiver
}

/// The next message of a background thread or a handler. A hang or a panic there fails the test.
#[track_caller]
pub(crate) fn soon<T>(receiver: &mpsc::Receiver<T>) -> T {
    receiver.recv_timeout(HUNG).expect("the other thread neither hangs nor panics")
}

/// Stops the server in the background. Returns when the stop has begun. The channel delivers the report.
pub(crate) fn begin_stop(server: &Server, policy: StopPolicy) -> mpsc::Receiver<StopReport> {
    let handle = server.handle();
    handle.request_stop(policy);
    assert!(!handle.is_ready(), "the stop has begun");
    in_background(move || handle.wait())
}

/// Yields to other threads until the condition holds. For conditions that no event announces.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < HUNG, "waited in vain: {what}");
        thread::yield_now();
    }
}
