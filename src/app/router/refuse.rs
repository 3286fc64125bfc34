//! The answers that a router gives without any handler.

use super::{PathTable, Reach, Router};
use crate::{
    app::{
        handler::{Content, Handler, IntoRoute, Place, Route},
        into_response::IntoResponse,
        request::Request,
        response::Response,
    },
    http::{Head, Method, StatusCode},
};

impl Router {
    /// The answer where there is no such path.
    pub(super) fn refuse_path(&self, head: &Head) -> Response {
        match (head.method(), head.path()) {
            // RFC 9110 section 9.3.7: the request is about the server as a whole.
            (Method::Options, "*") => Response::new(StatusCode::NO_CONTENT),
            _ if !self.recognises(head) => not_implemented(),
            _ => (StatusCode::NOT_FOUND, "no such path\n").into_response(),
        }
    }

    /// The answer where the path does not have the method.
    pub(super) fn refuse_method(&self, head: &Head, allow: &str) -> Response {
        match head.method() {
            Method::Options => Response::new(StatusCode::NO_CONTENT).header("Allow", allow),
            _ if !self.recognises(head) => not_implemented(),
            _ => (StatusCode::METHOD_NOT_ALLOWED, "this path does not have that method\n")
                .into_response()
                .header("Allow", allow),
        }
    }

    /// Whether the method has a meaning here: an RFC defines it, or a path of this router has it (RFC 9110
    /// section 15.6.2).
    fn recognises(&self, head: &Head) -> bool {
        match head.method() {
            Method::Connect => false,
            Method::Other => self.extensions.iter().any(|known| **known == *head.method_str()),
            _ => true,
        }
    }
}

fn not_implemented() -> Response {
    (StatusCode::NOT_IMPLEMENTED, "this server does not know that method\n").into_response()
}

/// The same answers as handlers, so that wrappers can stand around them.
enum Refuse {
    Path,
    Method { allow: String },
}

impl Handler for Refuse {
    fn handle(&self, request: &Request) -> Response {
        // The outermost router, so that a nested one refuses like it.
        let (router, head) = (&request.exchange.router, &request.exchange.head);
        match self {
            Refuse::Path => router.refuse_path(head),
            Refuse::Method { allow } => router.refuse_method(head, allow),
        }
    }
}

impl Router {
    /// Puts the wrappers around every route and every refusal, once all of them are known.
    pub(crate) fn finish(mut self) -> Router {
        if self.wrappers.is_empty() {
            return self;
        }
        let mut routes = self.tables.iter().flat_map(PathTable::routes).peekable();
        // A wrapper around a route of the pool may block, so then a loop must not run it.
        let is_inline = routes.peek().is_some() && routes.all(|route| route.place == Place::Inline);
        drop(routes);
        let place = if is_inline { Place::Inline } else { Place::Pool };
        let route = |refuse: Refuse| Route { place, content: Content::Unwanted, ..refuse.into_route() };
        for table in &mut self.tables {
            if table.any.is_none() && table.refused.is_none() {
                table.refused = Some(route(Refuse::Method { allow: table.allow() }));
            }
        }
        if self.fallback.is_none() {
            self.fallback = Some(self.tables.len());
            self.tables
                .push(PathTable { any: Some(route(Refuse::Path)), ..PathTable::new(Reach::Below, "") });
        }
        self.around_all = std::mem::take(&mut self.wrappers);
        for wrapper in &self.around_all {
            for table in &mut self.tables {
                table.wrap(wrapper);
            }
        }
        self
    }
}
