//! Clients that reset their connections in the middle of a response.

use std::time::Duration;

use super::{Check, Place, Severity, in_flight, large_response};
use crate::cli::check::{
    client::{self, ANSWER, Connection, Outcome},
    server::{Server, process::Status},
    trial::{Finding, Judged, Trial, Unjudged, told},
    verdict::Level,
};

/// Clients that reset. The first write after a reset fails, and a later write raises SIGPIPE.
const GONE: usize = 4;
/// How long the end of the server's process may take, after a request has found it gone.
const SETTLED: Duration = Duration::from_secs(2);

pub(crate) const CHECK: Check = Check {
    id: "client-gone",
    title: "A client that goes harms nobody else",
    rule: "A write to a connection that the client has reset fails with EPIPE; SIGPIPE is ignored or blocked.",
    source: "POSIX, write(), EPIPE",
    severity: Severity::Error,
    place: Place::InFlight,
    users: "One impatient user ends the requests of all others.",
    why: "SIGPIPE has its default action, or an error of one connection ends the process.",
    remedy: "client-gone",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let routes = &trial.plan.routes;
    if routes.large.is_none() && routes.slow.is_none() {
        return Err(Unjudged::Skip(
            "no slow route and no large response is known: name one with --slow or --large".to_owned(),
        ));
    }
    let mut server = trial.start()?;
    let beside = match clients_go(trial, &server) {
        Ok(beside) => beside,
        Err(unjudged) => {
            return server.ends_within(SETTLED).map_or(Err(unjudged), |exit| Ok(ended(exit.status)));
        }
    };
    // These requests are answered before the stop, because another check judges requests in flight at a stop.
    let mut stories = Vec::new();
    for mut connection in beside {
        let response = connection.response(ANSWER);
        stories.push(told(connection, &response));
    }
    let answer = client::once(server.address, &routes.plain);
    if let Some(exit) = server.has_ended() {
        return Ok(ended(exit.status));
    }
    let count = stories.len();
    let lost = stories.iter().filter(|story| !matches!(story.outcome, Some(Outcome::Answered(_)))).count();
    let asked = server.ask()?;
    let (end, ()) = trial.finish(server, asked, || ())?;
    let (level, seen) = match (answer, lost, count) {
        (Err(error), ..) => {
            (Level::Fail, format!("after some clients had gone, another one had no answer: {error}"))
        }
        (Ok(_), 1.., _) => {
            (Level::Fail, format!("{lost} of {count} requests beside clients that went were lost"))
        }
        (Ok(_), 0, 0) => (Level::Pass, "clients went; another one was answered".to_owned()),
        (Ok(_), 0, _) => (Level::Pass, format!("clients went; {count} requests beside them were answered")),
    };
    Ok(Finding::new(level, seen).with(&end, asked, stories))
}

/// Resets connections in the middle of their responses, and returns the connections that are still in flight.
fn clients_go(trial: &Trial<'_>, server: &Server<'_>) -> Result<Vec<Connection>, Unjudged> {
    let routes = &trial.plan.routes;
    if let Some(path) = &routes.large {
        large_response::measure(trial, server, path)?;
        for _ in 0..GONE {
            large_response::begin(trial, server, path)?.reset();
        }
    }
    let Some(path) = &routes.slow else { return Ok(Vec::new()) };
    in_flight::begin(trial, server, path, GONE)?.into_iter().for_each(Connection::reset);
    let mut left = in_flight::begin(trial, server, path, GONE)?;
    // Half of the connections are reset. The server has to answer the others.
    left.split_off(GONE / 2).into_iter().for_each(Connection::reset);
    Ok(left)
}

fn ended(status: Status) -> Finding {
    Finding::new(Level::Fail, format!("clients that went ended the server: {status}"))
}
