//! One connection: bytes from its socket to the HTTP core, requests to their handlers, responses back.
//!
//! ```text
//!                  head            content complete        answered, kept alive
//!   Receiving ----------> Content ------------------+   +-----------------------> Receiving
//!       |                                           v   |
//!       +-- refused, timed out, last response ->  Handling (on the pool; inline handlers answer at once)
//!       |                                           |  its content comes bit by bit
//!       +<----------- its end was sent -------- Streaming
//!                                               Upgrading ----------> handed over
//!                      |
//!                      v   all written
//!                  Lingering ----------> closed    (at once, if the client has asked for it and sent everything;
//!                                                  in a stop, when its kernel has acknowledged the FIN)
//! ```
//!
//! Three more axes are independent of that one: the bytes that the socket has to read ([`ReadSide`]), the bytes that it still has
//! to take ([`Output`]), and whether there will be another request ([`Persistence`]). A stop only switches the last one.
//!
//! Readiness is edge-triggered (see docs/glossary.md): the kernel reports an edge once. So `ReadSide` remembers the edge until
//! a read has shown that there is nothing left.
//!
//! This file has the states, and the events that other threads and the kernel cause. The files below it follow the data:
//! `bytes` reads and writes, `requests` turns heads into responses, `refusals` answers in a handler's stead, `streaming` sends
//! contents that come bit by bit, `clock` has the deadlines, `probe` finds out whether a half-closed client is gone,
//! `in_flight` says what the connection is doing, and `endings` has the ways out.

mod bytes;
mod clock;
mod endings;
mod in_flight;
mod probe;
mod refusals;
mod requests;
mod streaming;

use std::{io, sync::Arc, time::Instant};

use mio::{Token, event::Event as Readiness};

use super::{age::Birth, loop_context::LoopContext, output::Output, socket::Stream, throughput::Throughput};
use crate::{
    app::{
        middleware::RefusalKind,
        request::{Exchange, Request},
        response::Response,
        router::RouteId,
    },
    body::{pipe::Pipe, upgrade::Upgrade},
    http::Conn,
    observe::ConnectionId,
    peer::Peer,
    stop::{CloseReason, OnStop, Rhythm, WaitGuard},
    sync::Withdrawal,
};
use streaming::Streaming;

pub(crate) struct Connection {
    stream: Stream,
    token: Token,
    peer: Peer,
    http: Conn,
    activity: Activity,
    read: ReadSide,
    output: Output,
    persistence: Persistence,
    /// Bytes that were received, but not consumed.
    input: Input,
    /// The number of responses in `output`, which is bounded.
    owed: u32,
    /// The number of requests that were answered. A connection without any is not idle: it owes its first request.
    answered: u64,
    /// When the present wait began, or the last bytes moved.
    since: Instant,
    /// When the connection was accepted, if the age of connections is limited.
    birth: Birth,
    /// How long the client pauses between two requests.
    rhythm: Rhythm,
    /// Of the content that comes in, or of the response that the client takes.
    throughput: Throughput,
    in_flight: WaitGuard,
}

enum Activity {
    /// Waiting for a head, or in the midst of one.
    Receiving,
    /// The content is coming in.
    Content { request: Box<Request>, plan: Plan },
    /// A worker has the request, or the queue has it.
    Handling {
        exchange: Arc<Exchange>,
        /// Bytes of the response that were sent ahead: see [`probe`].
        probes: usize,
        /// Some while the handler reads the content itself, and its end has not come.
        incoming: Option<Arc<Pipe>>,
        /// Some if the route limits the time until the request is answered.
        due: Option<(Instant, RouteId)>,
    },
    /// The head of a response has been made. Its content is sent as it comes.
    Streaming(Box<Streaming>),
    /// The answer is 101. Once it is written, the connection belongs to the handler.
    Upgrading { exchange: Arc<Exchange>, upgrade: Upgrade },
    /// Our side is shut down. Whatever comes is discarded until the client closes too, or until the stop need not wait any
    /// longer.
    Lingering { reason: CloseReason, stop_waits: StopWaits },
}

/// The event that a stop waits for before it closes a lingering connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopWaits {
    /// The acknowledgement of our FIN. The client's kernel has every byte by then. The client has sent nothing beyond its
    /// answered requests, so our close causes no reset, which would take the response away again.
    ForAcknowledgement,
    /// The client's own close, or the end of the linger time. The client has sent more, or may be about to. Our close would
    /// cause a reset, even for a client that has not read its response yet.
    ForPeer,
}

/// What the loop does with a request once it is complete.
enum Plan {
    Handle(RouteId),
    Answer(Box<Response>),
}

enum ReadSide {
    /// There is nothing to read until the next edge.
    Waiting,
    /// There was an edge.
    Ready,
    /// There was an edge for urgent data (RFC 9293 section 3.8.5). A read stops short of urgent data, with more behind it.
    /// So a short read is not the last one.
    Urgent,
    /// There was an edge for the client's FIN. No further edge will come, so reading goes on until the end of the stream.
    HangingUp,
    /// The end of the stream has been read.
    Ended,
}

enum Persistence {
    KeepAlive,
    CloseWhenSent(CloseReason),
}

enum Input {
    Empty,
    /// The beginning of a message that is not complete.
    Partial(Vec<u8>),
    /// Bytes that may hold whole requests.
    Backlog(Vec<u8>),
    /// No bytes, but the parser has to run once more, because the last byte may have been the end of a content.
    EndDue,
}

/// The bytes behind a request. During a stop, the response to a request with nothing behind it is the connection's last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    Nothing,
    /// More has come, or the client may still send the request's content.
    More,
}

/// What the loop does with a connection after an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Keep the connection until something happens.
    Wait,
    /// Deal with the connection again, after the others.
    Again,
    Close(CloseReason),
    /// Let go of the connection: it belongs to an upgrade's handler.
    HandOver,
}

impl Connection {
    pub(crate) fn new(
        stream: Stream,
        peer: Peer,
        token: Token,
        in_flight: WaitGuard,
        loop_context: &LoopContext,
    ) -> Connection {
        let now = loop_context.now;
        Connection {
            stream,
            token,
            peer,
            http: Conn::new(),
            activity: Activity::Receiving,
            read: ReadSide::Waiting,
            output: Output::new(),
            persistence: Persistence::KeepAlive,
            input: Input::Empty,
            owed: 0,
            answered: 0,
            since: now,
            birth: loop_context.age_limit.map_or(Birth::UNLIMITED, |limit| limit.birth(Instant::now())),
            rhythm: Rhythm::default(),
            throughput: Throughput::new(now),
            in_flight,
        }
    }

    pub(crate) fn id(&self, loop_context: &LoopContext) -> ConnectionId {
        ConnectionId { loop_number: loop_context.number, token: self.token.0 }
    }

    pub(crate) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    // ---- what can happen to a connection ------------------------------------------------------------------------

    pub(crate) fn on_readiness(&mut self, readiness: &Readiness, loop_context: &mut LoopContext) -> Flow {
        let gone = readiness.is_error() || readiness.is_write_closed();
        let answering = matches!(
            self.activity,
            Activity::Handling { .. } | Activity::Streaming(_) | Activity::Upgrading { .. }
        );
        if gone && answering {
            return self.client_gone();
        }
        if let ReadSide::Waiting | ReadSide::Ready | ReadSide::Urgent = self.read {
            if gone || readiness.is_read_closed() {
                self.read = ReadSide::HangingUp;
                if answering {
                    self.since = loop_context.now;
                }
            } else if readiness.is_priority() {
                self.read = ReadSide::Urgent;
            } else if readiness.is_readable() && matches!(self.read, ReadSide::Waiting) {
                self.read = ReadSide::Ready;
            }
        }
        match self.drive(loop_context) {
            // The kernel reports our FIN, and the acknowledgement of our FIN, as room to write.
            Flow::Wait if readiness.is_writable() => self.end_linger(loop_context),
            flow => flow,
        }
    }

    /// A worker has answered, or a loop gives the request back because there is no worker.
    pub(crate) fn on_answer(&mut self, mut request: Box<Request>, loop_context: &mut LoopContext) -> Flow {
        let flow = match (&self.activity, request.answer.take()) {
            (Activity::Handling { exchange, probes, .. }, response)
                if Arc::ptr_eq(exchange, &request.exchange) =>
            {
                let probes = *probes;
                let response = response
                    .unwrap_or_else(|| self.reject(RefusalKind::Overloaded, &request.exchange, loop_context));
                self.answer(response, &request.exchange, probes, loop_context)
            }
            // The client has been answered already, and may be one or more requests further.
            (_, answer) => {
                if let Some(response) = answer {
                    loop_context.let_go_of(response, &request.exchange);
                }
                Flow::Wait
            }
        };
        loop_context.recycle(request);
        flow
    }

    /// Answers the request that was being handled. The client has `probes` bytes of the response already.
    fn answer(
        &mut self,
        response: Response,
        exchange: &Arc<Exchange>,
        probes: usize,
        loop_context: &mut LoopContext,
    ) -> Flow {
        self.activity = Activity::Receiving;
        self.since = loop_context.now;
        let behind = match self.input {
            Input::Empty => Behind::Nothing,
            Input::Partial(_) | Input::Backlog(_) | Input::EndDue => Behind::More,
        };
        self.output.borrow(&mut loop_context.output);
        self.respond(response, exchange, behind, loop_context);
        self.output.skip(probes);
        self.drive(loop_context)
    }

    /// A handler that reads its content itself has to wait for more of it.
    pub(crate) fn on_content_wanted(&mut self, loop_context: &mut LoopContext) -> Flow {
        if self.http.wants_continue() {
            self.http.write_continue(&mut self.output.buffer);
        }
        if let Input::Empty = self.input {
            // The byte that filled the pipe may have been the last one, and no later read would report the end.
            self.input = Input::EndDue;
        }
        // While the handler did not read, the client could not send.
        self.throughput.excuse(loop_context.now);
        self.since = loop_context.now;
        self.drive(loop_context)
    }

    /// The meaning of a stop for the request that is being handled, if there is one.
    pub(crate) fn on_stop(&self) -> Option<OnStop> {
        match &self.activity {
            Activity::Handling { exchange, .. } => Some(exchange.on_stop),
            Activity::Streaming(streaming) => Some(streaming.exchange.on_stop),
            _ => None,
        }
    }

    /// The stop's time for the handler is over. A request that no worker has begun with is answered by the loop. A handler
    /// that waits for its client stops waiting.
    pub(crate) fn on_cancel(&mut self, loop_context: &mut LoopContext) -> Flow {
        let (exchange, incoming, probes) = match &self.activity {
            Activity::Handling { exchange, incoming, probes, .. } => {
                (Arc::clone(exchange), incoming, *probes)
            }
            Activity::Streaming(_) => return self.cancel_stream(loop_context),
            _ => return Flow::Wait,
        };
        if let Some(pipe) = incoming {
            pipe.fail(io::ErrorKind::ConnectionAborted, "the server is stopping");
        }
        match refusals::withdraw(&exchange, loop_context) {
            Withdrawal::Withdrawn => {
                let response = self.reject(RefusalKind::Stopping, &exchange, loop_context);
                self.answer(response, &exchange, probes, loop_context)
            }
            // Its handler answers, or the loop that withdrew the request gives it back.
            Withdrawal::Cancelled | Withdrawal::AlreadyCancelled | Withdrawal::AlreadyWithdrawn => Flow::Wait,
        }
    }
}
