//! SIGINT stops the server as gracefully as the signal of the plan.

use rustix::process::Signal;

use super::{Check, Place, Severity, in_flight};
use crate::cli::check::{
    client::ANSWER,
    server::{Ended, process::Status},
    trial::{Finding, Judged, Trial, told},
    verdict::Level,
};

pub(crate) const CHECK: Check = Check {
    id: "sigint",
    title: "SIGINT (Ctrl-C) stops gracefully too",
    rule: "The interrupt character asks a program to end; a server ends as it does on SIGTERM.",
    source: "POSIX, termios, VINTR; convention",
    severity: Severity::Warning,
    place: Place::Process,
    users: "Developers lose requests, and what is stopped with SIGINT (uwsgi, foreman, docker stop --signal) as well.",
    why: "Only SIGTERM has a handler.",
    remedy: "signals",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let server = trial.start()?;
    let connections = match &trial.plan.routes.slow {
        Some(path) => in_flight::begin(trial, &server, path, 1)?,
        None => Vec::new(),
    };
    trial.in_flight(&connections)?;
    let asked = server.signal(Signal::INT)?;
    let (end, stories) = trial.finish(server, asked, move || {
        let mut stories = Vec::new();
        for mut connection in connections {
            let response = connection.response(ANSWER);
            stories.push(told(connection, &response));
        }
        stories
    })?;
    let finding = Finding::new(Level::Pass, end.how.to_string()).with(&end, asked, stories);
    let (level, seen) = match end.how {
        Ended::Killed => (Level::Fail, "SIGINT did not end the server".to_owned()),
        Ended::ByItself(Status::Signal(_)) => {
            (Level::Fail, "SIGINT ended the process without a stop".to_owned())
        }
        Ended::ByItself(status) if finding.tally.missing() > 0 => {
            (Level::Fail, format!("a request in flight was lost; {status}"))
        }
        Ended::ByItself(status) => {
            (Level::Pass, format!("ended after {:.2} s: {status}", end.took.as_secs_f64()))
        }
    };
    Ok(Finding { level, seen, ..finding })
}
