//! Where blocking handlers run: a bounded queue, and threads that are made on demand.
//!
//! ```text
//!   loop:    submit* ... end of the turn: wake one worker, if one sleeps
//!   worker:  take a job; if there are more, wake one more worker; run it; again
//!            nothing to take -> sleep until woken, or until the pool is closed
//! ```
//!
//! One wake a turn, and one from each worker that finds more than its own job: quick handlers are done by the one or two
//! threads that are awake anyway, and blocking ones wake as many as there is work for. No thread spins or polls.
//!
//! **When a thread is added.** As many as the machine has cores: as soon as a request finds another one waiting.
//! Beyond that only if the queue stands: a loop that leaves requests in the queue looks again five milliseconds later, and
//! if fewer have been taken than wait, that many are short of a thread: sleeping ones are woken, the rest is made.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use mio::Token;

use crate::{
    config::Config,
    http::{Body, IntoResponse, Response, StatusCode},
    middleware,
    net::{Mailbox, Message},
    observe::Event,
    request::{Exchange, Request},
    router::{RouteId, Router},
    stop::Guard,
    stream::Pump,
    sync::{Standing, WorkQueue, lock},
};

/// How long the queue may stand before threads are added for it. Longer than the kernel lets a thread wait for a processor
/// that others want too (some 3 ms), as workers that cannot run are not short of company; short against what a client
/// notices.
const STANDING: Duration = Duration::from_millis(5);
/// Threads added at one look at most: to start one takes the loop some 20 microseconds.
const THREADS_A_LOOK: usize = 128;

/// How long it is not tried to add threads after the system had none to give: they may be somebody else's.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Something on its way through the pool.
pub(crate) enum Job {
    /// A request is to be handled.
    Handle { request: Box<Request>, route: RouteId, reply: Reply },
    /// The content of an inline handler's response is to be read.
    Pump { exchange: Arc<Exchange>, pump: Pump, in_flight: Guard },
}

/// Where a job's answer goes.
pub(crate) struct Reply {
    pub(crate) mailbox: Mailbox<Message>,
    pub(crate) connection: Token,
    /// Keeps the run from ending while the handler runs, whether or not its client is still there.
    pub(crate) in_flight: Guard,
}

/// A loop's access to the pool, and what the loop has to remember of it.
pub(crate) struct Dispatcher {
    pool: Arc<Pool>,
    /// Whether this turn has queued anything.
    submitted: bool,
    /// The look at the queue that this loop has planned.
    growth: Option<Growth>,
}

#[derive(Clone, Copy)]
struct Growth {
    at: Instant,
    taken_before: u64,
}

/// The queue and the threads.
pub(crate) struct Pool {
    config: Arc<Config>,
    router: Arc<Router>,
    queue: WorkQueue<Job>,
    seats: Mutex<Vec<Seat>>,
    threads: AtomicUsize,
    at_once: usize,
}

/// A worker thread, or one of an upgraded connection, and what it is doing.
struct Seat {
    thread: JoinHandle<()>,
    working: Arc<Mutex<Option<Arc<Exchange>>>>,
    is_worker: bool,
}

impl Pool {
    pub(crate) fn new(config: &Arc<Config>, router: Arc<Router>) -> Arc<Pool> {
        Arc::new(Pool {
            config: Arc::clone(config),
            router,
            queue: WorkQueue::new(config.queue),
            seats: Mutex::new(Vec::new()),
            threads: AtomicUsize::new(0),
            at_once: thread::available_parallelism().map_or(1, usize::from).min(config.workers),
        })
    }

    pub(crate) fn dispatcher(self: &Arc<Pool>) -> Dispatcher {
        Dispatcher { pool: Arc::clone(self), submitted: false, growth: None }
    }

    /// Makes one more thread, if there may be one more: false if the system has none.
    fn grow(self: &Arc<Pool>) -> bool {
        let free = |threads| (threads < self.config.workers).then_some(threads + 1);
        let Ok(number) = self.threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free) else {
            return true;
        };
        let working = Arc::new(Mutex::new(None));
        let (pool, seat) = (Arc::clone(self), Arc::clone(&working));
        let builder = thread::Builder::new().name(format!("{} worker {number}", self.config.name));
        // Locked before there is a thread: its first handler may ask at once whether it is one of the workers.
        let mut seats = lock(&self.seats);
        match builder.spawn(move || pool.work(&seat)) {
            Ok(thread) => {
                seats.push(Seat { thread, working, is_worker: true });
                true
            }
            Err(error) => {
                self.threads.fetch_sub(1, Ordering::Relaxed);
                log::warn!("{}: no further worker thread beyond {number}: {error}", self.config.name);
                false
            }
        }
    }

    fn work(&self, seat: &Mutex<Option<Arc<Exchange>>>) {
        let bed = Arc::default();
        // Whoever looks finds a job in the queue or on a seat.
        let take_seat = |job: &Job| {
            let is_mine = job.exchange().claim();
            if is_mine {
                *lock(seat) = Some(Arc::clone(job.exchange()));
            }
            is_mine
        };
        while let Some(job) = self.queue.take(&bed, take_seat) {
            let (pump, in_flight) = match job {
                Job::Pump { pump, in_flight, .. } => (Some(pump), in_flight),
                Job::Handle { request, route, reply } => {
                    let response = answer(&self.config, &self.router, route, &request);
                    let pump = take_pump(&response);
                    if pump.is_none() {
                        *lock(seat) = None;
                    }
                    (pump, reply.send(request, response))
                }
            };
            if let Some(pump) = pump {
                run_pump(pump);
                *lock(seat) = None;
            }
            drop(in_flight);
        }
    }

    /// Whether the calling thread is one of the workers.
    pub(crate) fn is_own_thread(&self) -> bool {
        let current = thread::current().id();
        lock(&self.seats).iter().any(|seat| seat.thread.thread().id() == current)
    }

    /// Requests that wait for a worker.
    pub(crate) fn queued(&self) -> usize {
        self.queue.standing().waiting
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads.load(Ordering::Relaxed)
    }

    /// What the workers are doing at this moment.
    pub(crate) fn working(&self) -> Vec<Arc<Exchange>> {
        lock(&self.seats).iter().filter_map(|seat| lock(&seat.working).clone()).collect()
    }

    /// How many workers are in a handler.
    pub(crate) fn busy_workers(&self) -> usize {
        lock(&self.seats).iter().filter(|seat| seat.is_worker && lock(&seat.working).is_some()).count()
    }

    /// Has every worker return as soon as there is nothing to do.
    pub(crate) fn close(&self) {
        self.queue.close();
    }

    /// Joins the workers that are not in a handler, and leaves the others to themselves. To be called after
    /// [`Pool::close`], when no loop can queue anything any more.
    pub(crate) fn join(&self) {
        self.queue.drain();
        for seat in lock(&self.seats).drain(..) {
            if lock(&seat.working).is_none() && seat.thread.join().is_err() {
                log::error!("{}: a worker thread panicked outside of any handler", self.config.name);
            }
        }
    }
}

impl Dispatcher {
    /// Queues a request for the workers; hands it back if the queue is full.
    pub(crate) fn submit(&mut self, job: Job) -> Result<(), Job> {
        let waiting = self.pool.queue.push(job)?;
        self.submitted = true;
        let threads = self.pool.threads.load(Ordering::Relaxed);
        if threads == 0 || (threads < self.pool.at_once && waiting > 1) {
            self.pool.grow();
        }
        if self.growth.is_none() && threads < self.pool.config.workers {
            self.plan(STANDING);
        }
        Ok(())
    }

    /// Whether there may be one more thread besides the workers: as many as there may be workers.
    pub(crate) fn may_spawn(&self) -> bool {
        let others = lock(&self.pool.seats)
            .iter()
            .filter(|seat| !seat.is_worker && !seat.thread.is_finished())
            .count();
        others < self.pool.config.workers
    }

    /// Runs what takes long on a thread of its own, in the name of a request; false if there is none to be had. It is
    /// waited for, and joined or named, as the workers are.
    pub(crate) fn spawn(
        &self,
        exchange: &Arc<Exchange>,
        in_flight: Guard,
        work: impl FnOnce() + Send + 'static,
    ) -> bool {
        let working = Arc::new(Mutex::new(Some(Arc::clone(exchange))));
        let seat = Arc::clone(&working);
        let body = move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                log::error!("the handler of an upgraded connection panicked: {}", panic_text(&*panic));
            }
            *lock(&seat) = None;
            drop(in_flight);
        };
        let mut seats = lock(&self.pool.seats);
        // The ones before it that have gone; workers go only when the pool is closed.
        seats.retain(|seat| !seat.thread.is_finished());
        match thread::Builder::new().name(format!("{} upgraded", self.pool.config.name)).spawn(body) {
            Ok(thread) => seats.push(Seat { thread, working, is_worker: false }),
            Err(error) => {
                log::warn!("{}: no thread for an upgraded connection: {error}", self.pool.config.name);
                return false;
            }
        }
        true
    }

    /// At the end of a turn: has what was queued in it worked on.
    pub(crate) fn end_turn(&mut self, now: Instant) {
        if std::mem::take(&mut self.submitted) {
            self.pool.queue.wake_one();
        }
        if self.growth.is_some_and(|growth| growth.at <= now) {
            self.look();
        }
    }

    /// When this loop has to take a turn to look at the queue.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.growth.map(|growth| growth.at)
    }

    /// Adds the threads that are missing.
    fn look(&mut self) {
        let Some(Growth { taken_before, .. }) = self.growth.take() else { return };
        let Standing { waiting, taken } = self.pool.queue.standing();
        let taken = taken.wrapping_sub(taken_before);
        let missing = waiting.saturating_sub(usize::try_from(taken).unwrap_or(usize::MAX));
        let woken = if missing > 0 { self.pool.queue.wake(missing) } else { 0 };
        let grown = (woken..missing).take(THREADS_A_LOOK).all(|_| self.pool.grow());
        if waiting == 0 {
            return;
        }
        if self.pool.threads.load(Ordering::Relaxed) == 0 {
            // Not a single thread to be had: nobody will ever take these.
            let unclaimed = self.pool.queue.drain().into_iter().filter(|job| job.exchange().claim());
            unclaimed.for_each(Job::give_back);
        } else if self.pool.threads.load(Ordering::Relaxed) < self.pool.config.workers {
            self.plan(if grown { STANDING } else { STANDING + EXHAUSTED });
        }
    }

    /// Empties the queue of requests that the loops have answered themselves, or are about to.
    pub(crate) fn discard_waiting(&self) {
        self.pool.queue.drain();
    }

    /// Plans a look, counted from this very moment: since the turn began, many requests may have been queued, or threads made,
    /// and a look that comes before these could take anything makes too many.
    fn plan(&mut self, after: Duration) {
        let taken_before = self.pool.queue.standing().taken;
        self.growth = Some(Growth { at: Instant::now() + after, taken_before });
    }
}

impl Job {
    fn exchange(&self) -> &Arc<Exchange> {
        match self {
            Job::Handle { request, .. } => &request.exchange,
            Job::Pump { exchange, .. } => exchange,
        }
    }

    /// The request, of a job that was not taken.
    pub(crate) fn into_request(self) -> Option<Box<Request>> {
        match self {
            Job::Handle { request, .. } => Some(request),
            Job::Pump { .. } => None,
        }
    }

    /// Sends the request back to its loop without an answer.
    fn give_back(self) {
        if let Job::Handle { request, reply: Reply { mailbox, connection, .. }, .. } = self {
            drop(mailbox.send(Message::Answered(connection, request)));
        }
    }
}

impl Reply {
    /// Sends the answer; where there is no loop any more, nobody waits for one.
    fn send(self, mut request: Box<Request>, response: Response) -> Guard {
        let Reply { mailbox, connection, in_flight } = self;
        request.answer = Some(response);
        drop(mailbox.send(Message::Answered(connection, request)));
        in_flight
    }
}

/// What is to be read for that response, if its content comes from a reader.
pub(crate) fn take_pump(response: &Response) -> Option<Pump> {
    match response.body() {
        Body::Stream(stream) => stream.take_pump(),
        _ => None,
    }
}

/// Reads the content of a response; a panic of the reader cuts the response off.
fn run_pump(pump: Pump) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| pump.run())) {
        log::error!("the reader of a response's content panicked: {}", panic_text(&*panic));
    }
}

/// Runs the handler of a route; a panic in it becomes a 500.
pub(crate) fn answer(config: &Config, router: &Router, route: RouteId, request: &Request) -> Response {
    let handler = &router.get_route(route).handler;
    let (connection, request_number) = request.exchange.id();
    config.observe(&Event::HandlerStarted { connection, request: request_number });
    let response = middleware::run(&**handler, request).unwrap_or_else(|panic| panic.answer(request));
    config.observe(&Event::HandlerFinished { connection, request: request_number });
    response
}

/// The answer where there is no room: RFC 9110 section 15.6.4.
pub(crate) fn overloaded() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "too busy at the moment, try again in a second\n")
        .into_response()
        .header("Retry-After", "1")
}

/// What a panic said, as far as it said it with a text.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
