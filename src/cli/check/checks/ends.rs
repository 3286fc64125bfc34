//! One signal ends an unloaded server.

use super::{Check, Place, Severity};
use crate::cli::check::{
    server::Ended,
    trial::{Finding, Judged, SECOND, Trial, Unjudged},
    verdict::Level,
};

pub(crate) const CHECK: Check = Check {
    id: "ends",
    title: "One request to stop ends a server that has nothing to do",
    rule: "A service ends on the signal that asks it to, within the time that its supervisor grants.",
    source: "systemd.kill(5), SIGTERM and TimeoutStopSec=; Kubernetes, termination of pods",
    severity: Severity::Error,
    place: Place::Process,
    users: "Each deployment waits for the time-out, and then everything that is in flight is killed.",
    why: "The signal is not handled (as PID 1 it is ignored then), goes to a shell that does not forward it, or a \
          thread, timer or connection keeps the process alive.",
    remedy: "bound",
    after: &["starts"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let server = trial.start()?;
    let asked = server.ask()?;
    let (end, ()) = trial.finish(server, asked, || ())?;
    trial.baseline.set(Some(end.took));
    let took = end.took.as_secs_f64();
    let (level, seen) = match end.how {
        Ended::Killed => {
            let further = if needs_two(trial)? { "; a second signal ended it" } else { "" };
            (Level::Fail, format!("still running {took:.1} s after the signal, and killed{further}"))
        }
        Ended::ByItself(status) => (Level::Pass, format!("ended after {took:.3} s: {status}")),
    };
    Ok(Finding::new(level, seen).with(&end, asked, Vec::new()))
}

/// Whether a second signal ends a server that the first one does not end.
fn needs_two(trial: &Trial<'_>) -> Result<bool, Unjudged> {
    let server = trial.start()?;
    let asked = server.ask()?;
    trial.sleep(SECOND)?;
    server.ask()?;
    let (end, ()) = trial.finish(server, asked, || ())?;
    Ok(end.how != Ended::Killed)
}
