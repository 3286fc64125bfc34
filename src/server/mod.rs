//! The server: configure, start, stop, wait, start again.
//!
//! ```text
//!             start()                       the run has ended, and
//!   New ------------------> Running ----- wait(), stop() or start() ----> Stopped
//!    ^  \                   ^     ^       has collected its report          |
//!    |   +--> Starting -----+     +------------- Starting <--- start() -----+
//!    +----------+ (could not bind)
//! ```

mod builder;
mod handle;
mod live;
mod metrics_route;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex},
    time::Instant,
};

pub use builder::ServerBuilder;
pub use handle::ServerHandle;
use live::{Live, Past};
pub use metrics_route::{MetricsRoute, metrics_route};

use crate::{
    app::router::Router,
    config::Config,
    engine::{
        net::{Listener, bind},
        run::News,
    },
    error::Error,
    isolation::journal,
    metrics::Totals,
    stop::{Context, StopPolicy, StopReport},
    sync::lock,
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
/// Dropping a running server stops it with the default policy, and waits for that (except on one of its own threads).
pub struct Server {
    handle: ServerHandle,
    config: Arc<Config>,
    router: Arc<Router>,
}

struct Control {
    config: Arc<Config>,
    /// Of the runs before the one that is under way. Locked behind `state`, if with it.
    history: Mutex<History>,
    state: Mutex<State>,
    /// Notified when a start has succeeded or failed.
    started: Condvar,
}

/// What a server has been through.
#[derive(Default)]
struct History {
    starts: u64,
    totals: Totals,
}

enum State {
    /// Never started, or the start failed. A stop that came too early waits here for the first start.
    New {
        stop: Option<StopPolicy>,
    },
    /// `before`: what the last run has left, for the case that this start fails.
    Starting {
        stop: Option<StopPolicy>,
        before: Option<Box<Past>>,
    },
    Running(Arc<Live>),
    Stopped(Box<Past>),
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

    /// The addresses it listens on while it runs: see [`ServerHandle::addresses`].
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.handle.addresses()
    }

    /// Binds all addresses, starts the loops and returns: from now on the server serves, and this thread is free.
    ///
    /// A stop that was asked for before the first start, or comes during a start, is not lost: the server starts, and
    /// stops at once. Listeners that the last stop has kept ([`StopPolicy::keep_listener`]) are used again, and whoever
    /// waits in their accept queues is served.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) with the address that could not be bound; nothing is left open then. [`ErrorKind::Misuse`](crate::ErrorKind::Misuse) if the
    /// server is running, or is still stopping ([`wait`](Server::wait) for it), or has no address to listen on.
    pub fn start(&self) -> Result<(), Error> {
        self.bind()?.serve(None)
    }

    /// Stops the server and waits for that: no longer than the policy allows, whatever the handlers do.
    ///
    /// In order: the listener refuses new clients, accepts everybody in its accept queue and everybody whose handshake is
    /// half open, and closes ([`StopReport::listener`] says how); connections that have
    /// been quiet for long are closed, younger ones may send one more request; requests in flight finish, their
    /// responses say `Connection: close`; when the grace period is over, the contexts of the handlers that still run are
    /// cancelled; when that time is over too, what is left is closed, and named in the report.
    ///
    /// Not waited for: threads of your own. A server that is not running is left alone: see
    /// [`StopReport::was_running`]. On one of the server's own threads, in a handler, this would wait for
    /// itself: there it only asks for the stop, as [`ServerHandle::request_stop`] does, and the report says so.
    pub fn stop(&self, policy: StopPolicy) -> StopReport {
        // One run for both: another thread may collect this one and start the next in between.
        let Some(live) = self.handle.running() else {
            if let State::Stopped(past) = &mut *lock(&self.handle.control.state) {
                past.close_listeners(&policy);
            }
            return StopReport::idle(&self.config.name);
        };
        live.run.stop(&policy);
        self.handle.report_of(&live)
    }

    /// Waits until the server has stopped, for whatever reason: the report of that run, or of the last one. A server
    /// that has never been started is not waited for.
    pub fn wait(&self) -> StopReport {
        self.handle.wait()
    }

    /// Binds without serving: clients that connect wait.
    pub(crate) fn bind(&self) -> Result<Binding<'_>, Error> {
        let listeners = self.claim()?;
        Binding { server: self, listeners, served: false }.listen()
    }

    /// Takes the right to start, which one thread has at a time, and the listeners that the last run has left open.
    fn claim(&self) -> Result<Vec<Listener>, Error> {
        let name = &self.config.name;
        loop {
            {
                let mut state = lock(&self.handle.control.state);
                let (stop, mut before) = match &mut *state {
                    State::New { stop } => (stop.take(), None),
                    State::Stopped(past) => (None, Some(std::mem::take(past))),
                    State::Starting { .. } => {
                        return Err(Error::misuse(format!(
                            "{name}: another thread is starting it: call start() once"
                        )));
                    }
                    State::Running(live) if live.run.has_ended() => {
                        let live = Arc::clone(live);
                        drop(state);
                        self.handle.collect(&live);
                        continue;
                    }
                    State::Running(live) if live.run.is_stopping() => {
                        return Err(Error::misuse(format!("{name}: is still stopping: wait() for it first")));
                    }
                    State::Running(_) => {
                        return Err(Error::misuse(format!("{name}: is running already: stop() it first")));
                    }
                };
                let listeners = before.as_mut().map(|past| std::mem::take(&mut past.listeners));
                *state = State::Starting { stop, before };
                return Ok(listeners.unwrap_or_default());
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(StopPolicy::default());
        // Handles live on, kept listeners do not: there is no next start any more.
        if let State::Stopped(past) = &mut *lock(&self.handle.control.state) {
            past.listeners.clear();
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("name", &self.config.name)
            .field("phase", &self.handle.phase())
            .field("routes", &self.router)
            .finish_non_exhaustive()
    }
}

/// A server that has its addresses, but does not serve yet. Dropped, it gives them back.
pub(crate) struct Binding<'a> {
    server: &'a Server,
    listeners: Vec<Listener>,
    served: bool,
}

impl Binding<'_> {
    fn listen(mut self) -> Result<Self, Error> {
        let Config { name, listen, backlog, timeouts, .. } = &*self.server.config;
        if listen.is_empty() {
            let advice = format!("{name}: has no address: call ServerBuilder::listen before build");
            return Err(Error::misuse(advice));
        }
        for (place, address) in listen.iter().enumerate() {
            // The last run may have kept the listeners of this very address.
            if !self.listeners.iter().any(|listener| listener.place == place) {
                let cannot = |error| Error::io(format!("{name}: cannot listen on {address}"), error);
                let bound = bind(address, place, *backlog, timeouts.keep_alive_probe);
                self.listeners.extend(bound.map_err(cannot)?);
            }
        }
        self.listeners.sort_by_key(|listener| listener.place);
        Ok(self)
    }

    /// Starts serving. The server's context becomes a child of `parent`.
    pub(crate) fn serve(mut self, parent: Option<&Context>) -> Result<(), Error> {
        let live = {
            let Server { handle, config, router } = self.server;
            Live::launch(config, router, handle, &mut self.listeners, parent)?
        };
        self.served = true;
        let control = &self.server.handle.control;
        let early_stop = {
            let mut state = lock(&control.state);
            let stop = if let State::Starting { stop, .. } = &mut *state { stop.take() } else { None };
            *state = State::Running(Arc::clone(&live));
            lock(&control.history).starts += 1;
            stop
        };
        control.started.notify_all();
        // Not earlier: whoever reads this may ask whether it is ready.
        for address in &live.addresses {
            journal::info!("{}: listening on {address}", live.name);
        }
        live.run.announce(News::Started { at: Instant::now() });
        live.run.wake_loops();
        if let Some(policy) = early_stop {
            live.run.stop(&policy);
        }
        Ok(())
    }
}

impl Drop for Binding<'_> {
    fn drop(&mut self) {
        if !self.served {
            let control = &self.server.handle.control;
            let mut state = lock(&control.state);
            if let State::Starting { stop, before } = &mut *state {
                *state = match before.take() {
                    // It is as if it had not been tried: a stop still waits for the first start.
                    None => State::New { stop: stop.take() },
                    Some(past) => State::Stopped(Box::new(Past {
                        listeners: std::mem::take(&mut self.listeners),
                        ..*past
                    })),
                };
            }
            drop(state);
            control.started.notify_all();
        }
    }
}

#[cfg(test)]
mod tests;
