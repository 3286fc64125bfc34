//! The answers that a router gives without any handler.

use super::{PathTable, Reach, Router};
use crate::{
    app::{
        handler::{Content, Handler, IntoRoute, Place, Route},
        into_response::IntoResponse,
        request::Request,
        response::Response,
    },
    http::{Method, StatusCode},
};

/// The answer where there is no such path.
pub(super) fn path(method: Method, path: &str) -> Response {
    match (method, path) {
        // RFC 9110 section 9.3.7: about the server as a whole.
        (Method::Options, "*") => Response::new(StatusCode::NO_CONTENT),
        (Method::Other | Method::Connect, _) => not_implemented(),
        _ => (StatusCode::NOT_FOUND, "no such path\n").into_response(),
    }
}

/// The answer where the path does not have the method.
pub(super) fn method(method: Method, allow: &str) -> Response {
    match method {
        Method::Other | Method::Connect => not_implemented(),
        Method::Options => Response::new(StatusCode::NO_CONTENT).header("Allow", allow),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "this path does not have that method\n")
            .into_response()
            .header("Allow", allow),
    }
}

fn not_implemented() -> Response {
    (StatusCode::NOT_IMPLEMENTED, "this server does not know that method\n").into_response()
}

/// The same answers as handlers, for wrappers to stand around.
enum Refuse {
    Path,
    Method { allow: String },
}

impl Handler for Refuse {
    fn handle(&self, request: &Request) -> Response {
        match self {
            Refuse::Path => path(request.method(), request.path()),
            Refuse::Method { allow } => method(request.method(), allow),
        }
    }
}

impl Router {
    /// Puts the wrappers around everything, now that everything is there.
    pub(crate) fn finish(mut self) -> Router {
        if self.wrappers.is_empty() {
            return self;
        }
        let mut routes = self.tables.iter().flat_map(PathTable::routes).peekable();
        // A wrapper that stands around routes of the pool may block.
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
