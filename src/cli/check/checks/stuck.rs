//! A handler that never returns.

use std::time::Duration;

use super::{Check, Place, Severity};
use crate::cli::check::{
    client::get,
    server::Ended,
    trial::{Finding, Judged, Trial, Unjudged},
    verdict::Level,
};

/// How long the request has to be without an answer to count as stuck.
const STUCK: Duration = Duration::from_millis(300);

pub(crate) const CHECK: Check = Check {
    id: "stuck",
    title: "A handler that never returns does not hold the stop for ever",
    rule: "A stop has a bound below that of its supervisor, and ends by itself with what it has.",
    source: "systemd.service(5), TimeoutStopSec=; Kubernetes, terminationGracePeriodSeconds",
    severity: Severity::Error,
    place: Place::InFlight,
    users: "Each deployment takes until the time-out, and the end is a SIGKILL: nothing is flushed or reported.",
    why: "The stop waits for all handlers without a deadline.",
    remedy: "bound",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let path = trial.route(&trial.plan.routes.stuck, "stuck", "route that never returns")?;
    let server = trial.start()?;
    let mut connection = trial.connect(&server)?;
    let failed = |broken| Unjudged::Skip(format!("a request before the stop failed: {broken:?}"));
    connection.send(&get(server.address, path, "")).map_err(failed)?;
    if connection.response(STUCK).is_ok() {
        return Err(Unjudged::Skip(format!("{path} is answered, so its handler returns")));
    }
    let asked = server.ask()?;
    let (end, ()) = trial.finish(server, asked, || ())?;
    let took = end.took.as_secs_f64();
    let (level, seen) = match end.how {
        Ended::Killed => (Level::Fail, format!("still running {took:.1} s after the signal, and killed")),
        Ended::ByItself(status) => {
            (Level::Pass, format!("the stop ended by itself after {took:.1} s: {status}"))
        }
    };
    Ok(Finding::new(level, seen).with(&end, asked, vec![connection.story]))
}
