//! The context of a loop: what the loop lends to the connection that it is driving. A connection gets the context with each
//! call, and owns none of it.

use std::{sync::Arc, time::Instant};

use super::{age::AgeLimit, date::Date, event_loop::LoopMessage, mailbox::Mailbox};
use crate::{
    app::{
        request::{Exchange, Request, RequestFactory},
        response::Response,
        router::Router,
    },
    body::{BodyKind, stream::Stream},
    config::Config,
    engine::{
        pool::Dispatcher,
        run::{Occupation, Run, RunEvent},
    },
    http::Head,
    metrics::Tally,
    observe::{ConnectionId, Event},
    peer::Peer,
    stop::{Cause, Phase, StopProgress},
};

/// How many requests a loop keeps to use them again: as many as a full pool with its default of 512 workers handles. The
/// memory that they hold is bounded (see [`Request::recycle`]) to eight MiB a loop. As a rule it is about one KiB for each.
const SPARE_REQUESTS: usize = 512;

/// What one loop lends to the connection that it is driving: the time, the configuration, the run, the way into the pool, and
/// buffers that one connection uses after the other. Each loop has one; a [`Run`] is shared by all loops.
pub(crate) struct LoopContext {
    /// The loop's number.
    pub(crate) number: usize,
    pub(crate) config: Arc<Config>,
    pub(crate) router: Arc<Router>,
    pub(crate) run: Arc<Run>,
    requests: RequestFactory,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) mailbox: Mailbox<LoopMessage>,
    /// The time, read once a turn.
    pub(crate) now: Instant,
    /// How old the loop's connections may become, if that is limited.
    pub(crate) age_limit: Option<AgeLimit>,
    /// How far the stop has come.
    pub(crate) drain: StopProgress,
    /// What this loop counts. No other thread writes to it.
    pub(crate) tally: Arc<Tally>,
    pub(crate) date: Date,
    /// The buffer that every read fills first.
    pub(crate) scratch: Vec<u8>,
    /// The buffer into which responses are encoded. A connection keeps it if the socket does not take everything.
    pub(crate) output: Vec<u8>,
    /// The request that the next head is parsed into.
    next: Box<Request>,
    #[expect(clippy::vec_box, reason = "a request travels in its box to a worker, and back with the answer")]
    spares: Vec<Box<Request>>,
}

impl LoopContext {
    pub(crate) fn new(
        number: usize,
        config: Arc<Config>,
        router: Arc<Router>,
        run: Arc<Run>,
        requests: RequestFactory,
        dispatcher: Dispatcher,
    ) -> LoopContext {
        let address = &run.loops()[number];
        let (mailbox, tally) = (address.mailbox.clone(), Arc::clone(&address.tally));
        let (next, now) = (requests.make(), Instant::now());
        let age_limit = config.max_connection_age.map(|limit| AgeLimit::new(limit, now, number));
        LoopContext {
            number,
            config,
            router,
            run,
            requests,
            dispatcher,
            mailbox,
            now,
            age_limit,
            drain: StopProgress::Running,
            tally,
            date: Date::new(),
            scratch: vec![0; SCRATCH],
            output: Vec::new(),
            next,
            spares: Vec::new(),
        }
    }

    /// The phase that this loop has come to.
    pub(crate) fn phase(&self) -> Phase {
        self.drain.phase()
    }

    /// Runs a handler or callbacks. Meanwhile a caller that waits for the end of a stop sees that the loop is in a user's code.
    pub(crate) fn in_user_code<T>(&self, code: impl FnOnce(&LoopContext) -> T) -> T {
        self.run.loops()[self.number].occupied(Occupation::UserCode, || code(self))
    }

    /// Tells the observer of an event, if there is an observer.
    #[inline]
    pub(crate) fn observe(&self, event: &Event<'_>) {
        if self.config.is_observed() {
            self.run.loops()[self.number].occupied(Occupation::Observer, || self.config.observe(event));
        }
    }

    /// Tells the observer of an event that concerns the whole server, after the events that are queued already.
    pub(crate) fn announce(&self, event: RunEvent) {
        self.run.announce(event);
        self.run.deliver_events(self.number);
    }

    /// Has a worker read the next piece of a content, if the content comes from a reader and there is room for a piece. If the
    /// content has ended, the worker drops the reader.
    pub(crate) fn have_read(&mut self, stream: &Stream, exchange: &Arc<Exchange>) {
        if let Some(piece) = stream.next_piece() {
            self.dispatcher.submit_piece(exchange, piece, self.run.in_flight.guard_unless_zero());
        }
    }

    /// Takes nothing of a content. If it has a reader, a worker drops the reader, because that `Drop` may block.
    pub(crate) fn let_go(&mut self, stream: &Stream, cause: Cause, exchange: &Arc<Exchange>) {
        stream.discard(cause);
        self.have_read(stream, exchange);
    }

    /// Discards a response that will not be sent, as [`LoopContext::let_go`] does.
    pub(crate) fn let_go_of(&mut self, response: Response, exchange: &Arc<Exchange>) {
        if let BodyKind::Stream(stream) = response.into_body().into_kind() {
            self.let_go(&stream, Cause::ClientGone, exchange);
        }
    }

    /// The head into which the next request is parsed.
    pub(crate) fn next_head(&mut self) -> &mut Head {
        if Arc::get_mut(&mut self.next.exchange).is_none() {
            self.next = self.requests.make();
        }
        &mut Arc::get_mut(&mut self.next.exchange)
            .expect("not shared: it was either not shared before, or made just now")
            .head
    }

    /// The request whose head was just parsed.
    pub(crate) fn take_request(
        &mut self,
        peer: &Peer,
        connection: ConnectionId,
        number: u64,
    ) -> Box<Request> {
        let spare = self.spares.pop().unwrap_or_else(|| self.requests.make());
        let mut request = std::mem::replace(&mut self.next, spare);
        request.begin(self.now, peer, connection, number);
        if self.config.is_observed() {
            let head = &request.exchange.head;
            let (method, target) = (head.method_str(), head.target());
            self.observe(&Event::RequestRead { connection, request: number, method, target });
        }
        request
    }

    /// Takes back a request that has been answered.
    pub(crate) fn recycle(&mut self, mut request: Box<Request>) {
        if request.has_extensions() {
            // Only an inline handler leaves values here: a worker drops the values of its handlers itself. A panic of such a
            // `Drop` is caught. A `Drop` that blocks holds the loop, as an inline handler would.
            self.in_user_code(|_| request.drop_extensions());
        }
        if self.spares.len() < SPARE_REQUESTS && request.recycle() {
            self.spares.push(request);
        }
    }
}

/// Size of a read: as much as a socket usually has when its reader keeps up, and larger than any head.
pub(crate) const SCRATCH: usize = 64 * 1024;
