//! Requests that the loop answers in a handler's stead: the client broke the protocol, there is no room or no time for a
//! handler, or the handler took too long. The user's hooks have a say in these responses, so one function makes them all:
//! [`Connection::refusal`].

use std::{io, sync::Arc};

use super::{Activity, Connection, Flow, Persistence};
use crate::{
    app::{
        handler::Answer,
        into_response::IntoResponse,
        middleware::{RefusalKind, RefusedRequest},
        request::Exchange,
        response::Response,
    },
    engine::net::loop_context::LoopContext,
    http::{Refusal, ResponseOptions, StatusCode, body_is_separate},
    stop::CloseReason,
    sync::{Abandoned, Withdrawal},
};

/// The maker of a refusal's first answer. Only the server's own answer goes through the builder's `on_refusal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Server,
    Route,
}

/// Takes a request back from the workers. A handler that has begun runs on, and counts as cancelled from now on.
pub(super) fn withdraw(exchange: &Exchange, loop_context: &LoopContext) -> Withdrawal {
    let withdrawal = exchange.withdraw();
    if withdrawal == Withdrawal::Cancelled {
        loop_context.tally.cancelled.add(1);
    }
    withdrawal
}

impl Connection {
    /// Refuses a request that breaks the protocol, or did not come in time. Nothing that follows is read as a request.
    pub(super) fn refuse(&mut self, refusal: &Refusal, reason: CloseReason, loop_context: &mut LoopContext) {
        let activity = std::mem::replace(&mut self.activity, Activity::Receiving);
        let exchange = match &activity {
            Activity::Content { request, .. } => Some(&request.exchange),
            Activity::Handling { exchange, .. } => Some(exchange),
            _ => None,
        };
        let refused = RefusedRequest::new(
            RefusalKind::Client,
            (refusal.status(), refusal.reason()).into_response(),
            &self.peer,
            exchange.map(|exchange| &**exchange),
        );
        if let Activity::Handling { exchange, incoming: Some(pipe), .. } = &activity {
            // The handler runs on. Nobody will wait for its answer.
            let kind = match reason {
                CloseReason::RequestTimeout => io::ErrorKind::TimedOut,
                CloseReason::ClientGone => io::ErrorKind::ConnectionReset,
                _ => io::ErrorKind::InvalidData,
            };
            // The context ends first, so that a handler whose read fails finds its context ended.
            exchange.abandon(Abandoned::ClientGone);
            pipe.fail(kind, refusal.reason());
            withdraw(exchange, loop_context);
        }
        let response = self.refusal(refused, Origin::Server, loop_context);
        let options = ResponseOptions { date: loop_context.date.at(loop_context.now), close: true };
        let separate = body_is_separate(&response.parts(), self.http.method());
        self.http.refuse(&response.parts(), options, &mut self.output.buffer);
        self.tell_made(response.status(), loop_context);
        if separate {
            self.output.follow(response.into_body());
        }
        self.answered += 1;
        self.persistence = Persistence::CloseWhenSent(reason);
        self.since = loop_context.now;
        if let Activity::Content { request, .. } = activity {
            loop_context.recycle(request);
        }
    }

    /// Counts a request that no handler has seen as rejected, and makes the response to it.
    pub(super) fn reject(
        &self,
        kind: RefusalKind,
        exchange: &Exchange,
        loop_context: &LoopContext,
    ) -> Response {
        loop_context.tally.rejected.add(1);
        self.unavailable(kind, exchange, loop_context)
    }

    /// The response where there is no room, or no time any more (RFC 9110 section 15.6.4).
    pub(super) fn unavailable(
        &self,
        kind: RefusalKind,
        exchange: &Exchange,
        loop_context: &LoopContext,
    ) -> Response {
        let text = "too busy at the moment, try again in a second\n";
        let answer = (StatusCode::SERVICE_UNAVAILABLE, text).into_response().header("Retry-After", "1");
        let refused = RefusedRequest::new(kind, answer, &self.peer, Some(exchange));
        self.refusal(refused, Origin::Server, loop_context)
    }

    /// The time that the route gives its handler is over.
    pub(super) fn time_out(&mut self, loop_context: &mut LoopContext) -> Flow {
        let Activity::Handling { exchange, incoming, probes, due: Some((_, route)) } = &self.activity else {
            return Flow::Wait;
        };
        let (exchange, probes) = (Arc::clone(exchange), *probes);
        let Some(limit) = &loop_context.router.get_route(*route).limit else { return Flow::Wait };
        let origin = match &limit.answer {
            Answer::Default => Origin::Server,
            Answer::Own(_) => Origin::Route,
        };
        let refused =
            RefusedRequest::new(RefusalKind::TimeLimit, limit.answer.make(), &self.peer, Some(&exchange));
        // The end of the context runs the handler's callbacks on this thread.
        loop_context.in_user_code(|_| exchange.abandon(Abandoned::TimedOut));
        if let Some(pipe) = incoming {
            pipe.fail(io::ErrorKind::TimedOut, "the time for this request is over");
        }
        withdraw(&exchange, loop_context);
        loop_context.tally.timed_out.add(1);
        let response = self.refusal(refused, origin, loop_context);
        self.answer(response, &exchange, probes, loop_context)
    }

    /// Makes the response to a refused request: by the builder's `on_refusal` if it has a say, and by the route's wrappers.
    fn refusal(&self, refused: RefusedRequest<'_>, origin: Origin, loop_context: &LoopContext) -> Response {
        let refused = refused.answering(self.http.method());
        let hook = match origin {
            Origin::Server => loop_context.config.on_refusal.0.as_deref(),
            Origin::Route => None,
        };
        let wrappers = loop_context.router.wrappers(refused.route());
        if hook.is_none() && wrappers.is_empty() {
            return refused.into_response();
        }
        loop_context.in_user_code(|_| refused.respond(hook, wrappers))
    }
}
