//! The exit status after a stop without any client.

use rustix::process::Signal;

use super::{Check, Place, Severity};
use crate::cli::check::{
    config::Ask,
    server::{Ended, process::Status},
    trial::{Finding, Judged, Trial, Unjudged},
    verdict::Level,
};

/// A shell and the JVM add the number of a signal to this status.
const BY_SIGNAL: i32 = 128;

pub(crate) const CHECK: Check = Check {
    id: "exit-status",
    title: "The exit status is 0 after a clean stop",
    rule: "A process that has done what it was asked to exits with status 0.",
    source: "POSIX, exit(); systemd.service(5), SuccessExitStatus=",
    severity: Severity::Error,
    place: Place::Process,
    users: "Each deployment looks like a crash: alerts, restarts (Restart=on-failure), failed jobs.",
    why: "The signal has no handler and ends the process, or an error of the closed listener becomes the exit status \
          (in Go: http.ErrServerClosed given to log.Fatal).",
    remedy: "exit-status",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let server = trial.start()?;
    let asked = server.ask()?;
    let (end, ()) = trial.finish(server, asked, || ())?;
    let level = match end.how {
        Ended::ByItself(Status::Code(0)) => Level::Pass,
        // Some servers end their stop by raising the signal again. systemd counts such an end as clean; shells and
        // Kubernetes do not.
        Ended::ByItself(Status::Signal(signal)) if trial.plan.stop == asked_by(signal) => Level::Warn,
        // The JVM ends with this status after its shutdown hooks.
        Ended::ByItself(Status::Code(code)) if code == BY_SIGNAL + Signal::TERM.as_raw() => Level::Warn,
        Ended::ByItself(Status::Unknown) => {
            let reason = "the server is no child of this process, so its exit status is not known";
            return Err(Unjudged::Skip(reason.to_owned()));
        }
        Ended::ByItself(_) | Ended::Killed => Level::Fail,
    };
    Ok(Finding::new(level, end.how.to_string()).with(&end, asked, Vec::new()))
}

/// The request to stop that consists of this signal. A signal without a name here was not the request.
fn asked_by(signal: i32) -> Ask {
    Ask::Signal(Signal::from_named_raw(signal).unwrap_or(Signal::KILL))
}
