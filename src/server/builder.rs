//! What a server is built with.

use std::sync::{Arc, Condvar, Mutex};

use super::{Control, Server, ServerHandle, State};
use crate::{
    app::{
        into_response::IntoResponse,
        middleware::{OnRefusal, RefusedRequest},
        router::Router,
    },
    config::{Config, OnListenerFailure, Timeouts, Watcher},
    http::Limits,
    observe::Observer,
};

/// Configures a [`Server`].
#[derive(Debug)]
pub struct ServerBuilder {
    pub(super) config: Config,
    pub(super) router: Router,
}

impl ServerBuilder {
    /// The name by which logs, errors and reports call the server. Default `server`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// An address to listen on, as `host:port`; port 0 lets the system choose (see [`ServerHandle::addresses`]). May be
    /// called several times.
    ///
    /// | address | listens on |
    /// | --- | --- |
    /// | `127.0.0.1:8080`, `[::1]:8080` | this address |
    /// | `0.0.0.0:8080` | every IPv4 address of the machine |
    /// | `[::]:8080` | every IPv6 address, and no IPv4 address (`IPV6_V6ONLY` is set, whatever the system's default is) |
    /// | `:8080` | every address of both families: two listeners on one port |
    /// | `localhost:8080` | `127.0.0.1` and `::1`: two listeners on one port |
    /// | `name:8080` | every address of this machine that the name resolves to |
    ///
    /// Addresses that the machine does not have are left out, for instance `::1` where IPv6 is switched off, as long as
    /// one of them can be had.
    ///
    /// # Panics
    ///
    /// If it was called with the same address before (other than with port 0, which is another port each time): the second
    /// listener could never be had.
    #[must_use]
    #[track_caller]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        let address = address.into();
        let is_doubled = self.config.listen.contains(&address) && !address.ends_with(":0");
        assert!(!is_doubled, "{}: is told to listen on {address} twice: say it once", self.config.name);
        self.config.listen.push(address);
        self
    }

    /// What it serves.
    #[must_use]
    pub fn routes(mut self, router: Router) -> Self {
        self.router = router.finish();
        self
    }

    /// How much of a request it takes in.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// How long clients may take.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.config.timeouts = timeouts;
        self
    }

    /// The number of event loops, at least 1. Default: one per core.
    #[must_use]
    pub fn loops(mut self, loops: usize) -> Self {
        self.config.loops = loops.max(1);
        self
    }

    /// The most worker threads, at least 1; they are made on demand. Default 512.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.config.workers = workers.max(1);
        self
    }

    /// How many requests may wait for a worker, at least 1; more are answered 503. Default 1024.
    #[must_use]
    pub fn queue(mut self, queue: usize) -> Self {
        self.config.queue = queue.max(1);
        self
    }

    /// The most connections at once, at least 1; above it, clients wait in the kernel's accept queue. Default 65,536.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.config.connections = connections.max(1);
        self
    }

    /// The most requests on one connection, at least 1; the last one's response says `Connection: close`. Default: no
    /// limit.
    #[must_use]
    pub fn requests_per_connection(mut self, requests: u64) -> Self {
        self.config.requests_per_connection = Some(requests.max(1));
        self
    }

    /// What the server does when a listener fails for good: the kernel answers `EINVAL` or `EBADF` to every further
    /// `accept`, because somebody has destroyed the socket (`ss -K`) or shut it down. Default
    /// [`OnListenerFailure::Fail`]. Either way the error is logged and the observer is told
    /// ([`Event::ListenerFailed`](crate::observe::Event::ListenerFailed)).
    #[must_use]
    pub fn on_listener_failure(mut self, choice: OnListenerFailure) -> Self {
        self.config.on_listener_failure = choice;
        self
    }

    /// Has `observer` told what happens in the server: see [`Observer`]. The last one given is the one.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.config.observer = Watcher(Some(Arc::new(observer)));
        self
    }

    /// Has `respond` make the response to each request that the server answers itself, in place of the handler: malformed,
    /// too large or too slow ones, the 503 of a full queue and of a stop, and the answer at a
    /// [time limit](crate::routing::Route::timeout), unless that route [has its own](crate::routing::Route::timeout_with). Answers of the router (404,
    /// 405, 501) are no refusals: they are made by [`Router::fallback`] and passed through the wrappers.
    ///
    /// - The status stays that of the refusal unless the response has an error status (4xx, 5xx) of its own, so a text or a
    ///   JSON value can be returned as it is.
    /// - The connection is closed where it would be closed without this, and the response says so.
    /// - It runs on the event loop, so it must not block. A panic is logged, and the server's own answer is sent. So it is
    ///   for a response whose content is not in memory.
    /// - The wrappers of the route are told afterwards: see [`Wrap::refused`](crate::middleware::Wrap::refused).
    ///
    /// The last one given is the one.
    ///
    /// ```
    /// use softstop::{IntoResponse, middleware::RefusedRequest, Router, Server};
    ///
    /// let builder = Server::builder().routes(Router::new()).on_refusal(|refused: &RefusedRequest<'_>| {
    ///     let id = refused.header("X-Request-Id").unwrap_or("none");
    ///     let json = format!("{{\"status\": {}, \"id\": {id:?}}}", refused.status().as_u16());
    ///     json.into_response().content_type("application/json")
    /// });
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn on_refusal<R: IntoResponse>(
        mut self,
        respond: impl Fn(&RefusedRequest<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        let hook = move |refused: &RefusedRequest<'_>| respond(refused).into_response();
        self.config.on_refusal = OnRefusal(Some(Arc::new(hook)));
        self
    }

    /// The server, not started yet.
    #[must_use]
    pub fn build(self) -> Server {
        let config = Arc::new(self.config);
        let control = Arc::new(Control {
            config: Arc::clone(&config),
            history: Mutex::default(),
            state: Mutex::new(State::New { stop: None }),
            started: Condvar::new(),
        });
        Server { handle: ServerHandle { control }, config, router: Arc::new(self.router) }
    }
}
