//! A run of a server and the threads that carry it: made by a start, joined by whoever waits for its end.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle, ThreadId},
    time::{Duration, Instant},
};

use super::ServerHandle;
use crate::{
    app::{request::RequestFactory, router::Router},
    config::Config,
    engine::{
        net::{EventLoop, Ground, Listener, LoopContext, LoopReport},
        pool::Pool,
        run::{Occupation, Run},
    },
    error::Error,
    isolation::{contain::discard, joining::Joining, journal},
    stop::{Context, StopPolicy, StopReport, Straggler, Stuck},
    sync::lock,
};

/// Time that the threads need to leave which is told in the report. Below that it is noise.
const TOLD: Duration = Duration::from_millis(50);
/// How long the logger is waited for when a run has ended.
const WORDS: Duration = Duration::from_millis(500);
/// The same beyond the bound of the stop, which is what counts.
const WORDS_AFTER_THE_END: Duration = Duration::from_millis(50);

/// A run and the threads that carry it.
pub(super) struct Live {
    pub(super) name: String,
    pub(super) run: Arc<Run>,
    pub(super) pool: Arc<Pool>,
    pub(super) addresses: Vec<SocketAddr>,
    loop_threads: Vec<ThreadId>,
    /// What the loops had to say when they left.
    loop_reports: Arc<Mutex<Vec<LoopReport>>>,
    ending: Mutex<Ending>,
}

/// A thread of a run, by the name that a report gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Thread {
    Loop(usize),
    OfPool(String),
}

impl Past {
    /// A further stop that does not keep the listeners: who waits in their accept queues can't be served any more.
    pub(super) fn close_listeners(&mut self, policy: &StopPolicy) {
        if !policy.keeps_listener() {
            self.listeners.clear();
        }
    }
}

enum Ending {
    /// Nobody has joined the loops yet.
    Open(Vec<JoinHandle<()>>),
    Collected(Box<Past>),
}

/// What a run has left.
#[derive(Default)]
pub(super) struct Past {
    pub(super) report: StopReport,
    /// Kept for the next start, until somebody takes them.
    pub(super) listeners: Vec<Listener>,
}

/// Tells a run that one of its loops has left, however it did.
struct Leaving(Arc<Run>, usize);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.loop_left(self.1);
    }
}

impl Live {
    /// Makes the loops of a run and starts them. If there are no descriptors for loops, the listeners stay where they are.
    pub(super) fn launch(
        config: &Arc<Config>,
        router: &Arc<Router>,
        handle: &ServerHandle,
        listeners: &mut Vec<Listener>,
        parent: Option<&Context>,
    ) -> Result<Arc<Live>, Error> {
        let cannot = |what: &str, error| Error::io(format!("{}: cannot {what}", config.name), error);
        let addresses = listeners.iter().map(Listener::local_addr).collect::<Result<_, _>>();
        let addresses = addresses.map_err(|error| cannot("tell its address", error))?;
        let grounds = (0..config.loops).map(|_| Ground::new()).collect::<Result<Vec<_>, _>>();
        let (grounds, mailboxes) =
            grounds.map_err(|error| cannot("make an event loop", error))?.into_iter().unzip();
        let grounds: Vec<Ground> = grounds;
        let run = Arc::new(Run::new(config, parent, mailboxes));
        let pool = Pool::new(config, Arc::clone(router));
        let mut loops = Vec::new();
        for (number, ground) in grounds.into_iter().enumerate() {
            let loop_context = LoopContext::new(
                number,
                Arc::clone(config),
                Arc::clone(router),
                Arc::clone(&run),
                RequestFactory::new(Arc::clone(router), handle.clone(), run.hard.clone()),
                pool.dispatcher(),
            );
            loops.push(EventLoop::new(ground, loop_context));
        }
        loops[0].listen(std::mem::take(listeners)).map_err(|error| cannot("watch its listener", error))?;
        let mut threads = Vec::new();
        let mut failure = None;
        let loop_reports = Arc::new(Mutex::new(Vec::new()));
        for (number, mut event_loop) in loops.into_iter().enumerate() {
            let leaving = Leaving(Arc::clone(&run), number);
            let (run, reports) = (Arc::clone(&run), Arc::clone(&loop_reports));
            let body = move || {
                // Dropped last: when the run has ended, every socket is closed, and the report is there.
                let _leaving = leaving;
                let report = event_loop.serve();
                lock(&reports).push(report);
                // With the last of its requests it may be the last to hold the handlers, if the server has been dropped.
                run.loops()[number].occupied(Occupation::UserCode, || discard(event_loop));
            };
            match thread::Builder::new().name(format!("{} loop {number}", config.name)).spawn(body) {
                Ok(thread) => threads.push(thread),
                Err(error) => failure = Some(cannot("start a thread", error)),
            }
        }
        let loop_threads = threads.iter().map(|thread| thread.thread().id()).collect();
        let ending = Mutex::new(Ending::Open(threads));
        let live = Arc::new(Live {
            name: config.name.clone(),
            run,
            pool,
            addresses,
            loop_threads,
            loop_reports,
            ending,
        });
        match failure {
            None => Ok(live),
            Some(error) => {
                live.run.fail(error.clone());
                live.finish();
                Err(error)
            }
        }
    }

    /// Waits for the end, joins what can be joined, and says what it was. Returns within the bound of the stop.
    pub(super) fn finish(&self) -> StopReport {
        let mut ending = lock(&self.ending);
        let threads = match &mut *ending {
            Ending::Collected(past) => return past.report.clone(),
            Ending::Open(threads) => std::mem::take(threads),
        };
        let (timeline, ended) = self.run.wait_ended();
        let (mut stragglers, mut leaving) = (Vec::new(), Vec::new());
        for (number, thread) in threads.into_iter().enumerate() {
            if ended.is_none() && !thread.is_finished() {
                let since = timeline.map_or_else(Instant::now, |timeline| timeline.asked());
                stragglers.push(self.stuck_thread(&Thread::Loop(number), Stuck::EventLoop, since));
            } else {
                leaving.push((Thread::Loop(number), thread));
            }
        }
        let (mut listeners, mut listener, mut listener_failures) = (Vec::new(), None, Vec::new());
        for report in lock(&self.loop_reports).drain(..) {
            stragglers.extend(report.stragglers);
            listeners.extend(report.kept);
            listener = listener.max(report.listener);
            listener_failures.extend(report.listener_failures);
        }
        // Handlers whose clients are gone, or were answered without them: the others were named with their connections.
        let unnamed = self.pool.working().into_iter().filter(|exchange| exchange.name());
        stragglers.extend(unnamed.map(|exchange| Straggler {
            request: exchange.to_string(),
            peer: Some(exchange.peer()),
            age: exchange.began.elapsed(),
            stuck: Stuck::Handling,
        }));
        stragglers.extend(self.run.user_code_stragglers());
        self.pool.close();
        if ended.is_some() {
            let idle = self.pool.take_idle_threads().into_iter().chain(self.run.take_idle_user_threads());
            leaving.extend(idle.map(|(name, thread)| (Thread::OfPool(name), thread)));
        }
        let (held, joined) = self.join(leaving);
        stragglers.extend(held);
        let end = match ended {
            // The stop is over when its threads are gone; as a rule they need no time worth telling.
            Some(ended) if joined > TOLD => ended + joined,
            Some(ended) => ended,
            None => Instant::now(),
        };
        let totals = self.run.totals();
        let report = StopReport {
            name: self.name.clone(),
            phases: self.run.phases(end),
            closes: totals.closes,
            requests: totals.requests,
            rescued: totals.rescued,
            listener,
            listener_failures,
            stragglers,
            failure: self.run.failure(),
        };
        *ending = Ending::Collected(Box::new(Past { report: report.clone(), listeners }));
        drop(ending);
        // What the caller logs next comes after what the run has logged.
        let bound = timeline.map_or(end, |timeline| timeline.end()).max(Instant::now()) + WORDS_AFTER_THE_END;
        journal::settle(bound.min(Instant::now() + WORDS));
        report
    }

    /// Joins threads that have nothing left to do: those that do not end in time, and how long it took.
    fn join(&self, threads: Vec<(Thread, JoinHandle<()>)>) -> (Vec<Straggler>, Duration) {
        let began = Instant::now();
        let joining = Joining::begin(&self.name, threads, {
            let run = Arc::clone(&self.run);
            move || run.note_joined()
        });
        self.run.wait_gone(&joining);
        let left = joining.left();
        let held = left.iter().map(|thread| self.stuck_thread(thread, Stuck::Leaving, began)).collect();
        (held, began.elapsed())
    }

    /// A thread that does not end. One that is with the observer is held by that, wherever it came from.
    fn stuck_thread(&self, thread: &Thread, stuck: Stuck, since: Instant) -> Straggler {
        let is_observing = |number: usize| self.run.loops()[number].occupation() == Occupation::Observer;
        let (request, stuck) = match thread {
            Thread::Loop(number) if is_observing(*number) => {
                (format!("event loop {number}"), Stuck::Observing)
            }
            Thread::Loop(number) => (format!("event loop {number}"), stuck),
            Thread::OfPool(name) => (name.clone(), stuck),
        };
        Straggler { request, peer: None, age: since.elapsed(), stuck }
    }

    /// The listeners that the run has left open: whoever asks first has them.
    pub(super) fn take_listeners(&self) -> Vec<Listener> {
        match &mut *lock(&self.ending) {
            Ending::Open(_) => Vec::new(),
            Ending::Collected(past) => std::mem::take(&mut past.listeners),
        }
    }

    pub(super) fn is_own_thread(&self) -> bool {
        self.loop_threads.contains(&thread::current().id())
            || self.pool.is_own_thread()
            || self.run.is_user_thread()
    }
}
