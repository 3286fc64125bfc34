//! SIGHUP neither kills nor cuts.

use std::time::Duration;

use rustix::process::Signal;

use super::{Check, Place, Severity};
use crate::cli::check::{
    client,
    server::process::Status,
    trial::{Finding, Judged, Trial},
    verdict::Level,
};

/// How long a server may take to react.
const REACTION: Duration = Duration::from_millis(700);

pub(crate) const CHECK: Check = Check {
    id: "sighup",
    title: "SIGHUP reloads, stops gracefully or is ignored",
    rule: "SIGHUP means that the terminal is gone, or asks a daemon to read its configuration again.",
    source: "POSIX, SIGHUP; convention of daemons",
    severity: Severity::Warning,
    place: Place::Process,
    users: "A closed terminal, or a reload by habit, kills the service.",
    why: "The signal has no handler, and its default is to end the process.",
    remedy: "signals",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let mut server = trial.start()?;
    server.signal(Signal::HUP)?;
    trial.sleep(REACTION)?;
    let (level, seen) = match server.has_ended().map(|exit| exit.status) {
        Some(Status::Signal(_)) => (Level::Fail, "SIGHUP ended the process without a stop".to_owned()),
        Some(Status::Code(0)) => (Level::Pass, "SIGHUP stopped the server with exit status 0".to_owned()),
        Some(status) => (Level::Warn, format!("SIGHUP: {status}")),
        None => match client::once(server.address, &trial.plan.routes.plain) {
            Ok(_) => (Level::Pass, "the server goes on serving".to_owned()),
            // The server is stopping, or being replaced.
            Err(_) => (Level::Pass, "the server is stopping".to_owned()),
        },
    };
    Ok(Finding::new(level, seen))
}
