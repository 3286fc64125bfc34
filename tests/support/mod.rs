//! What the integration tests share: a client that sees every byte, handlers that the test holds, and the program as a
//! child process (in `program`, for the tests that need it). Nothing in here sleeps; the one time-out only says that something hangs.
#![allow(dead_code, reason = "each test program uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub(crate) mod client;
pub(crate) mod gate;
pub(crate) mod process;

use std::{
    net::SocketAddr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use softstop::{Router, Server, ServerBuilder, StopPolicy, report::StopReport};

/// Longer than anything here takes on the slowest machine: whoever waits that long waits for ever.
pub(crate) const HUNG: Duration = Duration::from_secs(30);

/// What a machine that is busy with other things may add to a bound that was promised.
pub(crate) const NOISE: Duration = Duration::from_secs(10);

/// A server on a free port, with two loops, not built yet.
pub(crate) fn local() -> ServerBuilder {
    Server::builder().name("tested").listen("127.0.0.1:0").loops(2)
}

/// Builds and starts a server: itself and its first address.
pub(crate) fn start(builder: ServerBuilder) -> (Server, SocketAddr) {
    let server = builder.build();
    server.start().unwrap();
    let address = server.handle().addresses()[0];
    (server, address)
}

/// A running server of these routes.
pub(crate) fn serve(routes: Router) -> (Server, SocketAddr) {
    start(local().routes(routes))
}

/// A stop that gives everybody the time that a test may take.
pub(crate) fn patient() -> StopPolicy {
    StopPolicy::default().grace(HUNG * 2)
}

/// Runs `body` on a thread of its own; its result can be waited for with [`soon`].
pub(crate) fn in_background<T: Send + 'static>(
    body: impl FnOnce() -> T + Send + 'static,
) -> mpsc::Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(body()));
    receiver
}

/// What a background thread or a handler has to say, unless it hangs or has panicked.
#[track_caller]
pub(crate) fn soon<T>(receiver: &mpsc::Receiver<T>) -> T {
    receiver.recv_timeout(HUNG).expect("it neither hangs nor panics")
}

/// Stops the server in the background: the report comes through the channel. Returns once the stop has begun.
pub(crate) fn begin_stop(server: &Server, policy: StopPolicy) -> mpsc::Receiver<StopReport> {
    let handle = server.handle();
    handle.request_stop(policy);
    assert!(!handle.is_ready(), "the stop has begun");
    in_background(move || handle.wait())
}

/// Gives other threads their turn until the condition holds: for what no event tells of.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < HUNG, "waited in vain: {what}");
        thread::yield_now();
    }
}
