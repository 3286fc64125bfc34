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
//!
//! **Contents that are read from somewhere** are background work: a worker reads a piece, and the next one is queued when the
//! client has taken something. Requests and pieces have their turns, so that neither starve the other. Pieces have no place in
//! the queue of requests. Their number is bounded by that of the connections, because each connection has one piece queued or
//! being read at most, and by the rate at which connections end: a reader that is to be let go is queued likewise. At most half
//! of the workers (at least one) read at once, because a read may block for as long as it likes: requests have the others.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use mio::Token;

use crate::{
    app::{
        into_response::IntoResponse,
        middleware,
        request::{Exchange, Request},
        response::Response,
        router::{RouteId, Router},
    },
    body::{Body, stream::Piece},
    config::Config,
    engine::net::{Mailbox, Message},
    http::{Method, StatusCode, has_content},
    isolation::{contain::catch, journal, repeated::Repeated},
    observe::Event,
    stop::{Cause, WaitGuard},
    sync::{Bounds, Standing, WorkQueue, lock},
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
    /// A piece of a response's content is to be read.
    Read { exchange: Arc<Exchange>, piece: Piece, in_flight: Option<WaitGuard> },
}

/// Where a job's answer goes.
pub(crate) struct Reply {
    pub(crate) mailbox: Mailbox<Message>,
    pub(crate) connection: Token,
    /// Keeps the run from ending while the handler runs, whether or not its client is still there.
    pub(crate) in_flight: WaitGuard,
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
    /// Threads that the system did not have.
    lacking: Mutex<Repeated>,
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
            queue: WorkQueue::new(Bounds {
                waiting: config.max_queued,
                in_background: (config.max_workers / 2).max(1),
            }),
            seats: Mutex::new(Vec::new()),
            threads: AtomicUsize::new(0),
            at_once: thread::available_parallelism().map_or(1, usize::from).min(config.max_workers),
            lacking: Mutex::default(),
        })
    }

    pub(crate) fn dispatcher(self: &Arc<Pool>) -> Dispatcher {
        Dispatcher { pool: Arc::clone(self), submitted: false, growth: None }
    }

    /// Makes one more thread, if there may be one more: false if the system has none.
    fn grow(self: &Arc<Pool>) -> bool {
        let free = |threads| (threads < self.config.max_workers).then_some(threads + 1);
        let Ok(number) = self.threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free) else {
            return true;
        };
        let working = Arc::new(Mutex::new(None));
        let (pool, seat) = (Arc::clone(self), Arc::clone(&working));
        let builder = thread::Builder::new().name(format!("{} worker {number}", self.config.name));
        // Locked before there is a thread: its first handler may ask at once whether it is one of the workers.
        let mut seats = lock(&self.seats);
        match builder.spawn(move || pool.serve(&seat)) {
            Ok(thread) => {
                seats.push(Seat { thread, working, is_worker: true });
                true
            }
            Err(error) => {
                self.threads.fetch_sub(1, Ordering::Relaxed);
                self.warn_of_lack(&format!("no further worker thread beyond {number}"), &error);
                false
            }
        }
    }

    /// The system had no thread. A loop tries again ten times a second, or at the next request, so the lines are limited.
    fn warn_of_lack(&self, what: &str, error: &io::Error) {
        let name = &self.config.name;
        match lock(&self.lacking).count(Instant::now()) {
            Some(1) => journal::warn!("{name}: {what}: {error}"),
            Some(times) => {
                journal::warn!("{name}: {what}: {error} ({times} threads were lacking since the last line)");
            }
            None => {}
        }
    }

    /// A worker's life. Every call of a user's code in it is caught; what panics all the same must not cost the pool a thread.
    fn serve(&self, seat: &Mutex<Option<Arc<Exchange>>>) {
        while let Err(panic) = catch(|| self.work(seat)) {
            journal::error!("{}: a worker thread panicked outside of any handler: {panic}", self.config.name);
            *lock(seat) = None;
        }
    }

    fn work(&self, seat: &Mutex<Option<Arc<Exchange>>>) {
        let bed = Arc::default();
        // Whoever looks finds a job in the queue or on a seat.
        let take_seat = |job: &Job| {
            let is_mine = job.claim();
            if is_mine {
                *lock(seat) = Some(Arc::clone(job.exchange()));
            }
            is_mine
        };
        while let Some(job) = self.queue.take(&bed, take_seat) {
            match job {
                Job::Read { piece, in_flight, .. } => {
                    piece.run();
                    self.queue.end_background();
                    *lock(seat) = None;
                    drop(in_flight);
                }
                Job::Handle { mut request, route, reply } => {
                    let response = answer(&self.config, &self.router, route, &request);
                    let piece = first_piece(&response, &request.exchange);
                    request.let_go(&response);
                    if piece.is_none() {
                        *lock(seat) = None;
                    }
                    let exchange = piece.is_some().then(|| Arc::clone(&request.exchange));
                    let in_flight = reply.send(request, response);
                    if let (Some(piece), Some(exchange)) = (piece, exchange) {
                        self.begin_reading(piece, exchange, &in_flight);
                        *lock(seat) = None;
                    }
                    drop(in_flight);
                }
            }
        }
    }

    /// Reads the first piece of a content on the worker that has made the response, if it may read.
    fn begin_reading(&self, piece: Piece, exchange: Arc<Exchange>, in_flight: &WaitGuard) {
        if self.queue.begin_background() {
            piece.run();
            self.queue.end_background();
        } else {
            let in_flight = Some(in_flight.clone());
            self.queue.push_background(Job::Read { exchange, piece, in_flight });
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
        let unlogged = lock(&self.lacking).unlogged();
        if unlogged > 0 {
            let name = &self.config.name;
            journal::warn!("{name}: {unlogged} threads were lacking since the last line");
        }
    }

    /// The threads that are not in a handler, by their names, to be joined; the others are left to themselves. To be called
    /// after [`Pool::close`], when no loop can queue anything any more.
    pub(crate) fn take_idle_threads(&self) -> Vec<(String, JoinHandle<()>)> {
        self.queue.drain();
        self.let_go(self.queue.drain_background());
        let seats = std::mem::take(&mut *lock(&self.seats));
        let idle = seats.into_iter().filter(|seat| lock(&seat.working).is_none());
        idle.enumerate().map(|(number, seat)| (seat.name(number), seat.thread)).collect()
    }

    /// Lets go of the readers that no worker has come to: their `Drop` is the user's, and may block.
    fn let_go(&self, jobs: VecDeque<Job>) {
        if jobs.is_empty() {
            return;
        }
        let name = format!("{} letting go", self.config.name);
        let let_go = move || jobs.into_iter().for_each(Job::abandon);
        if let Err(error) = thread::Builder::new().name(name).spawn(let_go) {
            journal::warn!("{}: no thread to let go of the readers of contents: {error}", self.config.name);
        }
    }
}

impl Seat {
    fn name(&self, number: usize) -> String {
        self.thread.thread().name().map_or_else(|| format!("thread {number}"), str::to_owned)
    }
}

impl Dispatcher {
    /// Queues a request for the workers; hands it back if the queue is full.
    pub(crate) fn submit(&mut self, job: Job) -> Result<(), Job> {
        let waiting = self.pool.queue.push(job)?;
        self.submitted = true;
        self.make_room_for(waiting);
        Ok(())
    }

    /// Queues a piece of a response's content. A worker is woken at once, so that it reads while the loop writes.
    pub(crate) fn submit_piece(
        &mut self,
        exchange: &Arc<Exchange>,
        piece: Piece,
        in_flight: Option<WaitGuard>,
    ) {
        let job = Job::Read { exchange: Arc::clone(exchange), piece, in_flight };
        let startable = self.pool.queue.push_background(job);
        self.make_room_for(startable);
        self.pool.queue.wake_one();
    }

    /// Adds a thread for what waits, or plans to look whether it still waits later.
    fn make_room_for(&mut self, waiting: usize) {
        let threads = self.pool.threads.load(Ordering::Relaxed);
        if threads == 0 || (threads < self.pool.at_once && waiting > 1) {
            self.pool.grow();
        }
        if self.growth.is_none() && threads < self.pool.config.max_workers {
            self.plan(STANDING);
        }
    }

    /// Whether there may be one more thread besides the workers: as many as there may be workers.
    pub(crate) fn may_spawn(&self) -> bool {
        let others = lock(&self.pool.seats)
            .iter()
            .filter(|seat| !seat.is_worker && !seat.thread.is_finished())
            .count();
        others < self.pool.config.max_workers
    }

    /// Runs what takes long on a thread of its own, in the name of a request; false if there is none to be had. It is
    /// waited for, and joined or named, as the workers are.
    pub(crate) fn spawn(
        &self,
        exchange: &Arc<Exchange>,
        in_flight: WaitGuard,
        work: impl FnOnce() + Send + 'static,
    ) -> bool {
        let working = Arc::new(Mutex::new(Some(Arc::clone(exchange))));
        let seat = Arc::clone(&working);
        let body = move || {
            if let Err(panic) = catch(work) {
                journal::error!("the handler of an upgraded connection panicked: {panic}");
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
                self.pool.warn_of_lack("no thread for an upgraded connection", &error);
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
        let Standing { waiting, startable, taken } = self.pool.queue.standing();
        let waiting = waiting + startable;
        let taken = taken.wrapping_sub(taken_before);
        let missing = waiting.saturating_sub(usize::try_from(taken).unwrap_or(usize::MAX));
        let woken = if missing > 0 { self.pool.queue.wake(missing) } else { 0 };
        let grown = (woken..missing).take(THREADS_A_LOOK).all(|_| self.pool.grow());
        if waiting == 0 {
            return;
        }
        if self.pool.threads.load(Ordering::Relaxed) == 0 {
            // Not a single thread to be had: nobody will ever take these.
            let unclaimed = self.pool.queue.drain().into_iter().filter(Job::claim);
            unclaimed.for_each(Job::give_back);
            self.pool.queue.drain_background().into_iter().for_each(Job::abandon);
        } else if self.pool.threads.load(Ordering::Relaxed) < self.pool.config.max_workers {
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
            Job::Read { exchange, .. } => exchange,
        }
    }

    /// Whether it is still to be done. A piece always is: its reader has to be let go at least.
    fn claim(&self) -> bool {
        match self {
            Job::Handle { request, .. } => request.exchange.claim(),
            Job::Read { .. } => true,
        }
    }

    /// Cuts off the content that is not read.
    fn abandon(self) {
        if let Job::Read { piece, in_flight, .. } = self {
            piece.abandon();
            drop(in_flight);
        }
    }

    /// The request, of a job that was not taken.
    pub(crate) fn into_request(self) -> Option<Box<Request>> {
        match self {
            Job::Handle { request, .. } => Some(request),
            Job::Read { .. } => None,
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
    fn send(self, mut request: Box<Request>, response: Response) -> WaitGuard {
        let Reply { mailbox, connection, in_flight } = self;
        request.answer = Some(response);
        drop(mailbox.send(Message::Answered(connection, request)));
        in_flight
    }
}

/// What is to be read for that response, if its content comes from a reader. One that nobody wants, because the request or the
/// status has no content or nobody waits for the response any more, is closed first: then it is only let go.
fn first_piece(response: &Response, exchange: &Exchange) -> Option<Piece> {
    let Body::Stream(stream) = response.body() else { return None };
    if !stream.is_read() {
        return None;
    }
    let is_head_request = exchange.head.method() == Method::Head;
    if exchange.is_abandoned() {
        stream.discard(Cause::ClientGone);
    } else if !has_content(&response.parts(), is_head_request) || response.status().is_informational() {
        stream.discard(Cause::from("the client wants no content"));
    }
    stream.next_piece()
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
