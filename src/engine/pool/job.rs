//! The jobs of the pool: a request for its handler, or a piece of a response's content for its reader.

use std::sync::Arc;

use mio::Token;

use crate::{
    app::{
        middleware,
        request::{Exchange, Request},
        response::Response,
        router::{RouteId, Router},
    },
    body::{BodyKind, stream::Piece},
    config::Config,
    engine::net::{LoopMessage, Mailbox},
    http::has_content,
    observe::Event,
    stop::{Cause, WaitGuard},
    sync::Withdrawal,
};

/// Something on its way through the pool.
pub(crate) enum Job {
    /// A request is to be handled.
    Handle { request: Box<Request>, route: RouteId, reply: Reply },
    /// A piece of a response's content is to be read.
    Read { exchange: Arc<Exchange>, piece: Piece, in_flight: Option<WaitGuard> },
}

/// The way back for a job's answer.
pub(crate) struct Reply {
    pub(crate) mailbox: Mailbox<LoopMessage>,
    pub(crate) connection: Token,
    /// Keeps the run from ending while the handler runs, whether or not its client is still there.
    pub(crate) in_flight: WaitGuard,
}

impl Job {
    pub(super) fn exchange(&self) -> &Arc<Exchange> {
        match self {
            Job::Handle { request, .. } => &request.exchange,
            Job::Read { exchange, .. } => exchange,
        }
    }

    /// Whether the worker that has taken the job is to do it. A piece is always done, because its reader has to be let go at
    /// least.
    pub(super) fn begin(&self) -> bool {
        match self {
            Job::Handle { request, .. } => request.exchange.begin(),
            Job::Read { .. } => true,
        }
    }

    /// Cuts off the content that is not read.
    pub(super) fn abandon(self) {
        if let Job::Read { piece, in_flight, .. } = self {
            piece.abandon();
            drop(in_flight);
        }
    }

    /// The request of a job that the queue had no room for.
    pub(crate) fn into_request(self) -> Option<Box<Request>> {
        match self {
            Job::Handle { request, .. } => Some(request),
            Job::Read { .. } => None,
        }
    }

    /// Sends the request back to its loop without an answer, unless the loop has withdrawn the request already.
    pub(super) fn give_back(self) {
        if let Job::Handle { request, reply: Reply { mailbox, connection, .. }, .. } = self
            && request.exchange.withdraw() == Withdrawal::Withdrawn
        {
            drop(mailbox.send(LoopMessage::Answered(connection, request)));
        }
    }
}

impl Reply {
    /// Sends the answer. If the loop has ended, nobody waits for one.
    pub(super) fn send(self, mut request: Box<Request>, response: Response) -> WaitGuard {
        let Reply { mailbox, connection, in_flight } = self;
        request.answer = Some(response);
        drop(mailbox.send(LoopMessage::Answered(connection, request)));
        in_flight
    }
}

/// Runs the handler of a route. A panic in the handler becomes a 500.
pub(crate) fn answer(config: &Config, router: &Router, route: RouteId, request: &Request) -> Response {
    let handler = &router.get_route(route).handler;
    let (connection, request_number) = request.exchange.id();
    config.observe(&Event::HandlerStarted { connection, request: request_number });
    let response = middleware::run(&**handler, request).unwrap_or_else(|panic| panic.answer(request));
    config.observe(&Event::HandlerFinished { connection, request: request_number });
    response
}

/// The first piece to read for a response whose content comes from a reader. A content that nobody wants is closed first, so
/// that its reader is only let go: the request or the status has no content, or nobody waits for the response any more.
pub(super) fn first_piece(response: &Response, exchange: &Exchange) -> Option<Piece> {
    let BodyKind::Stream(stream) = response.body().kind() else { return None };
    if !stream.is_read() {
        return None;
    }
    if exchange.is_abandoned() {
        stream.discard(Cause::ClientGone);
    } else if !has_content(&response.parts(), exchange.head.method()) || response.status().is_informational()
    {
        stream.discard(Cause::from("the client wants no content"));
    }
    stream.next_piece()
}
