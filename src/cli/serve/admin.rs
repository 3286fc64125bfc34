//! The admin server: an operator or an orchestrator cordons, drains and watches the program through it.
//!
//! | route | what it does |
//! | --- | --- |
//! | `POST /cordon` | `/readyz` of every server says no; all requests are served. |
//! | `POST /uncordon` | Takes that back. |
//! | `POST /drain` | Stops the program, as SIGTERM does. |
//! | `GET /status` | How far the program is, and what a stop waits for, as JSON. |
//! | `GET /metrics`, `/healthz`, `/readyz` | As on the other servers, for all of them. |
//!
//! The admin server is a server of its own with an address of its own, so that nobody who may send requests to the program may
//! also stop it. It stops after the others ([`Group::then`](softstop::Group::then)), so that their stop can be watched through it. After a handover it stops
//! at once, because the new process has an admin server at the same address.
//!
//! **Web pages.** A page of any origin may make its visitor's browser send a POST to `127.0.0.1`: the browser only keeps the
//! response from the page. So a request that names a page is refused. Browsers send `Origin` with every POST, whether it
//! crosses origins or not (<https://fetch.spec.whatwg.org/#origin-header>), and a page cannot leave it out. So this also
//! holds when the name of the page's own host has been made to resolve to `127.0.0.1` (DNS rebinding). Tools such as curl
//! send none of these fields. The routes that only tell something are not protected like this: they tell counts.

use std::{net::IpAddr, sync::Arc};

use serde::Serialize;

use softstop::{
    GroupHandle, Phase, Readiness, Request, Response, Router, Server, ServerHandle, StatusCode, StopPolicy,
    report::GroupProgress,
    route,
    routing::{IntoRoute, MetricsRoute, ReadinessRoute, Route, metrics_route, readiness_route},
};

use crate::cli::words::say;

/// The name of the server.
const NAME: &str = "admin";
/// Fields that browsers send, and of which a page cannot free its requests.
const FIELDS_OF_BROWSERS: [&str; 3] = ["Origin", "Sec-Fetch-Site", "Referer"];

/// What the admin server controls.
pub(crate) struct Controlled {
    pub(crate) servers: Vec<ServerHandle>,
    pub(crate) policy: StopPolicy,
    /// The status with which `/readyz` says no.
    pub(crate) not_ready: StatusCode,
}

/// The admin server of a group.
pub(crate) fn server(address: &str, group: GroupHandle, controlled: Controlled) -> Server {
    if is_reachable_from_elsewhere(address) {
        let words = format!(
            "admin: other machines may reach {address}, and can stop this program there: \
             listen on 127.0.0.1, or keep them out by other means"
        );
        say(move || log::warn!("{words}"));
    }
    let routes = routes(group, controlled);
    let builder = Server::builder().name(NAME).listen(address).routes(routes);
    // One request a connection: a stop need not wait for the next request of a client that watches. One loop and few workers,
    // because few ask.
    builder.max_requests_per_connection(1).loops(1).max_workers(4).build()
}

fn routes(group: GroupHandle, controlled: Controlled) -> Router {
    let Controlled { servers, policy, not_ready } = controlled;
    let ready = readiness_route().not_ready_status(not_ready);
    let ready = servers.iter().cloned().fold(ready, ReadinessRoute::and);
    let metrics = servers.iter().cloned().fold(metrics_route(), MetricsRoute::and);
    let program = Arc::new(Program { group, servers, policy });
    Router::new()
        .post("/cordon", action(&program, Program::cordon))
        .post("/uncordon", action(&program, Program::uncordon))
        .post("/drain", action(&program, Program::drain))
        // Not inline, because the loops of the servers are asked, and a worker can wait for their answers.
        .get("/status", route(move |_| program.status()))
        .get("/metrics", metrics.into_route().inline())
        .get("/readyz", ready.into_route().inline())
        .get("/healthz", route(|_| "ok\n").inline())
}

/// A route that changes something: it refuses requests that a web page has caused.
fn action(program: &Arc<Program>, act: fn(&Program) -> (StatusCode, &'static str)) -> Route {
    let program = Arc::clone(program);
    let checked = move |request: &Request| {
        let is_of_a_browser = request
            .headers()
            .any(|(name, _)| FIELDS_OF_BROWSERS.iter().any(|field| name.eq_ignore_ascii_case(field)));
        match is_of_a_browser {
            true => (StatusCode::FORBIDDEN, "not for web pages: use a tool such as curl\n"),
            false => act(&program),
        }
    };
    route(checked).inline()
}

/// The program as the admin server controls it.
struct Program {
    group: GroupHandle,
    servers: Vec<ServerHandle>,
    policy: StopPolicy,
}

/// How far the program is. The servers are those that have not ended.
#[derive(Serialize)]
struct Status {
    ready: bool,
    #[serde(flatten)]
    progress: GroupProgress,
}

impl Program {
    fn cordon(&self) -> (StatusCode, &'static str) {
        self.set_ready(Readiness::NotReady, "cordoned: /readyz says no, and requests are served\n")
    }

    fn uncordon(&self) -> (StatusCode, &'static str) {
        self.set_ready(Readiness::Ready, "uncordoned\n")
    }

    fn set_ready(&self, readiness: Readiness, done: &'static str) -> (StatusCode, &'static str) {
        if self.servers.iter().any(|server| server.phase() != Phase::Running) {
            return (StatusCode::CONFLICT, "stopping: /readyz says no until the end\n");
        }
        self.group.set_ready(readiness);
        (StatusCode::OK, done)
    }

    fn drain(&self) -> (StatusCode, &'static str) {
        self.group.request_stop(self.policy);
        (StatusCode::ACCEPTED, "draining: /status says how far\n")
    }

    fn status(&self) -> Response {
        let mut progress = self.group.progress();
        // The request that asks is no news.
        progress.servers.retain(|server| server.name != NAME);
        let status = Status { ready: self.servers.iter().all(ServerHandle::is_ready), progress };
        match serde_json::to_string_pretty(&status) {
            Ok(json) => Response::new(StatusCode::OK)
                .content_type("application/json")
                .header("Cache-Control", "no-store")
                .with_body(json + "\n"),
            Err(error) => Response::new(StatusCode::INTERNAL_SERVER_ERROR).with_body(error.to_string()),
        }
    }
}

// ---- the address ----------------------------------------------------------------------------------------------------

/// Whether other machines may reach a listener of this address. No name is resolved: a name other than `localhost` may mean
/// any address. Nothing is known about a listener that is inherited, so nothing is said about it.
fn is_reachable_from_elsewhere(address: &str) -> bool {
    let Some((host, _port)) = address.rsplit_once(':') else { return false };
    if host.eq_ignore_ascii_case("localhost") || ["unix", "fd"].contains(&host) || host.starts_with("unix:") {
        return false;
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse().map_or(true, |address: IpAddr| !address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_unix_sockets_stay_on_this_machine() {
        for address in [
            "127.0.0.1:9901",
            "127.8.0.1:1",
            "[::1]:9901",
            "localhost:0",
            "unix:/run/a.sock",
            "fd:admin",
            "systemd",
        ] {
            assert!(!is_reachable_from_elsewhere(address), "{address}");
        }
        for address in [
            ":9901",
            "0.0.0.0:9901",
            "[::]:9901",
            "10.0.0.7:9901",
            "example.org:9901",
            "localhost.example.org:1",
        ] {
            assert!(is_reachable_from_elsewhere(address), "{address}");
        }
    }
}
