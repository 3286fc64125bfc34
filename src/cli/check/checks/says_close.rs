//! The last response on a connection says that it is the last.

use std::time::{Duration, Instant};

use super::{Check, Place, Severity, in_flight::begin};
use crate::cli::check::{
    client::{ANSWER, Look, Outcome, Story, get},
    trial::{Finding, Judged, Trial},
    verdict::Level,
};

/// The pause between a response and the next request on the connection. The pause is long enough for a close to arrive.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) const CHECK: Check = Check {
    id: "says-close",
    title: "The last response says Connection: close",
    rule: "A server sends the close option in the last response before it closes the connection.",
    source: "RFC 9112 section 9.6",
    severity: Severity::Error,
    place: Place::InFlight,
    users: "The next request on the connection meets the close: resets in clients and proxies with a pool.",
    why: "The response is written as ever, and the connection is closed behind it.",
    remedy: "says-close",
    after: &["ends", "in-flight"],
    run,
};

/// The end of a connection.
enum Last {
    SaidClose,
    SaidNothing,
    Lost,
}

fn run(trial: &Trial<'_>) -> Judged {
    let path = trial.route(&trial.plan.routes.slow, "slow", "slow route")?;
    let server = trial.start()?;
    let Some(mut connection) = begin(trial, &server, path, 1)?.pop() else {
        unreachable!("one was asked for")
    };
    let request = get(server.address, &trial.plan.routes.plain, "");
    trial.in_flight(std::slice::from_ref(&connection))?;
    let asked = server.ask()?;
    let (context, patience) = (trial.context.clone(), trial.plan.patience);
    let (end, (last, story)): (_, (Last, Story)) = trial.finish(server, asked, move || {
        let until = Instant::now() + patience;
        loop {
            let response = connection.response(ANSWER);
            let outcome = Outcome::of(&response);
            match response {
                Ok(ended) if !ended.keeps_alive => {
                    return (Last::SaidClose, connection.story.end(outcome));
                }
                Ok(_) => {}
                Err(_) => return (Last::Lost, connection.story.end(outcome)),
            }
            // A server that goes on serving the connection for a while has not sent its last response yet.
            if context.sleep(PAUSE).is_err() || Instant::now() > until || connection.look() == Look::Closed {
                return (Last::SaidNothing, connection.story.end(outcome));
            }
            connection.next_story();
            if let Err(outcome) = connection.write(&request) {
                return (Last::SaidNothing, connection.story.end(outcome));
            }
        }
    })?;
    let (level, seen) = match last {
        Last::SaidClose => (Level::Pass, "the last response said Connection: close"),
        Last::SaidNothing => (Level::Fail, "the connection was closed behind a response that did not say so"),
        Last::Lost => (Level::Fail, "a response was not whole, so nothing was said"),
    };
    Ok(Finding::new(level, seen).with(&end, asked, vec![story]))
}
