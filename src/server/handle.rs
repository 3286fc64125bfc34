//! The remote control of a server.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, PoisonError},
};

use super::{
    Control, State,
    live::{Live, Past},
};
use crate::{
    engine::net::Listener,
    error::Error,
    metrics::Metrics,
    refused::Refused,
    stop::{Context, Phase, StopPolicy, StopReport},
    sync::lock,
};

/// Controls a [`Server`](crate::Server) from anywhere: from a handler, a signal, another thread. Cheap to clone; stays valid over all
/// starts and stops of its server.
#[derive(Clone)]
pub struct ServerHandle {
    pub(super) control: Arc<Control>,
}

impl ServerHandle {
    /// The server's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.control.config.name
    }

    /// Asks the server to stop, and returns at once. May be called from anywhere, a handler of the same server
    /// included (its response is still delivered), and as often as you like: the strictest policy wins, in every phase.
    ///
    /// Of a server that has never been started the stop is remembered, and its first start is stopped at once. One that
    /// has been stopped stays stopped: the stop is counted once, and does not reach the next start. (If it has kept its
    /// listeners, and this policy does not, they are closed.)
    pub fn request_stop(&self, policy: StopPolicy) {
        let live = match &mut *lock(&self.control.state) {
            State::New { stop } | State::Starting { stop, .. } => {
                *stop = Some(stop.map_or(policy, |known| known.stricter(&policy)));
                return;
            }
            State::Running(live) => Arc::clone(live),
            State::Stopped(past) => return past.close_listeners(&policy),
        };
        // Behind the lock, as this logs, and a logger may ask for the phase.
        live.run.stop(&policy);
    }

    /// Runs `body` on a thread of its own, for work that outlives its request but not the server: a stop waits for it as
    /// for a handler. Its context hints when a stop begins ([`Context::stopping`]) and ends when the grace period is over;
    /// what has not returned when the stop's time is over is named in the report and left behind.
    ///
    /// For work that comes in crowds there is [`JobQueue`](crate::patterns::JobQueue), which is bounded and has its workers.
    ///
    /// ```
    /// use softstop::{Request, Router, StatusCode};
    ///
    /// let router = Router::new().post("/rebuild", |request: &Request| {
    ///     let begun = request.server().detach("rebuild", |context| {
    ///         while context.check().is_ok() {
    ///             // ... one piece after the other
    ///             # break;
    ///         }
    ///     });
    ///     match begun {
    ///         Ok(()) => (StatusCode::ACCEPTED, "begun".to_owned()),
    ///         Err(refused) => (StatusCode::SERVICE_UNAVAILABLE, refused.to_string()),
    ///     }
    /// });
    /// # let _ = router;
    /// ```
    ///
    /// # Errors
    ///
    /// [`Refused`] gives `body` back, which does not run:
    /// - `Full` if as many detached threads run as there may be workers, or if the system has no thread left. For work that
    ///   comes in crowds use a [`JobQueue`](crate::patterns::JobQueue).
    /// - `Stopping` if the server has stopped, or does not run yet. While a stop waits for requests, their handlers may
    ///   still detach work.
    pub fn detach<F: FnOnce(&Context) + Send + 'static>(
        &self,
        name: impl Into<String>,
        body: F,
    ) -> Result<(), Refused<F>> {
        let run = match &*lock(&self.control.state) {
            State::Running(live) => Some(Arc::clone(&live.run)),
            State::New { .. } | State::Starting { .. } | State::Stopped(_) => None,
        };
        match run {
            Some(run) => run.detach(name.into(), body),
            None => Err(Refused::Stopping(body)),
        }
    }

    /// Where the server is between its start and its end. [`Phase::Stopped`] before the first start too.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match &*lock(&self.control.state) {
            State::Running(live) => live.run.phase(),
            State::New { .. } | State::Starting { .. } | State::Stopped(_) => Phase::Stopped,
        }
    }

    /// Whether the server should be sent requests: it is running, and nobody has asked it to stop. What a readiness
    /// check answers.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase() == Phase::Running
    }

    /// The addresses it listens on, in the order they were given (IPv4 first where one means both families), with the ports that the system chose for port 0.
    /// Empty unless it runs, or has kept its listeners ([`StopPolicy::keep_listener`]).
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        match &*lock(&self.control.state) {
            State::Running(live) => live.addresses.clone(),
            State::Stopped(past) => past.listeners.iter().flat_map(Listener::local_addr).collect(),
            _ => Vec::new(),
        }
    }

    /// How the server is doing: what it has counted since its first start, and what it is at just now. Costs nothing to
    /// the requests that are served meanwhile; see [`Metrics`].
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let (live, starts, mut totals) = {
            let state = lock(&self.control.state);
            let live = if let State::Running(live) = &*state { Some(Arc::clone(live)) } else { None };
            let history = lock(&self.control.history);
            (live, history.starts, history.totals)
        };
        let config = &self.control.config;
        let (run, pool) = (live.as_ref().map(|live| &live.run), live.as_ref().map(|live| &live.pool));
        if let Some(run) = run {
            totals += run.totals();
        }
        Metrics {
            name: config.name.clone(),
            phase: run.map_or(Phase::Stopped, |run| run.phase()),
            starts,
            accepted: totals.accepted,
            rescued: totals.rescued,
            open_connections: run.map_or(0, |run| run.open_connections()),
            max_connections: config.max_connections,
            closes: totals.closes,
            requests: totals.requests,
            responses: totals.responses,
            workers: pool.map_or(0, |pool| pool.threads()),
            busy_workers: pool.map_or(0, |pool| pool.busy_workers()),
            max_workers: config.max_workers,
            queued: pool.map_or(0, |pool| pool.queued()),
            max_queued: config.max_queued,
        }
    }

    /// Whether both control one server.
    pub(crate) fn is_same(&self, other: &ServerHandle) -> bool {
        Arc::ptr_eq(&self.control, &other.control)
    }

    /// Waits until the server has stopped; see [`Server::wait`](crate::Server::wait).
    pub fn wait(&self) -> StopReport {
        match self.running() {
            Some(live) => self.report_of(&live),
            None => match &*lock(&self.control.state) {
                State::Stopped(past) => past.report.clone(),
                _ => StopReport::idle(&self.control.config.name),
            },
        }
    }

    /// The run that is under way, or is about to be.
    pub(super) fn running(&self) -> Option<Arc<Live>> {
        let mut state = lock(&self.control.state);
        loop {
            match &*state {
                State::New { .. } | State::Stopped(_) => return None,
                State::Running(live) => return Some(Arc::clone(live)),
                State::Starting { .. } => {
                    state = self.control.started.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Waits for the end of a run, unless that would be to wait for the calling thread itself.
    pub(super) fn report_of(&self, live: &Arc<Live>) -> StopReport {
        if live.is_own_thread() {
            let advice = "waiting on one of the server's own threads would wait for itself: use ServerHandle::request_stop there";
            let failure = Some(Error::misuse(format!("{}: {advice}", self.control.config.name)));
            return StopReport { failure, ..StopReport::idle(&self.control.config.name) };
        }
        self.collect(live)
    }

    /// Calls back when the run that is under way has ended; at once if there is none.
    pub(crate) fn when_stopped(&self, callback: Box<dyn FnOnce() + Send>) {
        let run = match &*lock(&self.control.state) {
            State::Running(live) => Some(Arc::clone(&live.run)),
            _ => None,
        };
        match run {
            Some(run) => run.when_ended(callback),
            None => callback(),
        }
    }

    /// Whether the run that is under way has come to an end that nobody asked for.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(&*lock(&self.control.state), State::Running(live) if live.run.failure().is_some())
    }

    /// Joins what the run has left and keeps its report.
    pub(super) fn collect(&self, live: &Arc<Live>) -> StopReport {
        let report = live.finish();
        let mut state = lock(&self.control.state);
        if let State::Running(current) = &*state
            && Arc::ptr_eq(current, live)
        {
            *state =
                State::Stopped(Box::new(Past { report: report.clone(), listeners: live.take_listeners() }));
            lock(&self.control.history).totals += live.run.totals();
        }
        report
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("name", &self.name()).field("phase", &self.phase()).finish()
    }
}
