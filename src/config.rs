//! What a server is built with: every bound and default in one place, each with the reason for its value.
//!
//! [`Timeouts`] is in a file of its own. The bounds of one request message are [`Limits`].

mod bound_listener;
mod timeouts;

use std::{fmt, sync::Arc, thread, time::Duration};

pub use self::{bound_listener::BoundListener, timeouts::Timeouts};
pub(crate) use bound_listener::{Bound, ListenOn, Sharing};

use crate::{
    app::middleware::OnRefusal,
    http::Limits,
    isolation::{contain::catch, journal},
    observe::{Event, Observer},
};

/// The choice of a server for the case that one of its listeners fails for good: see
/// [`ServerBuilder::on_listener_failure`](crate::ServerBuilder::on_listener_failure).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnListenerFailure {
    /// The server stops with the default [`StopPolicy`](crate::StopPolicy), so that requests in flight finish. Its
    /// report has the error as its [failure](crate::report::StopReport::failure).
    ///
    /// The default, because a supervisor restarts a process that ends with an error, but does not see one that listens
    /// on fewer addresses than it should.
    #[default]
    Fail,
    /// The server serves on with its other listeners and its connections, even if no listener is left. The report names
    /// the error among its [listener failures](crate::report::StopReport::listener_failures).
    ServeOn,
}

/// The settings of one server, as its builder has left them.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) listen: Vec<ListenOn>,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    /// The number of event loops. Default: one per core, because a loop never blocks.
    pub(crate) loops: usize,
    /// The most worker threads. Default 512, because blocking handlers need as many threads as there are requests at
    /// once. Threads are made on demand, so a server with inline handlers only has none.
    pub(crate) max_workers: usize,
    /// The most requests that wait for a worker; more are answered 503. Default 1024: two rounds of the full pool.
    /// Beyond that, waiting only makes the answers late.
    pub(crate) max_queued: usize,
    /// The most open connections; above it, clients wait in the accept queue. Default 65,536: at 512 bytes each, as
    /// many idle connections cost 32 MiB.
    pub(crate) max_connections: usize,
    /// The most requests on one connection. Default: no limit. Some balancers spread the load better with one.
    pub(crate) max_requests_per_connection: Option<u64>,
    /// The age at which a kept-alive connection ends. Default: no limit.
    pub(crate) max_connection_age: Option<Duration>,
    /// The length of the kernel's accept queue. Default 4096, which the kernel caps to `net.core.somaxconn`.
    pub(crate) backlog: i32,
    pub(crate) on_listener_failure: OnListenerFailure,
    /// The observer that is told what happens. Default: none.
    pub(crate) observer: Watcher,
    /// Makes the response to a refused request. Default: the server's own response.
    pub(crate) on_refusal: OnRefusal,
}

/// The observer of a server, if there is one.
#[derive(Clone, Default)]
pub(crate) struct Watcher(pub(crate) Option<Arc<dyn Observer>>);

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "somebody" } else { "nobody" })
    }
}

impl Config {
    /// Whether an observer is set. Ask before building an expensive event.
    pub(crate) fn is_observed(&self) -> bool {
        self.observer.0.is_some()
    }

    /// Tells the observer, if there is one. The calling thread runs the observer's code.
    #[inline]
    pub(crate) fn observe(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer.0 {
            // The panic of an observer must not end the loop that calls the observer.
            if let Err(panic) = catch(|| observer.observe(&self.name, event)) {
                journal::error!("{}: the observer panicked at {event:?}: {panic}", self.name);
            }
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            name: "server".to_owned(),
            listen: Vec::new(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            loops: thread::available_parallelism().map_or(1, usize::from),
            max_workers: 512,
            max_queued: 1024,
            max_connections: 65_536,
            max_requests_per_connection: None,
            max_connection_age: None,
            backlog: 4096,
            on_listener_failure: OnListenerFailure::default(),
            observer: Watcher::default(),
            on_refusal: OnRefusal::default(),
        }
    }
}
