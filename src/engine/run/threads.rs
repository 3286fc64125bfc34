//! The threads of a run: a start launches them, and the first caller that waits for the end joins them.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{ClosedRun, Occupation, Run};
use crate::{
    app::{request::RequestFactory, router::Router},
    config::Config,
    engine::{
        net::{EventLoop, Listener, LoopContext, poll_and_mailbox},
        pool::Pool,
    },
    error::Error,
    isolation::{contain::discard, joining::Joining, journal},
    stop::{Context, StopReport, Straggler, Stuck},
    sync::lock,
};

/// The report tells the time that the threads need to leave if it is longer than this. Below, the time is noise.
const NOTEWORTHY: Duration = Duration::from_millis(50);
/// How long a caller waits for the logger when a run has ended.
const FINAL_LINES: Duration = Duration::from_millis(500);
/// The same, beyond the bound of the stop. The shorter of the two counts.
const FINAL_LINES_AFTER_THE_BOUND: Duration = Duration::from_millis(50);

/// A thread of a run, by the name that a report gives to it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RunThread {
    Loop(usize),
    Named(String),
}

/// Tells the run that one of its loops has left, whether it returned, panicked or never began.
struct LoopExit {
    run: Option<Arc<Run>>,
    number: usize,
}

impl Drop for LoopExit {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            run.loop_left(self.number);
            // The run owns the handlers and the observer. If the server has been dropped, this thread may drop them.
            discard(run);
        }
    }
}

impl Run {
    /// Makes the loops of a run and starts them. If there are no descriptors for loops, the listeners stay where they are.
    pub(crate) fn launch(
        config: &Arc<Config>,
        router: &Arc<Router>,
        listeners: &mut Vec<Listener>,
        parent: Option<&Context>,
        requests: impl Fn(&Context) -> RequestFactory,
    ) -> Result<Arc<Run>, Error> {
        let cannot = |what: &str, error| Error::io(format!("{}: cannot {what}", config.name), error);
        let listening = listeners.iter().map(|listener| (listener.address.clone(), listener.holding.clone()));
        let listening = listening.unzip();
        let polls = (0..config.loops).map(|_| poll_and_mailbox()).collect::<Result<Vec<_>, _>>();
        let polls = polls.map_err(|error| cannot("make an event loop", error))?;
        let mailboxes = polls.iter().map(|(.., mailbox)| mailbox.clone()).collect();
        let pool = Pool::new(config, Arc::clone(router));
        let run = Arc::new(Run::new(config, pool, listening, parent, mailboxes));
        let mut loops = Vec::new();
        for (number, (poll, inbox, _)) in polls.into_iter().enumerate() {
            let loop_context = LoopContext::new(
                number,
                Arc::clone(config),
                Arc::clone(router),
                Arc::clone(&run),
                requests(&run.hard),
                run.pool.dispatcher(),
            );
            loops.push(EventLoop::new(poll, inbox, loop_context));
        }
        loops[0].listen(std::mem::take(listeners)).map_err(|error| cannot("watch its listener", error))?;
        let mut failure = None;
        for (number, event_loop) in loops.into_iter().enumerate() {
            match run.spawn_loop(number, event_loop) {
                Ok(thread) => lock(&run.threads).push((number, thread)),
                Err(error) => failure = Some(cannot("start a thread", error)),
            }
        }
        match failure {
            None => Ok(run),
            Some(error) => {
                run.fail(error.clone());
                run.close();
                Err(error)
            }
        }
    }

    fn spawn_loop(
        self: &Arc<Run>,
        number: usize,
        mut event_loop: EventLoop,
    ) -> std::io::Result<JoinHandle<()>> {
        let exit = LoopExit { run: Some(Arc::clone(self)), number };
        let run = Arc::clone(self);
        let body = move || {
            // Dropped last: when the run has ended, every socket is closed, and the loop's report is there.
            let _exit = exit;
            let run = run;
            let address = &run.loops[number];
            _ = address.thread.set(thread::current().id());
            let report = event_loop.serve();
            lock(&run.loop_reports).push(report);
            // The drop of the last request may run a user's code.
            address.occupied(Occupation::UserCode, || discard(event_loop));
        };
        thread::Builder::new().name(format!("{} loop {number}", self.config.name)).spawn(body)
    }

    /// Waits for the end of the run, joins its threads, and makes the report. Returns within the bound of the stop. Further
    /// callers wait for the first one, and get the same closed run.
    pub(crate) fn close(self: &Arc<Run>) -> Arc<ClosedRun> {
        let mut lines_until = None;
        let closed = self.closed.get_or_init(|| {
            let (closed, until) = self.join_threads();
            lines_until = Some(until);
            Arc::new(closed)
        });
        if let Some(until) = lines_until {
            // What the caller logs next comes after what the run has logged.
            journal::settle(until);
        }
        Arc::clone(closed)
    }

    /// What the run has left, and how long to wait for the logger.
    fn join_threads(self: &Arc<Run>) -> (ClosedRun, Instant) {
        let (timeline, ended) = self.wait_ended();
        let (mut stragglers, mut leaving) = (Vec::new(), Vec::new());
        for (number, thread) in std::mem::take(&mut *lock(&self.threads)) {
            if ended.is_none() && !thread.is_finished() {
                let since = timeline.map_or_else(Instant::now, |timeline| timeline.asked());
                stragglers.push(self.stuck_thread(&RunThread::Loop(number), Stuck::EventLoop, since));
            } else {
                leaving.push((RunThread::Loop(number), thread));
            }
        }
        let (mut listeners, mut listener, mut listener_failures) = (Vec::new(), None, Vec::new());
        for report in lock(&self.loop_reports).drain(..) {
            stragglers.extend(report.stragglers);
            listeners.extend(report.kept);
            listener = listener.max(report.listener);
            listener_failures.extend(report.listener_failures);
        }
        // Handlers whose clients are gone, or were answered by the loop. Other handlers were named with their connections.
        let unnamed = self.pool.working().into_iter().filter(|exchange| exchange.name());
        stragglers.extend(unnamed.map(|exchange| Straggler {
            request: exchange.to_string(),
            peer: Some(exchange.peer().clone()),
            age: exchange.began.elapsed(),
            stuck: Stuck::Handling,
        }));
        stragglers.extend(self.user_code_stragglers());
        self.pool.close();
        if ended.is_some() {
            let idle = self.pool.take_idle_threads().into_iter().chain(self.take_idle_user_threads());
            leaving.extend(idle.map(|(name, thread)| (RunThread::Named(name), thread)));
        }
        let (held, joined) = self.join(leaving);
        stragglers.extend(held);
        let end = match ended {
            // The stop is over when its threads are gone. As a rule they need no noteworthy time.
            Some(ended) if joined > NOTEWORTHY => ended + joined,
            Some(ended) => ended,
            None => Instant::now(),
        };
        let totals = self.totals();
        let report = StopReport {
            name: self.config.name.clone(),
            phases: self.phases(end),
            closes: totals.closes,
            requests: totals.requests,
            rescued: totals.rescued,
            listener,
            listener_failures,
            stragglers,
            failure: self.failure(),
        };
        let bound = timeline.map_or(end, |timeline| timeline.end()).max(Instant::now());
        let lines_until = (bound + FINAL_LINES_AFTER_THE_BOUND).min(Instant::now() + FINAL_LINES);
        (ClosedRun::new(report, listeners), lines_until)
    }

    /// Joins threads that have nothing left to do. Returns those that do not end in time, and how long the joining took.
    fn join(self: &Arc<Run>, threads: Vec<(RunThread, JoinHandle<()>)>) -> (Vec<Straggler>, Duration) {
        let began = Instant::now();
        let joining = Joining::begin(&self.config.name, threads, {
            let progress = Arc::clone(&self.progress);
            move || progress.note_joined()
        });
        self.wait_joined(&joining);
        let left = joining.left();
        let held = left.iter().map(|thread| self.stuck_thread(thread, Stuck::Leaving, began)).collect();
        (held, began.elapsed())
    }

    /// A thread that does not end. A loop that is calling the observer is held by the observer, whatever called it.
    fn stuck_thread(&self, thread: &RunThread, stuck: Stuck, since: Instant) -> Straggler {
        let is_observing = |number: usize| self.loops[number].occupation() == Occupation::Observer;
        let (request, stuck) = match thread {
            RunThread::Loop(number) if is_observing(*number) => {
                (format!("event loop {number}"), Stuck::Observing)
            }
            RunThread::Loop(number) => (format!("event loop {number}"), stuck),
            RunThread::Named(name) => (name.clone(), stuck),
        };
        Straggler { request, peer: None, age: since.elapsed(), stuck }
    }

    /// Whether the calling thread belongs to this run, and must not wait for its end.
    pub(crate) fn is_own_thread(&self) -> bool {
        let current = thread::current().id();
        self.loops.iter().any(|address| address.thread.get() == Some(&current))
            || self.pool.is_own_thread()
            || self.is_user_thread()
    }
}
