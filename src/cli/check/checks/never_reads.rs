//! A client that asks for a large response and never reads it.

use super::{Check, Place, Severity, large_response};
use crate::cli::check::{
    server::Ended,
    trial::{Finding, Judged, Trial},
    verdict::Level,
};

pub(crate) const CHECK: Check = Check {
    id: "never-reads",
    title: "A client that never reads does not hold the stop for ever",
    rule: "Sending a response has a time limit, and during a stop the stop has one.",
    source: "convention",
    severity: Severity::Error,
    place: Place::InFlight,
    users: "One broken client holds each deployment until the time-out.",
    why: "A write that blocks has no time limit.",
    remedy: "bound",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let path = trial.route(&trial.plan.routes.large, "large", "large response")?;
    let server = trial.start()?;
    let connection = large_response::begin(trial, &server, path)?;
    let asked = server.ask()?;
    let (end, ()) = trial.finish(server, asked, || ())?;
    let took = end.took.as_secs_f64();
    let (level, seen) = match end.how {
        Ended::Killed => (
            Level::Fail,
            format!("one such client held the stop for {took:.1} s, until the server was killed"),
        ),
        Ended::ByItself(_) => (Level::Pass, format!("the stop took {took:.1} s")),
    };
    Ok(Finding::new(level, seen).with(&end, asked, vec![connection.story]))
}
