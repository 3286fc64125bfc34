//! A run of a server and the threads that carry it: made by a start, joined by whoever waits for its end.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle, ThreadId},
    time::Instant,
};

use super::Handle;
use crate::{
    config::Config,
    error::Error,
    net::{EventLoop, Ground, LoopReport, Service},
    pool::Pool,
    router::Router,
    run::Run,
    stop::{Context, StopPolicy, StopReport, Straggler, Stuck},
    sync::lock,
};

/// A run and the threads that carry it.
pub(super) struct Live {
    pub(super) name: String,
    pub(super) run: Arc<Run>,
    pub(super) pool: Arc<Pool>,
    pub(super) addresses: Vec<SocketAddr>,
    loop_threads: Vec<ThreadId>,
    ending: Mutex<Ending>,
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
    Open(Vec<JoinHandle<LoopReport>>),
    Collected(Box<Past>),
}

/// What a run has left.
#[derive(Default)]
pub(super) struct Past {
    pub(super) report: StopReport,
    /// Kept for the next start, until somebody takes them.
    pub(super) listeners: Vec<TcpListener>,
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
        handle: &Handle,
        listeners: &mut Vec<TcpListener>,
        parent: Option<&Context>,
    ) -> Result<Arc<Live>, Error> {
        let cannot = |what: &str, error| Error::io(format!("{}: cannot {what}", config.name), error);
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>();
        let addresses = addresses.map_err(|error| cannot("tell its address", error))?;
        let grounds = (0..config.loops).map(|_| Ground::new()).collect::<Result<Vec<_>, _>>();
        let (grounds, mailboxes) =
            grounds.map_err(|error| cannot("make an event loop", error))?.into_iter().unzip();
        let grounds: Vec<Ground> = grounds;
        let run = Arc::new(Run::new(config, parent, mailboxes));
        let pool = Pool::new(config, Arc::clone(router));
        let mut loops = Vec::new();
        for (number, ground) in grounds.into_iter().enumerate() {
            let service = Service::new(
                number,
                Arc::clone(config),
                Arc::clone(router),
                Arc::clone(&run),
                handle.clone(),
                pool.dispatcher(),
            );
            loops.push(EventLoop::new(ground, service));
        }
        loops[0].listen(std::mem::take(listeners)).map_err(|error| cannot("watch its listener", error))?;
        let mut threads = Vec::new();
        let mut failure = None;
        for (number, event_loop) in loops.into_iter().enumerate() {
            let leaving = Leaving(Arc::clone(&run), number);
            let body = move || {
                // Dropped last: whoever sees the run's end sees every socket closed.
                let _leaving = leaving;
                event_loop.serve()
            };
            match thread::Builder::new().name(format!("{} loop {number}", config.name)).spawn(body) {
                Ok(thread) => threads.push(thread),
                Err(error) => failure = Some(cannot("start a thread", error)),
            }
        }
        let loop_threads = threads.iter().map(|thread| thread.thread().id()).collect();
        let ending = Mutex::new(Ending::Open(threads));
        let live = Arc::new(Live { name: config.name.clone(), run, pool, addresses, loop_threads, ending });
        match failure {
            None => Ok(live),
            Some(error) => {
                live.run.fail(error.clone());
                live.finish();
                Err(error)
            }
        }
    }

    /// Waits for the end, joins what can be joined, and says what it was.
    pub(super) fn finish(&self) -> StopReport {
        let mut ending = lock(&self.ending);
        let threads = match &mut *ending {
            Ending::Collected(past) => return past.report.clone(),
            Ending::Open(threads) => threads,
        };
        let (timeline, ended) = self.run.wait_ended();
        let (mut stragglers, mut listeners) = (Vec::new(), Vec::new());
        for (number, thread) in threads.drain(..).enumerate() {
            if ended.is_none() && !thread.is_finished() {
                stragglers.push(Straggler {
                    request: format!("event loop {number}"),
                    peer: None,
                    age: timeline.map_or_else(Default::default, |timeline| timeline.asked().elapsed()),
                    stuck: Stuck::EventLoop,
                });
            } else if let Ok(report) = thread.join() {
                stragglers.extend(report.stragglers);
                listeners.extend(report.kept);
            }
        }
        // Handlers whose clients are gone, or were answered without them: the others were named with their connections.
        let unnamed = self.pool.working().into_iter().filter(|exchange| exchange.name_once());
        stragglers.extend(unnamed.map(|exchange| Straggler {
            request: exchange.to_string(),
            peer: Some(exchange.peer()),
            age: exchange.began.elapsed(),
            stuck: Stuck::Handling,
        }));
        stragglers.extend(self.run.detached_stragglers());
        self.pool.close();
        if ended.is_some() {
            self.pool.join();
        }
        let end = ended.unwrap_or_else(Instant::now);
        let totals = self.run.totals();
        let report = StopReport {
            name: self.name.clone(),
            phases: self.run.phases(end),
            closes: totals.closes,
            requests: totals.requests,
            rescued: totals.rescued,
            stragglers,
            failure: self.run.failure(),
        };
        *ending = Ending::Collected(Box::new(Past { report: report.clone(), listeners }));
        report
    }

    /// The listeners that the run has left open: whoever asks first has them.
    pub(super) fn take_listeners(&self) -> Vec<TcpListener> {
        match &mut *lock(&self.ending) {
            Ending::Open(_) => Vec::new(),
            Ending::Collected(past) => std::mem::take(&mut past.listeners),
        }
    }

    pub(super) fn is_own_thread(&self) -> bool {
        self.loop_threads.contains(&thread::current().id())
            || self.pool.is_own_thread()
            || self.run.is_detached_thread()
    }
}
