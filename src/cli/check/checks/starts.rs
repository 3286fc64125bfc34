//! A server starts within a bound, and answers.

use super::{Check, Place, Severity};
use crate::cli::check::{
    client,
    trial::{Finding, Judged, Trial, Unjudged},
    verdict::Level,
};

pub(crate) const CHECK: Check = Check {
    id: "starts",
    title: "The server starts in time, and answers",
    rule: "A supervisor waits for a bounded time until a service is ready, and gives it up after that.",
    source: "systemd.service(5), TimeoutStartSec=; Kubernetes, startup probes",
    severity: Severity::Error,
    place: Place::Process,
    users: "The service is down; a supervisor restarts it again and again.",
    why: "The server fails at its start, listens elsewhere than was said, or takes too long.",
    remedy: "start",
    after: &[],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let server = match trial.start() {
        Ok(server) => server,
        Err(Unjudged::NotStarted(error)) => return Ok(Finding::new(Level::Fail, error.to_string())),
        Err(unjudged) => return Err(unjudged),
    };
    let path = &trial.plan.routes.plain;
    let after = server.ready_after.as_secs_f64();
    let (level, seen) = match client::once(server.address, path) {
        Ok(status @ 500..) => {
            (Level::Fail, format!("ready after {after:.2} s, but GET {path} is answered {status}"))
        }
        Ok(status) => (Level::Pass, format!("ready after {after:.2} s; GET {path} is answered {status}")),
        Err(error) => {
            (Level::Fail, format!("ready after {after:.2} s, but GET {path} has no answer: {error}"))
        }
    };
    Ok(Finding::new(level, seen))
}
