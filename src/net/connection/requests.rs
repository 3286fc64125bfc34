//! The requests of a connection: from their head to the encoded response.

use std::sync::Arc;

use super::{Activity, Connection, Persistence, Plan, ReadSide};
use crate::{
    handler::Place,
    http::{After, Refusal, Respond, Response, body_is_separate},
    net::service::Service,
    pool::{self, Job, Reply},
    router::Found,
    stop::CloseReason,
};

impl Connection {
    pub(super) fn on_head(&mut self, service: &mut Service) {
        let mut request = service.take_request(self.peer);
        let plan = match request.route(&service.router) {
            Found::Route(route) => Plan::Handle(route),
            Found::Answer(response) if request.exchange.head.expects_continue() => {
                // The client has been spared its content, so there is none to read past (RFC 9110 section 10.1.1).
                self.respond(response, false, service);
                service.recycle(request);
                return;
            }
            Found::Answer(response) => Plan::Answer(Box::new(response)),
        };
        self.activity = Activity::Content { request, plan };
        if let Err(refusal) = self.http.read_body(service.config.limits.body_bytes) {
            self.refuse(&refusal, CloseReason::Refused, service);
        }
    }

    /// The request is there, whole. `last`: nothing is buffered behind it.
    pub(super) fn on_complete(&mut self, last: bool, service: &mut Service) {
        let activity = std::mem::replace(&mut self.activity, Activity::Receiving);
        let Activity::Content { request, plan } = activity else { return };
        let route = match plan {
            Plan::Answer(response) => {
                self.respond(*response, last, service);
                return service.recycle(request);
            }
            Plan::Handle(route) => route,
        };
        if service.router.place(route) == Place::Inline {
            let response = pool::answer(&service.router, route, &request);
            self.respond(response, last, service);
            return service.recycle(request);
        }
        let exchange = Arc::clone(&request.exchange);
        let reply = Reply {
            mailbox: service.mailbox.clone(),
            connection: self.token,
            in_flight: self.in_flight.clone(),
        };
        match service.dispatcher.submit(Box::new(Job { request, route, reply }), service.now) {
            Ok(()) => {
                self.activity = Activity::Handling { exchange, probes: 0 };
                self.since = service.now;
            }
            Err(job) => {
                service.tally.requests.rejected += 1;
                self.respond(pool::overloaded(), last, service);
                service.recycle(job.request);
            }
        }
    }

    pub(super) fn respond(&mut self, response: Response, last: bool, service: &mut Service) {
        // While stopping, the last response says so; what has come in behind a request is still answered first.
        let close = service.timeline.is_some() && last && !matches!(self.read, ReadSide::Ready);
        let separate = body_is_separate(&response, self.http.is_head_request());
        let options = Respond { date: service.date.at(service.now), close };
        let after = self.http.respond(&response, options, &mut self.output.buffer);
        if separate {
            self.output.follow(response.into_body());
        }
        self.owed += 1;
        self.answered = true;
        self.since = service.now;
        if let After::Close = after {
            let reason = if close { CloseReason::Drained } else { CloseReason::Completed };
            self.persistence = Persistence::CloseWhenSent(reason);
        }
    }

    /// Answers what is the peer's fault; nothing that follows is read as a request.
    pub(super) fn refuse(&mut self, refusal: &Refusal, reason: CloseReason, service: &mut Service) {
        let options = Respond { date: service.date.at(service.now), close: true };
        self.http.refuse(refusal, options, &mut self.output.buffer);
        self.activity = Activity::Receiving;
        self.persistence = Persistence::CloseWhenSent(reason);
        self.since = service.now;
    }
}
