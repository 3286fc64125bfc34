//! The server: configure, start, stop, wait, start again.
//!
//! One running server is five types:
//!
//! | type | what it is | lives |
//! | --- | --- | --- |
//! | [`Server`] | what the user owns: the only one that can start | as long as the user wants |
//! | [`ServerHandle`] | the remote control: stops, waits, asks; clones of it are everywhere | with its last clone |
//! | [`Lifecycle`] | the state that the server and its handles share: new, starting, running, stopped | as long as any of these |
//! | [`Run`](crate::engine::run::Run) | one run: what its threads share, and the threads | from a start to the end of its stop |
//! | [`ClosedRun`](crate::engine::run::ClosedRun) | what a run has left: the report, kept listeners | until the next run is closed |
//!
//! `lifecycle.rs` has the picture of the states. Each loop of a run has an `EventLoop` with a `LoopContext` of its own.

mod builder;
mod handle;
mod lifecycle;
mod listeners;
mod metrics_route;
mod readiness_route;
mod start;

use std::{fmt, net::SocketAddr, sync::Arc};

pub use builder::ServerBuilder;
pub use handle::ServerHandle;
use lifecycle::Lifecycle;
pub use metrics_route::{MetricsRoute, metrics_route};
pub use readiness_route::{ReadinessRoute, readiness_route};
use start::Start;

use crate::{
    app::router::Router,
    config::Config,
    error::Error,
    listen_address::ListenAddress,
    stop::{StopPolicy, StopReport},
};

/// An HTTP server that can be started and stopped, as often as you like.
///
/// ```
/// use softstop::{Router, Server, StopPolicy, route};
///
/// # fn main() -> Result<(), softstop::Error> {
/// let server = Server::builder()
///     .name("hello")
///     .listen("127.0.0.1:0")
///     .routes(Router::new().get("/", route(|_| "Hello, world!").inline()))
///     .build();
/// for _ in 0..3 {
///     server.start()?; // returns when it is listening; this thread is free
///     let report = server.stop(StopPolicy::default());
///     assert!(report.is_clean());
/// }
/// # Ok(())
/// # }
/// ```
///
/// The drop of a running server stops it with the default policy, and waits for the end of the stop. On one of the server's own
/// threads the drop only asks for the stop.
pub struct Server {
    handle: ServerHandle,
    router: Arc<Router>,
}

impl Server {
    /// Begins to configure a server.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder { config: Config::default(), router: Router::new() }
    }

    /// A handle to this server.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// The addresses that the server listens on while it runs: see [`ServerHandle::addresses`].
    #[must_use]
    pub fn addresses(&self) -> Vec<ListenAddress> {
        self.handle.addresses()
    }

    /// The TCP addresses among them: see [`ServerHandle::socket_addrs`].
    #[must_use]
    pub fn socket_addrs(&self) -> Vec<SocketAddr> {
        self.handle.socket_addrs()
    }

    /// Binds all addresses, starts the loops, and returns. From then on the server serves, and the calling thread is free.
    ///
    /// - A stop that was asked for before the first start, or during a start, is not lost: the server starts, and stops at once.
    /// - Listeners that the last stop has kept ([`StopPolicy::keep_listener`]) are used again. The clients in their accept queues
    ///   are served.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Io`](crate::ErrorKind::Io) if an address could not be bound, or the system has no descriptor or thread for a loop. The error names
    ///   the address. Nothing is left open.
    /// - [`ErrorKind::Misuse`](crate::ErrorKind::Misuse) if the server runs, is being started by another thread, is still stopping ([`wait`](Server::wait) for
    ///   it first), or has no address to listen on.
    pub fn start(&self) -> Result<(), Error> {
        self.bind()?.serve(None)
    }

    /// Reads the addresses that the server is to listen on, and says what is wrong with them. Binds nothing.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Misuse`](crate::ErrorKind::Misuse) if an address cannot be understood, or there is none.
    /// - [`ErrorKind::Io`](crate::ErrorKind::Io) if a name in an address cannot be resolved.
    ///
    /// An address that is in use is not found.
    pub fn check(&self) -> Result<(), Error> {
        start::check(&self.handle.lifecycle.config)
    }

    /// Stops the server, and waits for the end of the stop. Returns within the times of the policy, whatever the handlers do.
    ///
    /// In this order:
    /// 1. The listener refuses new clients. It accepts every client in its accept queue, and every client whose handshake is
    ///    half open. Then it closes. ([`StopReport::listener`] says how.)
    /// 2. Connections that have been quiet for long are closed. Younger ones may send one more request.
    /// 3. Requests in flight finish. Their responses say `Connection: close`.
    /// 4. When the grace period is over, the contexts of the handlers that still run are cancelled.
    /// 5. When the cancel grace is over, too, everything that is left is closed, and named in the report.
    ///
    /// Not waited for: threads of your own.
    ///
    /// A server that does not run is left alone: see [`StopReport::was_running`]. On one of the server's own threads, for instance
    /// in a handler, this call would wait for itself. There it only asks for the stop, as [`ServerHandle::request_stop`]
    /// does, and the report says so.
    pub fn stop(&self, policy: StopPolicy) -> StopReport {
        // One run for the stop and for the report, because another thread may close this run and start the next one in between.
        let Some(run) = self.handle.lifecycle.run_after_start() else {
            self.handle.lifecycle.close_listeners(&policy);
            return StopReport::idle(self.handle.name());
        };
        run.stop(&policy);
        self.handle.report_of(&run)
    }

    /// Waits until the server has stopped, for any reason. Returns the report of that run; if the server does not run, the report
    /// of the last run. If the server has never been started, the call returns at once, with an idle report.
    pub fn wait(&self) -> StopReport {
        self.handle.wait()
    }

    /// Binds without serving: clients that connect wait in the accept queue.
    pub(crate) fn bind(&self) -> Result<Start<'_>, Error> {
        Start::bind(self, &mut Vec::new())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(StopPolicy::default());
        // Handles live on, kept listeners do not.
        self.handle.lifecycle.give_up_listeners();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("name", &self.handle.name())
            .field("phase", &self.handle.phase())
            .field("routes", &self.router)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
