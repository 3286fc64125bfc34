//! Clients that reset their connections in the middle of a response.

use std::time::Duration;

use super::{Check, Place, Severity, in_flight, large_response};
use crate::cli::check::{
    client::{ANSWER, Connection, get},
    server::{Server, process::Status},
    trial::{Finding, Judged, Trial, Unjudged, judge_requests, told},
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
    let in_flight = match clients_go(trial, &server) {
        Ok(in_flight) => in_flight,
        Err(unjudged) => {
            return server.ends_within(SETTLED).map_or(Err(unjudged), |exit| Ok(ended(exit.status)));
        }
    };
    let mut plain = trial.connect(&server).ok();
    if let Some(connection) = &mut plain {
        _ = connection.send(&get(server.address, &routes.plain, "Connection: close\r\n"));
    }
    let answer = plain.as_mut().map(|connection| connection.response(ANSWER));
    // A client that keeps its socket open may hold the stop, which is another check's matter.
    drop(plain);
    if let Some(exit) = server.has_ended() {
        return Ok(ended(exit.status));
    }
    if !matches!(answer, Some(Ok(_))) {
        return Ok(Finding::new(Level::Fail, "after some clients had gone, another one had no answer"));
    }
    trial.in_flight(&in_flight)?;
    let asked = server.ask()?;
    let (end, stories) = trial.finish(server, asked, move || {
        let mut stories = Vec::new();
        for mut connection in in_flight {
            let response = connection.response(ANSWER);
            stories.push(told(connection, &response));
        }
        stories
    })?;
    if stories.is_empty() {
        return Ok(Finding::new(Level::Pass, format!("{GONE} clients went; others were answered"))
            .with(&end, asked, stories));
    }
    Ok(judge_requests(&end, asked, stories, "requests beside clients that went"))
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
