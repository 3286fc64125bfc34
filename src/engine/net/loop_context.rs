//! What a loop lends to the connection that it is dealing with: the clock's last reading, the configuration, the way
//! into the pool, and buffers that are used for one connection after the other.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use super::{date::Date, event_loop::Message, mailbox::Mailbox};
use crate::{
    app::{
        request::{Exchange, Request, RequestFactory},
        response::Response,
        router::Router,
    },
    body::{Body, stream::Stream},
    config::Config,
    engine::{
        pool::Dispatcher,
        run::{News, Occupation, Run},
    },
    http::Head,
    metrics::Tally,
    observe::{ConnectionId, Event},
    stop::{Cause, Phase, StopProgress},
};

/// Requests that are kept to be used again: as many as a full pool with its default of 512 workers has in its hands. What
/// they hold is bounded too (see [`Request::recycle`]), to eight MiB a loop, and is about one KiB each as a rule.
const SPARE_REQUESTS: usize = 512;

pub(crate) struct LoopContext {
    /// Of the loop.
    pub(crate) number: usize,
    pub(crate) config: Arc<Config>,
    pub(crate) router: Arc<Router>,
    pub(crate) run: Arc<Run>,
    requests: RequestFactory,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) mailbox: Mailbox<Message>,
    /// Read once a turn.
    pub(crate) now: Instant,
    /// How far the stop has come.
    pub(crate) drain: StopProgress,
    /// This loop is the only one to add to it.
    pub(crate) tally: Arc<Tally>,
    pub(crate) date: Date,
    /// Where everything is read to first.
    pub(crate) scratch: Vec<u8>,
    /// Where responses are encoded; a connection takes it along if the socket does not take everything.
    pub(crate) output: Vec<u8>,
    /// The request that the next head is parsed into.
    next: Box<Request>,
    #[expect(
        clippy::vec_box,
        reason = "in the boxes in which they travel to a worker, and back with the answer"
    )]
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
        let next = requests.make();
        LoopContext {
            number,
            config,
            router,
            run,
            requests,
            dispatcher,
            mailbox,
            now: Instant::now(),
            drain: StopProgress::Running,
            tally,
            date: Date::new(),
            scratch: vec![0; SCRATCH],
            output: Vec::new(),
            next,
            spares: Vec::new(),
        }
    }

    /// How far the stop has come.
    pub(crate) fn phase(&self) -> Phase {
        self.drain.phase()
    }

    /// Runs a handler or callbacks, and lets whoever waits for the end of a stop know that the loop is in it.
    pub(crate) fn in_user_code<T>(&self, code: impl FnOnce(&LoopContext) -> T) -> T {
        self.run.loops()[self.number].occupied(Occupation::UserCode, || code(self))
    }

    /// Tells the observer, if there is one.
    #[inline]
    pub(crate) fn observe(&self, event: &Event<'_>) {
        if self.config.is_observed() {
            self.run.loops()[self.number].occupied(Occupation::Observer, || self.config.observe(event));
        }
    }

    /// Tells the observer of something that concerns the whole server, after everything that came before.
    pub(crate) fn announce(&self, news: News) {
        self.run.announce(news);
        self.run.tell_news(self.number);
    }

    /// Has the next piece of a content read, if it comes from a reader and there is room; has the reader let go, if the content
    /// has ended.
    pub(crate) fn have_read(&mut self, stream: &Stream, exchange: &Arc<Exchange>) {
        if let Some(piece) = stream.next_piece() {
            self.dispatcher.submit_piece(exchange, piece, self.run.in_flight.guard_unless_zero());
        }
    }

    /// Takes nothing of a content. Its reader, if it has one, is let go elsewhere: its `Drop` may block.
    pub(crate) fn let_go(&mut self, stream: &Stream, cause: Cause, exchange: &Arc<Exchange>) {
        stream.discard(cause);
        self.have_read(stream, exchange);
    }

    /// The same for a response that nobody is sent.
    pub(crate) fn let_go_of(&mut self, response: Response, exchange: &Arc<Exchange>) {
        if let Body::Stream(stream) = response.into_body() {
            self.let_go(&stream, Cause::ClientGone, exchange);
        }
    }

    /// Where to parse the next head to.
    pub(crate) fn next_head(&mut self) -> &mut Head {
        if Arc::get_mut(&mut self.next.exchange).is_none() {
            self.next = self.requests.make();
        }
        &mut Arc::get_mut(&mut self.next.exchange).expect("made just now, shared with nobody").head
    }

    /// The request whose head was just parsed.
    pub(crate) fn take_request(
        &mut self,
        peer: SocketAddr,
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
        if request.has_attachments() {
            // Of an inline handler: a worker drops what its handlers have attached. A panic in there is caught, but what
            // blocks holds the loop, as the handler itself would.
            self.in_user_code(|_| request.drop_attachments());
        }
        if self.spares.len() < SPARE_REQUESTS && request.recycle() {
            self.spares.push(request);
        }
    }
}

/// Size of a read: what a socket usually has at most when its reader keeps up, and larger than any head.
pub(crate) const SCRATCH: usize = 64 * 1024;
