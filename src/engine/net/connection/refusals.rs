//! Requests that the loop answers itself: what is the peer's fault, what there is no room for, and what took too long.
//! Hooks of the user's make these responses, so each is made in one place, [`Connection::refusal`].

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
    engine::{net::loop_context::LoopContext, pool},
    http::{Refusal, ResponseOptions, body_is_separate},
    isolation::{contain::catch, journal},
    stop::CloseReason,
};

/// Whether the answer may be remade by the builder's `on_refusal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Server,
    Route,
}

impl Connection {
    /// Answers what is the peer's fault; nothing that follows is read as a request.
    pub(super) fn refuse(&mut self, refusal: &Refusal, reason: CloseReason, loop_context: &mut LoopContext) {
        let activity = std::mem::replace(&mut self.activity, Activity::Receiving);
        let exchange = match &activity {
            Activity::Content { request, .. } => Some(&request.exchange),
            Activity::Handling { exchange, .. } => Some(exchange),
            _ => None,
        };
        let refused = RefusedRequest::new(
            RefusalKind::Client,
            refusal.into_response(),
            &self.peer,
            exchange.map(|exchange| &**exchange),
        );
        if let Activity::Handling { exchange, incoming: Some(pipe), .. } = &activity {
            // Its handler is still at it; its answer will find nobody waiting for it.
            let kind = match reason {
                CloseReason::RequestTimeout => io::ErrorKind::TimedOut,
                CloseReason::ClientGone => io::ErrorKind::ConnectionReset,
                _ => io::ErrorKind::InvalidData,
            };
            // In this order: when a handler sees its read fail, its context has ended.
            exchange.client_gone();
            pipe.fail(kind, refusal.reason());
            let has_begun = !exchange.claim();
            loop_context.tally.cancelled.add(u64::from(has_begun && exchange.cancel_once()));
        }
        let response = self.refusal(refused, Origin::Server, loop_context);
        let options = ResponseOptions { date: loop_context.date.at(loop_context.now), close: true };
        let separate = body_is_separate(&response.parts(), self.http.is_head_request());
        self.http.refuse_with(&response.parts(), options, &mut self.output.buffer);
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

    /// The response to a request for which there is no room, or no time any more.
    pub(super) fn overloaded(
        &self,
        kind: RefusalKind,
        exchange: &Exchange,
        loop_context: &LoopContext,
    ) -> Response {
        let refused = RefusedRequest::new(kind, pool::overloaded(), &self.peer, Some(exchange));
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
        let answer = loop_context.in_user_code(|_| {
            catch(|| limit.answer.make()).unwrap_or_else(|panic| {
                journal::error!("the answer to a request that took too long panicked: {panic}");
                Answer::Default.make()
            })
        });
        let refused = RefusedRequest::new(RefusalKind::TimeLimit, answer, &self.peer, Some(&exchange));
        // What the handler has asked to be called at the end of its context runs here.
        loop_context.in_user_code(|_| exchange.time_out());
        if let Some(pipe) = incoming {
            pipe.fail(io::ErrorKind::TimedOut, "the time for this request is over");
        }
        let has_begun = !exchange.claim();
        loop_context.tally.timed_out.add(1);
        loop_context.tally.cancelled.add(u64::from(has_begun && exchange.cancel_once()));
        let response = self.refusal(refused, origin, loop_context);
        self.answer(response, &exchange, probes, loop_context)
    }

    /// Has the response to a refused request made by those who have a say in it.
    fn refusal(&self, refused: RefusedRequest<'_>, origin: Origin, loop_context: &LoopContext) -> Response {
        let refused = if self.http.is_head_request() { refused.without_content() } else { refused };
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
