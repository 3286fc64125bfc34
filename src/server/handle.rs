//! The remote control of a server: what a handler, a signal or another thread does with it.

use std::{fmt, net::SocketAddr, sync::Arc, time::Instant};

use super::lifecycle::{Lifecycle, Snapshot};
use crate::{
    engine::run::{RollCall, Run, Subject, answers_until},
    error::Error,
    listen_address::ListenAddress,
    metrics::Metrics,
    refused::Refused,
    stop::{Context, Phase, Readiness, ServerProgress, StopPolicy, StopReport},
};

/// The remote control of a [`Server`](crate::Server): stops the server, waits for its end and asks how it is doing, from any
/// thread.
///
/// A handle stays valid over all starts and stops of its server, and after the server is dropped. To clone a handle is cheap.
/// Only the [`Server`](crate::Server) itself can start.
#[derive(Clone)]
pub struct ServerHandle {
    pub(super) lifecycle: Arc<Lifecycle>,
}

impl ServerHandle {
    /// The server's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.lifecycle.config.name
    }

    /// Asks the server to stop, and returns at once. Never blocks.
    ///
    /// You may call it on any thread, and as often as you like: in every phase the strictest policy wins. A handler of the same
    /// server may call it, too, and its response is still delivered.
    ///
    /// | the server | what happens |
    /// | --- | --- |
    /// | has never been started | its first start succeeds, and stops at once |
    /// | is being started | it stops as soon as it serves |
    /// | runs | it stops |
    /// | is stopping | the stop becomes stricter, if this policy is |
    /// | has stopped | nothing; the next start is not affected. Kept listeners are closed, unless this policy keeps them, too |
    pub fn request_stop(&self, policy: StopPolicy) {
        self.lifecycle.request_stop(&policy);
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
        match self.lifecycle.run() {
            Some(run) => run.detach(name.into(), body),
            None => Err(Refused::Stopping(body)),
        }
    }

    /// The phase that the server is in. [`Phase::Stopped`] also before the first start.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.lifecycle.run().map_or(Phase::Stopped, |run| run.phase())
    }

    /// Whether clients should send requests to the server: it runs, no stop was asked for, and nobody has
    /// [set](ServerHandle::set_ready) it not ready. This is the answer to a readiness check;
    /// [`readiness_route`](crate::routing::readiness_route) gives it.
    ///
    /// A server that was handed over to another process drains, and stays ready, because the service goes on.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let serves = || match self.phase() {
            Phase::Running => true,
            Phase::Stopped => false,
            Phase::LameDuck | Phase::Draining | Phase::Cancelling => {
                self.lifecycle.run().is_some_and(|run| run.is_handed_over())
            }
        };
        self.readiness() == Readiness::Ready && serves()
    }

    /// Sets what readiness checks are told while the server runs. With [`Readiness::NotReady`] the server is cordoned: balancers
    /// send their requests elsewhere, and the server serves every request that still comes. That can be taken back.
    ///
    /// - Never blocks, and may be called on any thread, in any state of the server.
    /// - A stop always wins: while the server stops, [`is_ready`](ServerHandle::is_ready) is false whatever was set.
    /// - The setting outlives a stop: a server that was cordoned is cordoned after its next start, too.
    /// - An observer is told of each change ([`Event::ReadinessSet`](crate::observe::Event::ReadinessSet)) while the server
    ///   runs, and the log has a line.
    ///
    /// Not guaranteed: that no request comes any more. Balancers need some time to see the change, and clients with
    /// kept-alive connections may not ask at all. For those see
    /// [`max_connection_age`](crate::ServerBuilder::max_connection_age).
    ///
    /// ```
    /// use softstop::{Readiness, Router, Server};
    ///
    /// # fn main() -> Result<(), softstop::Error> {
    /// let server = Server::builder().listen("127.0.0.1:0").routes(Router::new()).build();
    /// server.start()?;
    /// let handle = server.handle();
    /// handle.set_ready(Readiness::NotReady); // for instance while a cache is filled
    /// assert!(!handle.is_ready());
    /// handle.set_ready(Readiness::Ready);
    /// assert!(handle.is_ready());
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_ready(&self, readiness: Readiness) {
        self.lifecycle.set_ready(readiness);
    }

    /// What was set by [`ServerHandle::set_ready`], whatever the server is doing. Ready at first.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.lifecycle.readiness()
    }

    /// The addresses that the server listens on, with the ports that the system chose for port 0. The order is that of
    /// [`ServerBuilder::listen`](crate::ServerBuilder::listen); where one address means both families, IPv4 comes first.
    ///
    /// Empty unless the server runs, or has kept its listeners ([`StopPolicy::keep_listener`]).
    #[must_use]
    pub fn addresses(&self) -> Vec<ListenAddress> {
        self.lifecycle.addresses()
    }

    /// The TCP addresses among [`addresses`](ServerHandle::addresses), in the same order. For a server that listens on TCP only,
    /// these are all of them.
    #[must_use]
    pub fn socket_addrs(&self) -> Vec<SocketAddr> {
        self.addresses().iter().filter_map(ListenAddress::socket_addr).collect()
    }

    /// How the server is doing: what it has counted since its first start, and what it is doing just now. The call costs the
    /// requests that are served meanwhile nothing: see [`Metrics`].
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let config = &self.lifecycle.config;
        let Snapshot { run, starts, totals } = self.lifecycle.snapshot();
        let (run, pool) = (run.as_ref(), run.as_ref().map(|run| &run.pool));
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

    /// What the server is doing at this moment, and what a stop waits for.
    ///
    /// Each event loop answers in its next turn. The call waits for the loops, at most 250 ms, and says how many did not answer.
    /// Only the caller waits: the answer costs a loop about as much as a request, and for each connection a few nanoseconds. On a
    /// loop itself, for instance in an inline handler, the call does not wait.
    ///
    /// Not guaranteed: the parts are read one after another while the server goes on, so they may differ by the requests that came
    /// in between.
    ///
    /// ```
    /// use softstop::{Phase, Router, Server, StopPolicy};
    ///
    /// # fn main() -> Result<(), softstop::Error> {
    /// let server = Server::builder().name("hello").listen("127.0.0.1:0").routes(Router::new()).build();
    /// server.start()?;
    /// let progress = server.handle().progress();
    /// assert_eq!((progress.phase, progress.connections), (Phase::Running, 0));
    /// assert_eq!(progress.to_string(), "hello: 0 connections");
    /// server.stop(StopPolicy::default());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn progress(&self) -> ServerProgress {
        self.begin_progress().wait_until(answers_until())
    }

    /// Asks the loops what they are doing. A caller that asks several servers waits for all of them at once.
    pub(crate) fn begin_progress(&self) -> AskedForProgress<'_> {
        let run = self.lifecycle.run();
        AskedForProgress { name: self.name(), asked: run.map(|run| (run.begin_progress(), run)) }
    }

    /// Asks every event loop of the run that is under way to take a turn. `None` if the server does not run.
    pub(crate) fn ask_for_a_turn(&self) -> Option<RollCall> {
        self.lifecycle.run().map(|run| run.call_the_roll(Subject::Turning))
    }

    /// Whether both control one server.
    pub(crate) fn is_same(&self, other: &ServerHandle) -> bool {
        Arc::ptr_eq(&self.lifecycle, &other.lifecycle)
    }

    /// Waits until the server has stopped; see [`Server::wait`](crate::Server::wait).
    pub fn wait(&self) -> StopReport {
        match self.lifecycle.run_after_start() {
            Some(run) => self.report_of(&run),
            None => self.lifecycle.last_report(),
        }
    }

    /// Waits for the end of a run, unless the calling thread is one of the run's own: it would wait for itself.
    pub(super) fn report_of(&self, run: &Arc<Run>) -> StopReport {
        if run.is_own_thread() {
            let advice = "waiting on one of the server's own threads would wait for itself: use ServerHandle::request_stop there";
            let failure = Some(Error::misuse(format!("{}: {advice}", self.name())));
            return StopReport { failure, ..StopReport::idle(self.name()) };
        }
        self.lifecycle.close(run)
    }

    /// Calls back when the run that is under way has ended; at once if there is none.
    pub(crate) fn when_stopped(&self, callback: Box<dyn FnOnce() + Send>) {
        match self.lifecycle.run() {
            Some(run) => run.when_ended(callback),
            None => callback(),
        }
    }

    /// Whether the run that is under way has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.lifecycle.run().is_some_and(|run| run.failure().is_some())
    }
}

/// The loops of a server have been asked what they are doing.
pub(crate) struct AskedForProgress<'a> {
    name: &'a str,
    asked: Option<(RollCall, Arc<Run>)>,
}

impl AskedForProgress<'_> {
    pub(crate) fn wait_until(self, deadline: Instant) -> ServerProgress {
        match self.asked {
            Some((call, run)) => run.progress(&call, deadline),
            None => ServerProgress::stopped(self.name),
        }
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("name", &self.name()).field("phase", &self.phase()).finish()
    }
}
