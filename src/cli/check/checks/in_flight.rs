//! Slow requests that are in flight at the signal.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Check, Place, Severity};
use crate::cli::check::{
    client::{ANSWER, Connection, get},
    server::Server,
    trial::{Judged, Trial, Unjudged, judge_requests, told},
};

/// The shortest time of a route that counts as slow.
const SLOW: Duration = Duration::from_millis(150);
/// The longest time of a slow route. The client has to be able to wait for the rest of the response.
const TOO_SLOW: Duration = Duration::from_secs(8);
const REQUESTS: usize = 4;

pub(crate) const CHECK: Check = Check {
    id: "in-flight",
    title: "Slow requests that are in flight at the signal finish",
    rule: "A graceful stop lets requests in flight finish, within its bound.",
    source: "RFC 9110 section 9.2.2 (a client cannot know whether it may repeat); convention",
    severity: Severity::Error,
    place: Place::InFlight,
    users: "Empty replies and 502 Bad Gateway for whatever takes long: reports, uploads, payments.",
    why: "The process ends without waiting for its handlers, or waits for less time than they take.",
    remedy: "in-flight",
    after: &["ends"],
    run,
};

/// Measures how long the slow route takes, before the stop.
pub(super) fn slow_takes(server: &Server<'_>, path: &str) -> Result<Duration, Unjudged> {
    let began = Instant::now();
    let status = crate::cli::check::client::once(server.address, path)
        .map_err(|error| Unjudged::Skip(format!("{path} has no answer: {error}")))?;
    let took = began.elapsed();
    let ms = took.as_millis();
    match took {
        _ if status >= 400 => Err(Unjudged::Skip(format!("{path} is answered {status}"))),
        _ if took < SLOW => Err(Unjudged::Skip(format!("{path} is not slow: it is answered after {ms} ms"))),
        _ if took > TOO_SLOW => Err(Unjudged::Skip(format!("{path} takes {ms} ms, which is too long"))),
        _ => Ok(took),
    }
}

/// Sends slow requests, and waits until they are in flight.
pub(super) fn begin(
    trial: &Trial<'_>,
    server: &Server<'_>,
    path: &str,
    count: usize,
) -> Result<Vec<Connection>, Unjudged> {
    let took = slow_takes(server, path)?;
    let request = get(server.address, path, "");
    let mut connections =
        (0..count).map(|_| trial.accepted(server)).collect::<Result<Vec<Connection>, Unjudged>>()?;
    for (client, connection) in connections.iter_mut().enumerate() {
        connection.story.client = client;
        let failed = |broken| Unjudged::Skip(format!("a request before the stop failed: {broken:?}"));
        connection.send(&request).map_err(failed)?;
    }
    trial.sleep(took.mul_f64(0.3).min(Duration::from_millis(300)))?;
    Ok(connections)
}

fn run(trial: &Trial<'_>) -> Judged {
    let path = trial.route(&trial.plan.routes.slow, "slow", "slow route")?;
    let server = trial.start()?;
    let connections = begin(trial, &server, path, REQUESTS)?;
    trial.in_flight(&connections)?;
    let asked = server.ask()?;
    let (end, stories) = trial.finish(server, asked, move || {
        thread::scope(|scope| {
            let wait = |mut connection: Connection| {
                let response = connection.response(ANSWER);
                told(connection, &response)
            };
            let clients: Vec<_> = connections.into_iter().map(|one| scope.spawn(move || wait(one))).collect();
            clients.into_iter().filter_map(|client| client.join().ok()).collect::<Vec<_>>()
        })
    })?;
    Ok(judge_requests(&end, asked, stories, "slow requests in flight"))
}
