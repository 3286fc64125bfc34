//! The requests of a connection, from the head to the encoded response.

use std::sync::Arc;

use super::{Activity, Behind, Connection, Persistence, Plan, ReadSide};
use crate::{
    app::{
        handler::{Content, Place},
        into_response::IntoResponse,
        middleware::RefusalKind,
        request::{Exchange, Request},
        response::Response,
        router::{Found, RouteId},
    },
    body::{BodyKind, pipe::Pipe},
    engine::{
        net::{event_loop::LoopMessage, loop_context::LoopContext, throughput::Throughput},
        pool::{self, Job, Reply},
    },
    http::{AfterResponse, Framing, ResponseOptions, StatusCode, body_is_separate},
    isolation::journal,
    observe::Event,
    stop::{Cause, CloseReason},
};

impl Connection {
    /// A head has been parsed. Its route decides how the content is read.
    pub(super) fn on_head(&mut self, loop_context: &mut LoopContext) {
        let mut request = loop_context.take_request(&self.peer, self.id(loop_context), self.answered);
        let plan = match request.route(&loop_context.router) {
            Found::Route(route) => {
                let content = loop_context.router.get_route(route).content;
                if content == Content::Unwanted && request.exchange.head.expects_continue() {
                    return self.handle(request, route, Behind::More, loop_context);
                }
                Plan::Handle(route)
            }
            Found::Answer(response) if request.exchange.head.expects_continue() => {
                // The client does not send its content after a final status (RFC 9110 section 10.1.1). So there is none to skip.
                self.respond(response, &request.exchange, Behind::More, loop_context);
                loop_context.recycle(request);
                return;
            }
            Found::Answer(response) => Plan::Answer(Box::new(response)),
        };
        let (content, limit) = content_of(&plan, loop_context);
        let has_content = request.exchange.head.framing() != Framing::None;
        self.throughput = Throughput::new(loop_context.now);
        if let Err(refusal) = self.http.read_body(limit) {
            self.activity = Activity::Content { request, plan };
            return self.refuse(&refusal, CloseReason::Refused, loop_context);
        }
        match plan {
            Plan::Handle(route) if has_content && content == Content::Streamed => {
                self.submit_streamed(request, route, loop_context);
            }
            plan => self.activity = Activity::Content { request, plan },
        }
    }

    /// Submits a request whose handler reads the content itself.
    fn submit_streamed(&mut self, mut request: Box<Request>, route: RouteId, loop_context: &mut LoopContext) {
        let (mailbox, token) = (loop_context.mailbox.clone(), self.token);
        let resume = move || drop(mailbox.send(LoopMessage::ContentWanted(token)));
        // A client that waits for 100 (Continue) gets it when the handler asks for the first byte.
        let pipe = Arc::new(Pipe::new(self.http.wants_continue(), resume));
        request.pipe = Some(Arc::clone(&pipe));
        self.submit(request, route, Some(pipe), Behind::More, loop_context);
    }

    /// The whole request is there.
    pub(super) fn on_complete(&mut self, behind: Behind, loop_context: &mut LoopContext) {
        if let Activity::Handling { incoming, .. } = &mut self.activity {
            if let Some(pipe) = incoming.take() {
                pipe.complete();
            }
            self.since = loop_context.now;
            return;
        }
        let activity = std::mem::replace(&mut self.activity, Activity::Receiving);
        let Activity::Content { request, plan } = activity else { return };
        let route = match plan {
            Plan::Answer(response) => {
                self.respond(*response, &request.exchange, behind, loop_context);
                return loop_context.recycle(request);
            }
            Plan::Handle(route) => route,
        };
        self.handle(request, route, behind, loop_context);
    }

    /// Runs an inline handler, or submits the request to the pool.
    fn handle(
        &mut self,
        request: Box<Request>,
        route: RouteId,
        behind: Behind,
        loop_context: &mut LoopContext,
    ) {
        if loop_context.router.get_route(route).place == Place::Inline {
            let response = loop_context.in_user_code(|loop_context| {
                pool::answer(&loop_context.config, &loop_context.router, route, &request)
            });
            self.respond(response, &request.exchange, behind, loop_context);
            return loop_context.recycle(request);
        }
        self.submit(request, route, None, behind, loop_context);
    }

    /// Submits a request to the pool, unless the stop or a full queue is in the way.
    fn submit(
        &mut self,
        request: Box<Request>,
        route: RouteId,
        incoming: Option<Arc<Pipe>>,
        behind: Behind,
        loop_context: &mut LoopContext,
    ) {
        if loop_context.drain.cancels(request.exchange.on_stop) {
            // No worker would begin with the request, or the handler's context would end at once.
            let response = self.reject(RefusalKind::Stopping, &request.exchange, loop_context);
            self.respond(response, &request.exchange, behind, loop_context);
            return loop_context.recycle(request);
        }
        let exchange = Arc::clone(&request.exchange);
        let limit = loop_context.router.get_route(route).limit.as_ref();
        let due = limit.and_then(|limit| Some((loop_context.now.checked_add(limit.after)?, route)));
        // Emit the event before submitting: a worker may start at once, and observers must see `HandlerQueued` first.
        let (connection, number) = exchange.id();
        loop_context.observe(&Event::HandlerQueued { connection, request: number });
        let reply = Reply {
            mailbox: loop_context.mailbox.clone(),
            connection: self.token,
            in_flight: self.in_flight.clone(),
        };
        match loop_context.dispatcher.submit(Job::Handle { request, route, reply }) {
            Ok(()) => {
                self.activity = Activity::Handling { exchange, probes: 0, incoming, due };
                self.since = loop_context.now;
            }
            Err(job) => {
                let response = self.reject(RefusalKind::Overloaded, &exchange, loop_context);
                self.respond(response, &exchange, behind, loop_context);
                drop(exchange);
                if let Some(request) = job.into_request() {
                    loop_context.recycle(request);
                }
            }
        }
    }

    /// Encodes a response, or its head, into the output buffer.
    pub(super) fn respond(
        &mut self,
        response: Response,
        exchange: &Arc<Exchange>,
        behind: Behind,
        loop_context: &mut LoopContext,
    ) {
        // During a stop, the last response says `Connection: close`. Requests that have come behind this one are answered first.
        // (The run is asked here, because an inline handler may have stopped its own server just now.)
        // The last response of a connection that is old enough is found in the same way.
        let nothing_behind =
            behind == Behind::Nothing && matches!(self.read, ReadSide::Waiting | ReadSide::Ended);
        let stopping = nothing_behind && loop_context.run.is_stopping();
        let aged = nothing_behind && self.has_aged(loop_context);
        let enough =
            loop_context.config.max_requests_per_connection.is_some_and(|most| self.answered + 1 >= most);
        let close = stopping || aged || enough;
        let response = self.checked(response, exchange, loop_context);
        let separate = body_is_separate(&response.parts(), self.http.method());
        let transfer = self.http.transfer(&response.parts());
        self.tell_made(response.status(), loop_context);
        let options = ResponseOptions { date: loop_context.date.at(loop_context.now), close };
        let after = self.http.respond(&response.parts(), options, &mut self.output.buffer);
        let then = match after {
            AfterResponse::KeepAlive => Persistence::KeepAlive,
            AfterResponse::Close if stopping => Persistence::CloseWhenSent(CloseReason::Drained),
            AfterResponse::Close if aged => Persistence::CloseWhenSent(CloseReason::MaxAge),
            AfterResponse::Close => Persistence::CloseWhenSent(CloseReason::Completed),
        };
        match (response.into_body().into_kind(), transfer) {
            (BodyKind::Stream(stream), Some(transfer)) => {
                return self.begin_stream(stream, transfer, then, exchange, loop_context);
            }
            (BodyKind::Stream(stream), None) => {
                loop_context.let_go(&stream, Cause::from("the client wants no content"), exchange);
            }
            (BodyKind::Upgrade(upgrade), _) => {
                self.activity = Activity::Upgrading { exchange: Arc::clone(exchange), upgrade };
            }
            (content, _) if separate => self.output.follow(content.into()),
            _ => {}
        }
        self.answered(then, loop_context);
    }

    /// The response itself, unless it must not be sent. Status 101 and a handler for the new protocol belong together: with
    /// only one of them, client and server would speak different protocols (RFC 9110 section 7.8). And a handler needs a thread.
    fn checked(
        &self,
        response: Response,
        exchange: &Arc<Exchange>,
        loop_context: &mut LoopContext,
    ) -> Response {
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if switches == matches!(response.body().kind(), BodyKind::Upgrade(_)) {
            let has_room = !switches || loop_context.run.may_upgrade();
            return match has_room {
                true => response,
                false => self.unavailable(RefusalKind::Overloaded, exchange, loop_context),
            };
        }
        journal::error!(
            "a response to {} switches protocols, but was taken apart on its way: 500",
            self.peer
        );
        loop_context.let_go_of(response, exchange);
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }

    /// The whole response is in the output buffer.
    pub(super) fn answered(&mut self, then: Persistence, loop_context: &LoopContext) {
        self.owed += 1;
        self.answered += 1;
        self.since = loop_context.now;
        self.persistence = then;
    }

    pub(super) fn tell_made(&self, status: StatusCode, loop_context: &LoopContext) {
        loop_context.tally.responded(status);
        let (connection, request) = (self.id(loop_context), self.answered);
        loop_context.observe(&Event::ResponseMade { connection, request, status });
    }
}

/// How a request's content is read, and how long it may be.
fn content_of(plan: &Plan, loop_context: &LoopContext) -> (Content, u64) {
    let default = loop_context.config.limits.body_bytes;
    match plan {
        Plan::Answer(_) => (Content::Buffered, default),
        Plan::Handle(route) => {
            let route = loop_context.router.get_route(*route);
            let default = match route.content {
                Content::Buffered | Content::Unwanted => default,
                Content::Streamed => u64::MAX,
            };
            (route.content, route.body_limit.unwrap_or(default))
        }
    }
}
