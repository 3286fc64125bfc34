//! The readiness route says no before the listener closes.

use std::time::Duration;

use super::{Check, Place, Severity};
use crate::cli::check::{
    client::{ANSWER, Connection, NotConnected, get},
    trial::{Finding, Judged, Trial},
    verdict::Level,
};

/// The pause between two readiness requests.
const LOOK: Duration = Duration::from_millis(10);

pub(crate) const CHECK: Check = Check {
    id: "readiness",
    title: "Readiness says no before the listener closes",
    rule: "A balancer is told to send nothing more while requests are still accepted.",
    source: "convention; Kubernetes, pod termination; HAProxy, http-check",
    severity: Severity::Warning,
    place: Place::Process,
    users: "Requests that the balancer still sends are refused.",
    why: "The listener is closed as soon as the stop begins, so the probe is refused and never answered.",
    remedy: "lame-duck",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let path = trial.route(&trial.plan.routes.ready, "ready", "readiness route")?;
    let server = trial.start()?;
    let address = server.address;
    let asked = server.ask()?;
    let context = trial.context.clone();
    let patience = trial.plan.patience;
    let (end, status) = trial.finish(server, asked, move || {
        while asked.elapsed() < patience && context.sleep(LOOK).is_ok() {
            match Connection::open(address) {
                Err(NotConnected::Refused) => return None,
                Err(_) => {}
                Ok(mut connection) => {
                    _ = connection.send(&get(address, path, "Connection: close\r\n"));
                    match connection.response(ANSWER) {
                        Ok(ended) if ended.status != 200 => return Some((ended.status, asked.elapsed())),
                        _ => {}
                    }
                }
            }
        }
        None
    })?;
    let (level, seen) = match status {
        Some((status, after)) => {
            (Level::Pass, format!("{path} was answered {status} {} ms after the signal", after.as_millis()))
        }
        None => (Level::Fail, format!("connections were refused before {path} had said no")),
    };
    Ok(Finding::new(level, seen).with(&end, asked, Vec::new()))
}
