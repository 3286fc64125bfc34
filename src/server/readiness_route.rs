//! A route that tells load balancers and orchestrators whether to send requests.

use super::ServerHandle;
use crate::{
    app::{handler::Handler, into_response::IntoResponse, request::Request, response::Response},
    http::StatusCode,
    stop::Phase,
};

/// Answers whether servers are ready: see [`readiness_route`].
#[derive(Debug, Clone)]
pub struct ReadinessRoute {
    further: Vec<ServerHandle>,
    not_ready_status: StatusCode,
}

/// Answers a readiness check: 200 if the server that gets the request [is ready](ServerHandle::is_ready), and
/// [others](ReadinessRoute::and) are, too. Otherwise 503, or the status of
/// [`not_ready_status`](ReadinessRoute::not_ready_status). The content is one word that says why, for people.
///
/// - No cache may store the response (`Cache-Control: no-store`).
/// - To find the answer does not block, so the route may be [inline](crate::routing::Route::inline). An inline route is
///   answered even while all workers are busy. A busy server is not broken, and to take it out of the balancer would make
///   the others busier.
///
/// A readiness check is no liveness check: a stopping server is not ready, and must not be killed for that. For liveness
/// use a route that always answers 200.
///
/// ```
/// use softstop::{Readiness, Router, Server, routing::{IntoRoute, readiness_route}};
///
/// let ready = readiness_route().into_route().inline();
/// let server = Server::builder().listen("127.0.0.1:0").routes(Router::new().get("/readyz", ready)).build();
/// server.start()?;
/// assert!(server.handle().is_ready());
/// server.handle().set_ready(Readiness::NotReady); // from now on, /readyz answers 503
/// assert!(!server.handle().is_ready());
/// # Ok::<(), softstop::Error>(())
/// ```
#[must_use]
pub fn readiness_route() -> ReadinessRoute {
    ReadinessRoute { further: Vec::new(), not_ready_status: StatusCode::SERVICE_UNAVAILABLE }
}

impl ReadinessRoute {
    /// Asks this server, too. The answer is yes only if all servers are ready.
    pub fn and(mut self, server: ServerHandle) -> ReadinessRoute {
        self.further.push(server);
        self
    }

    /// The status of the answer no. Default 503.
    ///
    /// Every balancer takes both 503 and 404 for a no. Some give 404 a meaning of its own: HAProxy with
    /// `http-check disable-on-404` then sends no new sessions, but still the ones that belong to this server.
    ///
    /// # Panics
    ///
    /// If the status is no error (4xx, 5xx), because balancers would take the answer for a yes.
    #[track_caller]
    pub fn not_ready_status(mut self, status: StatusCode) -> ReadinessRoute {
        let is_error = (400..600).contains(&status.as_u16());
        assert!(is_error, "{status} is no error, so balancers would take it for a yes: use 503 or 404");
        self.not_ready_status = status;
        self
    }
}

impl Handler for ReadinessRoute {
    fn handle(&self, request: &Request) -> Response {
        let mut servers = std::iter::once(request.server()).chain(&self.further);
        let answer = match servers.find_map(ServerHandle::why_not_ready) {
            None => (StatusCode::OK, "ready\n"),
            Some(why) => (self.not_ready_status, why),
        };
        answer.into_response().header("Cache-Control", "no-store")
    }
}

impl ServerHandle {
    /// The reason why the server is not ready, as a line. None if it is ready.
    fn why_not_ready(&self) -> Option<&'static str> {
        if self.is_ready() {
            return None;
        }
        match (self.phase(), self.readiness()) {
            (Phase::Running, _) => Some("cordoned\n"),
            (Phase::Stopped, _) => Some("stopped\n"),
            _ => Some("stopping\n"),
        }
    }
}
