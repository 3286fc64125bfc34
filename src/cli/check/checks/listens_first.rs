//! A server listens before it announces that it listens.

use super::{Check, Place, Severity};
use crate::cli::check::{
    server::Announced,
    trial::{Finding, Judged, Trial, Unjudged},
    verdict::Level,
};

/// An announcement that comes too early is a race, and some starts win the race.
const STARTS: usize = 3;

pub(crate) const CHECK: Check = Check {
    id: "listens-first",
    title: "The server listens before it says that it is ready",
    rule: "Readiness is announced once the service can be used, because its clients start at that moment.",
    source: "sd_notify(3), READY=1; convention",
    severity: Severity::Error,
    place: Place::Process,
    users: "The first clients after a start are refused.",
    why: "The line is printed, or READY=1 is sent, before the socket listens: often in another thread or callback.",
    remedy: "start",
    after: &["starts"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    if trial.plan.says.is_none() {
        return Err(Unjudged::Skip(
            "it is not known what the server prints: write it after --says".to_owned(),
        ));
    }
    for start in 1..=STARTS {
        let server = trial.start()?;
        if server.announced == Some(Announced::TooEarly) {
            let seen =
                format!("start {start} of {STARTS}: a connect right after the announcement was refused");
            return Ok(Finding::new(Level::Fail, seen));
        }
    }
    Ok(Finding::new(
        Level::Pass,
        format!("{STARTS} starts: a connect right after the announcement succeeded"),
    ))
}
