//! A second signal ends a stop that takes too long.

use std::time::{Duration, Instant};

use super::{Check, Place, Severity, in_flight::slow_takes};
use crate::cli::check::{
    client::get,
    config::Ask,
    machine::Watch,
    server::Ended,
    trial::{Finding, Judged, SECOND, Trial, Unjudged},
    verdict::Level,
};

/// The longest time that counts as "at once" on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(1200);

pub(crate) const CHECK: Check = Check {
    id: "second-signal",
    title: "A second signal ends the stop at once",
    rule: "An operator who asks twice does not want to wait any longer.",
    source: "convention",
    severity: Severity::Warning,
    place: Place::Process,
    users: "An operator can only help himself with SIGKILL.",
    why: "The second signal is ignored, or begins the same stop again.",
    remedy: "second-signal",
    after: &["ends"],
    run,
};

/// A server that is late on a busy machine has a second attempt, which decides.
fn run(trial: &Trial<'_>) -> Judged {
    let watch = Watch::begin();
    let found = attempt(trial)?;
    if found.level == Level::Fail && watch.was_busy() { attempt(trial) } else { Ok(found) }
}

fn attempt(trial: &Trial<'_>) -> Judged {
    let Ask::Signal(signal) = trial.plan.stop else {
        return Err(Unjudged::Skip("the stop is asked for by a command".to_owned()));
    };
    let routes = &trial.plan.routes;
    let mut server = trial.start()?;
    let path = match (&routes.stuck, &routes.slow) {
        (Some(path), _) => path,
        (None, Some(path)) if slow_takes(&server, path)? > SECOND + AT_ONCE * 2 => path,
        (None, Some(_)) => {
            return Err(Unjudged::Skip(
                "the slow route is too quick to hold a stop: name another with --stuck".to_owned(),
            ));
        }
        (None, None) => {
            return Err(Unjudged::Skip(
                "nothing is known that holds a stop: name a route with --stuck".to_owned(),
            ));
        }
    };
    let mut connection = trial.connect(&server)?;
    _ = connection.send(&get(server.address, path, ""));
    trial.sleep(Duration::from_millis(200))?;
    let asked = server.ask()?;
    trial.sleep(SECOND)?;
    if server.has_ended().is_some() {
        return Err(Unjudged::Skip("the first signal ended the server before the second one".to_owned()));
    }
    // The signal fails if the server has just ended.
    _ = server.signal(signal);
    let again = Instant::now();
    let (end, ()) = trial.finish(server, asked, || ())?;
    let took = end.at.saturating_duration_since(again);
    let seen = format!("{} ms after the second signal: {}", took.as_millis(), end.how);
    let is_at_once = end.how != Ended::Killed && took < AT_ONCE;
    let level = if is_at_once { Level::Pass } else { Level::Fail };
    Ok(Finding::new(level, seen).with(&end, asked, vec![connection.story]))
}
