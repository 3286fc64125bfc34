//! A route that answers with the metrics of servers.

use super::ServerHandle;
use crate::{
    app::{handler::Handler, into_response::IntoResponse, request::Request, response::Response},
    metrics::{Metrics, exposition},
};

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers with the metrics of servers: see [`metrics_route`].
#[derive(Debug, Clone)]
pub struct MetricsRoute {
    further: Vec<ServerHandle>,
}

/// Answers with the metrics of the server that gets the request, and of [others](MetricsRoute::and), for Prometheus to
/// scrape. To read the metrics does not block, so the route may be [inline](crate::routing::Route::inline).
///
/// ```
/// use softstop::{Request, Router, Server, route, routing::{IntoRoute, metrics_route}};
///
/// let hello = Server::builder().name("hello").routes(Router::new().get("/", |_: &Request| "Hello!")).build();
/// let operator = Server::builder()
///     .name("operator")
///     .routes(Router::new().get("/metrics", metrics_route().and(hello.handle()).into_route().inline()))
///     .build();
/// # let _ = operator;
/// ```
#[must_use]
pub fn metrics_route() -> MetricsRoute {
    MetricsRoute { further: Vec::new() }
}

impl MetricsRoute {
    /// Adds the metrics of this server. A server that is named twice is listed once.
    pub fn and(mut self, server: ServerHandle) -> MetricsRoute {
        self.further.push(server);
        self
    }
}

impl Handler for MetricsRoute {
    fn handle(&self, request: &Request) -> Response {
        let mut servers = vec![request.server()];
        for handle in &self.further {
            if !servers.iter().any(|known| known.is_same(handle)) {
                servers.push(handle);
            }
        }
        let metrics: Vec<Metrics> = servers.into_iter().map(ServerHandle::metrics).collect();
        exposition(&metrics).into_response().content_type(CONTENT_TYPE)
    }
}
