//! The requests of a connection: from their head to the encoded response.

use std::sync::Arc;

use super::{Activity, Connection, Persistence, Plan, ReadSide};
use crate::{
    app::{
        handler::{Content, Place},
        into_response::IntoResponse,
        middleware::RefusalKind,
        request::{Exchange, Request},
        response::Response,
        router::{Found, RouteId},
    },
    body::{Body, pipe::Pipe},
    engine::{
        net::{event_loop::Message, pace::Pace, service::Service},
        pool::{self, Job, Reply},
    },
    http::{After, Framing, Respond, StatusCode, body_is_separate},
    isolation::journal,
    observe::Event,
    stop::{Cause, CloseReason},
};

impl Connection {
    pub(super) fn on_head(&mut self, service: &mut Service) {
        let mut request = service.take_request(self.peer, self.id(service), self.answered);
        let plan = match request.route(&service.router) {
            Found::Route(route) => {
                let content = service.router.get_route(route).content;
                if content == Content::Unwanted && request.exchange.head.expects_continue() {
                    return self.handle(request, route, false, service);
                }
                Plan::Handle(route)
            }
            Found::Answer(response) if request.exchange.head.expects_continue() => {
                // The client has been spared its content, so there is none to read past (RFC 9110 section 10.1.1).
                self.respond(response, &request.exchange, false, service);
                service.recycle(request);
                return;
            }
            Found::Answer(response) => Plan::Answer(Box::new(response)),
        };
        let limits = &service.config.limits;
        let (content, limit) = match &plan {
            Plan::Answer(_) => (Content::Buffered, limits.body_bytes),
            Plan::Handle(id) => {
                let route = service.router.get_route(*id);
                let default = match route.content {
                    Content::Buffered | Content::Unwanted => limits.body_bytes,
                    Content::Streamed => u64::MAX,
                };
                (route.content, route.body_limit.unwrap_or(default))
            }
        };
        let has_content = request.exchange.head.framing() != Framing::None;
        self.pace = Pace::new(service.now);
        if let Err(refusal) = self.http.read_body(limit) {
            self.activity = Activity::Content { request, plan };
            return self.refuse(&refusal, CloseReason::Refused, service);
        }
        match plan {
            Plan::Handle(route) if has_content && content == Content::Streamed => {
                self.submit_streamed(request, route, service);
            }
            plan => self.activity = Activity::Content { request, plan },
        }
    }

    /// Gives a request to a worker whose handler reads the content itself.
    fn submit_streamed(&mut self, mut request: Box<Request>, route: RouteId, service: &mut Service) {
        let (mailbox, token) = (service.mailbox.clone(), self.token);
        let resume = move || drop(mailbox.send(Message::ContentWanted(token)));
        // A client that waits for a go-ahead gets it when the handler asks for the first byte.
        let pipe = Arc::new(Pipe::new(self.http.wants_continue(), resume));
        request.pipe = Some(Arc::clone(&pipe));
        self.submit(request, route, Some(pipe), false, service);
    }

    /// The request is there, whole. `last`: nothing is buffered behind it.
    pub(super) fn on_complete(&mut self, last: bool, service: &mut Service) {
        if let Activity::Handling { incoming, .. } = &mut self.activity {
            if let Some(pipe) = incoming.take() {
                pipe.complete();
            }
            self.since = service.now;
            return;
        }
        let activity = std::mem::replace(&mut self.activity, Activity::Receiving);
        let Activity::Content { request, plan } = activity else { return };
        let route = match plan {
            Plan::Answer(response) => {
                self.respond(*response, &request.exchange, last, service);
                return service.recycle(request);
            }
            Plan::Handle(route) => route,
        };
        self.handle(request, route, last, service);
    }

    /// Runs the handler, or has it run.
    fn handle(&mut self, request: Box<Request>, route: RouteId, last: bool, service: &mut Service) {
        if service.router.get_route(route).place == Place::Inline {
            let response = service
                .in_user_code(|service| pool::answer(&service.config, &service.router, route, &request));
            self.respond(response, &request.exchange, last, service);
            return service.recycle(request);
        }
        self.submit(request, route, None, last, service);
    }

    fn submit(
        &mut self,
        request: Box<Request>,
        route: RouteId,
        incoming: Option<Arc<Pipe>>,
        last: bool,
        service: &mut Service,
    ) {
        if service.drain.cancels(request.exchange.on_stop) {
            // Nobody would begin with it, or it would be told to end at once.
            service.tally.rejected.add(1);
            let response = self.overloaded(RefusalKind::Stopping, &request.exchange, service);
            self.respond(response, &request.exchange, last, service);
            return service.recycle(request);
        }
        let exchange = Arc::clone(&request.exchange);
        let limit = service.router.get_route(route).limit.as_ref();
        let due = limit.and_then(|limit| Some((service.now.checked_add(limit.after)?, route)));
        // Before: a worker may be faster than what comes after.
        let (connection, number) = exchange.id();
        service.observe(&Event::HandlerQueued { connection, request: number });
        let reply = Reply {
            mailbox: service.mailbox.clone(),
            connection: self.token,
            in_flight: self.in_flight.clone(),
        };
        match service.dispatcher.submit(Job::Handle { request, route, reply }) {
            Ok(()) => {
                self.activity = Activity::Handling { exchange, probes: 0, incoming, due };
                self.since = service.now;
            }
            Err(job) => {
                service.tally.rejected.add(1);
                let response = self.overloaded(RefusalKind::Overloaded, &exchange, service);
                self.respond(response, &exchange, last, service);
                drop(exchange);
                if let Some(request) = job.into_request() {
                    service.recycle(request);
                }
            }
        }
    }

    pub(super) fn respond(
        &mut self,
        response: Response,
        exchange: &Arc<Exchange>,
        last: bool,
        service: &mut Service,
    ) {
        // While stopping, the last response says so; what has come in behind a request is still answered first.
        // (Asked anew, as an inline handler may have stopped its own server just now.)
        let stopping =
            service.run.is_stopping() && last && matches!(self.read, ReadSide::Waiting | ReadSide::Ended);
        let enough = service.config.requests_per_connection.is_some_and(|most| self.answered + 1 >= most);
        let close = stopping || enough;
        let response = self.checked(response, exchange, service);
        let separate = body_is_separate(&response.parts(), self.http.is_head_request());
        let transfer = self.http.transfer(&response.parts());
        self.tell_made(response.status(), service);
        let options = Respond { date: service.date.at(service.now), close };
        let after = self.http.respond(&response.parts(), options, &mut self.output.buffer);
        let then = match after {
            After::KeepAlive => Persistence::KeepAlive,
            After::Close if stopping => Persistence::CloseWhenSent(CloseReason::Drained),
            After::Close => Persistence::CloseWhenSent(CloseReason::Completed),
        };
        match (response.into_body(), transfer) {
            (Body::Stream(stream), Some(transfer)) => {
                return self.begin_stream(stream, transfer, then, exchange, service);
            }
            (Body::Stream(stream), None) => {
                service.let_go(&stream, Cause::from("the client wants no content"), exchange);
            }
            (Body::Upgrade(upgrade), _) => {
                self.activity = Activity::Upgrading { exchange: Arc::clone(exchange), upgrade };
            }
            (body, _) if separate => self.output.follow(body),
            _ => {}
        }
        self.answered(then, service);
    }

    /// Status 101 and a handler for what follows it belong together: one without the other would leave the two sides with
    /// two ideas of what is spoken on the connection (RFC 9110 section 7.8).
    fn checked(&self, response: Response, exchange: &Arc<Exchange>, service: &mut Service) -> Response {
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if switches == matches!(response.body(), Body::Upgrade(_)) {
            let has_room = !switches || service.dispatcher.may_spawn();
            return match has_room {
                true => response,
                false => self.overloaded(RefusalKind::Overloaded, exchange, service),
            };
        }
        journal::error!(
            "a response to {} switches protocols, but was taken apart on its way: 500",
            self.peer
        );
        service.let_go_of(response, exchange);
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }

    /// The response is in the output buffer, whole.
    pub(super) fn answered(&mut self, then: Persistence, service: &Service) {
        self.owed += 1;
        self.answered += 1;
        self.since = service.now;
        self.persistence = then;
    }

    pub(super) fn tell_made(&self, status: StatusCode, service: &Service) {
        service.tally.responded(status);
        let (connection, request) = (self.id(service), self.answered);
        service.observe(&Event::ResponseMade { connection, request, status });
    }
}
