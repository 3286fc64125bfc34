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
//! Three more axes are independent of that: what the socket has to read ([`ReadSide`]), what it still has to take
//! ([`Output`]), and whether there will be another request ([`Persistence`]). A stop only switches the last one.
//!
//! Readiness is edge-triggered: `ReadSide` remembers an edge until a read has shown that there is nothing left.

mod bytes;
mod endings;
mod refusals;
mod requests;
mod streaming;

use std::{io, net::SocketAddr, sync::Arc, time::Instant};

use mio::{Token, event::Event as Readiness, net::TcpStream};

use super::{
    deadlines::Kind,
    loop_context::LoopContext,
    output::{Flushed, Output},
    pace::Pace,
};
use crate::{
    app::{
        middleware::RefusalKind,
        request::{Exchange, Request},
        response::Response,
        router::RouteId,
    },
    body::{pipe::Pipe, upgrade::Upgrade},
    http::{Conn, ReadPhase, Refusal, StatusCode},
    observe::ConnectionId,
    stop::{CloseReason, OnStop, Rhythm, Verdict, WaitGuard},
};
use streaming::Streaming;

const PREFIX: &[u8] = b"HTTP/1.1 ";

pub(crate) struct Connection {
    stream: TcpStream,
    token: Token,
    peer: SocketAddr,
    http: Conn,
    activity: Activity,
    read: ReadSide,
    output: Output,
    persistence: Persistence,
    /// Received, but not consumed: the beginning of a message, or what came behind a request that is being handled.
    input: Input,
    /// Responses in `output`.
    owed: u64,
    /// Requests that have been answered. Until there is one, the connection is not idle, but owes its first request.
    answered: u64,
    /// When what the connection waits for began, or last moved.
    since: Instant,
    /// How long its client pauses between two requests.
    rhythm: Rhythm,
    /// Of the content that comes in, or of the response that the client takes.
    pace: Pace,
    in_flight: WaitGuard,
}

enum Activity {
    /// Waiting for a head, or in one.
    Receiving,
    /// The content is coming in.
    Content { request: Box<Request>, plan: Plan },
    /// A worker has it; `incoming`, if its handler reads the content itself and the end has not come yet; `due`, if its
    /// route limits the time until it is answered.
    Handling {
        exchange: Arc<Exchange>,
        probes: usize,
        incoming: Option<Arc<Pipe>>,
        due: Option<(Instant, RouteId)>,
    },
    /// The head of a response has been made; its content is sent as it comes.
    Streaming(Box<Streaming>),
    /// The answer is 101: once it is written, the connection is the handler's.
    Upgrading { exchange: Arc<Exchange>, upgrade: Upgrade },
    /// Our side is shut down; whatever comes is discarded until the peer closes too, or until the stop need not wait any longer.
    Lingering { reason: CloseReason, stop_waits: StopWaits },
}

/// What a stop waits for before it closes a lingering connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopWaits {
    /// The acknowledgement of our FIN. The client's kernel has every byte then, and as the client has sent nothing beyond
    /// what was answered, no reset takes the response away again.
    ForAcknowledgement,
    /// The client's own close, or the end of the linger time. The client has sent more, or may be about to: a close would be
    /// answered with a reset, even to a client that has not read its response yet.
    ForPeer,
}

/// What is to become of a request once it is complete.
enum Plan {
    Handle(RouteId),
    Answer(Box<Response>),
}

enum ReadSide {
    /// Nothing to read until the next edge.
    Waiting,
    /// There was an edge.
    Ready,
    /// There was an edge that told of urgent data (RFC 9293 section 3.8.5). A read stops short of it, with more behind it,
    /// so a short read is not the last one.
    Urgent,
    /// There was an edge that said the peer has closed its side: nothing but the end of the stream ends the reading,
    /// as no further edge will come.
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
    /// Begins a message that is not complete.
    Partial(Vec<u8>),
    /// May hold whole requests.
    Backlog(Vec<u8>),
}

/// What the loop is to do with a connection it has dealt with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Keep it until something happens.
    Wait,
    /// Deal with it again after the others.
    Again,
    Close(CloseReason),
    /// It is no longer the loop's.
    HandOver,
}

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        token: Token,
        in_flight: WaitGuard,
        now: Instant,
    ) -> Connection {
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
            rhythm: Rhythm::default(),
            pace: Pace::new(now),
            in_flight,
        }
    }

    pub(crate) fn id(&self, loop_context: &LoopContext) -> ConnectionId {
        ConnectionId { loop_number: loop_context.number, token: self.token.0 }
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
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
            // The kernel reports a FIN that was sent, and its acknowledgement, as room to write.
            Flow::Wait if readiness.is_writable() => self.end_linger(loop_context),
            flow => flow,
        }
    }

    /// A worker has answered.
    pub(crate) fn on_answer(&mut self, mut request: Box<Request>, loop_context: &mut LoopContext) -> Flow {
        let flow = match (&self.activity, request.answer.take()) {
            (Activity::Handling { exchange, probes, .. }, response)
                if Arc::ptr_eq(exchange, &request.exchange) =>
            {
                let probes = *probes;
                let response = response.unwrap_or_else(|| {
                    loop_context.tally.rejected.add(1);
                    self.overloaded(RefusalKind::Overloaded, &request.exchange, loop_context)
                });
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

    /// Answers the request that was being handled.
    fn answer(
        &mut self,
        response: Response,
        exchange: &Arc<Exchange>,
        probes: usize,
        loop_context: &mut LoopContext,
    ) -> Flow {
        self.activity = Activity::Receiving;
        self.since = loop_context.now;
        let last = matches!(self.input, Input::Empty);
        self.borrow_buffer(loop_context);
        self.respond(response, exchange, last, loop_context);
        self.output.skip(probes);
        self.drive(loop_context)
    }

    /// A handler reads its content and has come to where it has to wait.
    pub(crate) fn on_content_wanted(&mut self, loop_context: &mut LoopContext) -> Flow {
        if self.http.wants_continue() {
            self.http.write_continue(&mut self.output.buffer);
        }
        if let Input::Empty = self.input {
            // The content may have ended with the byte that filled the pipe: none will come to show it.
            self.input = Input::Backlog(Vec::new());
        }
        // While the handler did not read, the client could not be any faster.
        self.pace.excuse(loop_context.now);
        self.since = loop_context.now;
        self.drive(loop_context)
    }

    /// What a stop means for the request that is being handled, if there is one.
    pub(crate) fn on_stop(&self) -> Option<OnStop> {
        match &self.activity {
            Activity::Handling { exchange, .. } => Some(exchange.on_stop),
            Activity::Streaming(streaming) => Some(streaming.exchange.on_stop),
            _ => None,
        }
    }

    /// Its handler's time is over: a request that waits for a worker is answered, and a handler that waits for its client
    /// need not wait any longer.
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
        if !exchange.claim() {
            loop_context.tally.cancelled.add(u64::from(exchange.cancel_once()));
            return Flow::Wait;
        }
        loop_context.tally.rejected.add(1);
        let response = self.overloaded(RefusalKind::Stopping, &exchange, loop_context);
        self.answer(response, &exchange, probes, loop_context)
    }

    pub(crate) fn on_deadline(&mut self, loop_context: &mut LoopContext) -> Flow {
        let Some((kind, at)) = self.deadline(loop_context) else { return Flow::Wait };
        if at > loop_context.now {
            return Flow::Wait;
        }
        if let Kind::Header | Kind::Body | Kind::Idle | Kind::Quiet = kind {
            // What it waits for may have come since the loop was woken, or while another connection held the loop up.
            let flow = self.look_again(loop_context);
            if flow != Flow::Wait || self.deadline(loop_context) != Some((kind, at)) {
                return flow;
            }
        }
        match kind {
            Kind::Header if self.http.phase() == ReadPhase::Idle => Flow::Close(CloseReason::IdleTimeout),
            Kind::Header | Kind::Body => {
                let refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time");
                self.refuse(&refusal, CloseReason::RequestTimeout, loop_context);
                self.drive(loop_context)
            }
            Kind::Idle => Flow::Close(CloseReason::IdleTimeout),
            Kind::Quiet => self.end_quiet(loop_context),
            Kind::Route => self.time_out(loop_context),
            // The kernel says that there is room again only when there is plenty; a slow client takes bytes all the same.
            Kind::Write => match self.flush(loop_context) {
                Ok(Flushed::Blocked { .. })
                    if self.peer_deadline(loop_context).is_none_or(|(_, at)| at <= loop_context.now) =>
                {
                    Flow::Close(CloseReason::WriteTimeout)
                }
                Ok(_) => self.drive(loop_context),
                Err(_) => self.client_gone(),
            },
            Kind::Linger => match self.activity {
                Activity::Lingering { reason, .. } => Flow::Close(reason),
                _ => Flow::Wait,
            },
            Kind::Probe => self.probe(loop_context),
            Kind::LastWords => self.drive(loop_context),
        }
    }

    /// What the connection waits for, and until when: computed from its state.
    pub(crate) fn deadline(&self, loop_context: &LoopContext) -> Option<(Kind, Instant)> {
        let handler = match &self.activity {
            Activity::Handling { due: Some((at, _)), .. } => Some((Kind::Route, *at)),
            _ => None,
        };
        // The first of two at the same time, so that a handler's limit holds whatever its client does.
        handler.into_iter().chain(self.peer_deadline(loop_context)).min_by_key(|(_, at)| *at)
    }

    /// What it waits for its peer to do, and until when.
    fn peer_deadline(&self, loop_context: &LoopContext) -> Option<(Kind, Instant)> {
        let timeouts = &loop_context.config.timeouts;
        let (kind, wait) = match &self.activity {
            Activity::Lingering { .. } => (Kind::Linger, timeouts.linger),
            _ if !self.output.is_empty() => {
                return Some((Kind::Write, self.pace.due(timeouts.write, timeouts.write_rate)?));
            }
            Activity::Content { .. } => return Some((Kind::Body, self.content_due(loop_context)?)),
            // A handler that does not read is not the client's fault.
            Activity::Handling { incoming: Some(pipe), .. } if pipe.is_paused() => return None,
            Activity::Handling { incoming: Some(_), .. } => {
                return Some((Kind::Body, self.content_due(loop_context)?));
            }
            Activity::Handling { probes, .. } => match self.read {
                ReadSide::HangingUp | ReadSide::Ended if *probes < PREFIX.len() => {
                    (Kind::Probe, timeouts.half_close_probe.saturating_mul(1 << probes))
                }
                _ => return None,
            },
            Activity::Upgrading { .. } => return None,
            Activity::Streaming(streaming) => {
                return streaming.deadline(&self.read, self.since, loop_context);
            }
            Activity::Receiving => match loop_context.drain.verdict(self.standing()) {
                Verdict::CloseAt(at) => return Some((Kind::Quiet, at)),
                Verdict::RefuseAt(at) => {
                    let own = self.since.checked_add(timeouts.header);
                    return Some((Kind::Header, own.map_or(at, |own| own.min(at))));
                }
                Verdict::Keep if self.http.phase() == ReadPhase::Idle && self.answered > 0 => {
                    (Kind::Idle, timeouts.idle)
                }
                Verdict::Keep => (Kind::Header, timeouts.header),
            },
        };
        Some((kind, self.since.checked_add(wait)?))
    }

    fn content_due(&self, loop_context: &LoopContext) -> Option<Instant> {
        let timeouts = &loop_context.config.timeouts;
        self.pace.due(timeouts.body, timeouts.body_rate)
    }
}
