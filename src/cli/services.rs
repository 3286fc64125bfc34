//! The three servers of the program.

use std::time::Duration;

use softstop::{
    GroupHandle, IntoResponse, Request, Response, Router, StatusCode, StopPolicy, route,
    routing::{IntoRoute, metrics_route, readiness_route},
};

/// The longest sleep of `/sleep`.
const LONGEST_SLEEP_MS: u64 = 60_000;

/// Greets the world. With `exit`, `POST /exit` stops the whole group.
pub(crate) fn hello(not_ready: StatusCode, exit: Option<(GroupHandle, StopPolicy)>) -> Router {
    let router = health(not_ready).get("/", route(|_| "Hello, world!").inline()).get("/sleep", sleep);
    match exit {
        None => router,
        Some((group, policy)) => router.post("/exit", move |_: &Request| {
            group.request_stop(policy);
            "closing everything\n"
        }),
    }
}

/// Greets the name in the query.
pub(crate) fn name(not_ready: StatusCode) -> Router {
    let greet =
        |request: &Request| format!("Hello, {}!", request.query("name").unwrap_or_default()).into_response();
    health(not_ready).get("/", route(greet).inline())
}

/// Sends the content of a request back.
pub(crate) fn echo(not_ready: StatusCode) -> Router {
    let echo = |request: &Request| {
        let mut response = Response::new(StatusCode::OK).with_body(request.body().to_vec());
        if let Some(kind) = request.header("Content-Type") {
            // A client may send values that a server may not send. The response then goes without the field.
            _ = response.try_header("Content-Type", kind);
        }
        response
    };
    health(not_ready).any("/", echo)
}

/// The routes of every server: `/healthz` for liveness, `/readyz` for readiness, and `/metrics`. `not_ready` is the status with
/// which `/readyz` says no.
fn health(not_ready: StatusCode) -> Router {
    let router = Router::new().get("/healthz", route(|_| "ok\n").inline());
    router
        .get("/metrics", metrics_route().into_route().inline())
        .get("/readyz", readiness_route().not_ready_status(not_ready).into_route().inline())
}

fn sleep(request: &Request) -> (StatusCode, String) {
    let wanted = request.query("ms").and_then(|ms| ms.parse().ok()).filter(|ms| *ms <= LONGEST_SLEEP_MS);
    let Some(ms) = wanted else {
        let advice = format!("say how long, in milliseconds, at most {LONGEST_SLEEP_MS}: /sleep?ms=250\n");
        return (StatusCode::BAD_REQUEST, advice);
    };
    match request.context().sleep(Duration::from_millis(ms)) {
        Ok(()) => (StatusCode::OK, "slept".to_owned()),
        Err(cause) => (StatusCode::SERVICE_UNAVAILABLE, format!("woken early: {cause}\n")),
    }
}
