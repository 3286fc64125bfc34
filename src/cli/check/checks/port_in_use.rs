//! A server whose port is taken ends with an error.

use std::net::{SocketAddr, TcpListener};

use super::{Check, Place, Severity};
use crate::cli::check::{
    config::Port,
    server::{
        process::{Process, Status},
        reserve, start_command, tree,
    },
    trial::{Finding, Judged, Trial, Unjudged},
    verdict::Level,
};

pub(crate) const CHECK: Check = Check {
    id: "port-in-use",
    title: "A port in use ends the start with an error",
    rule: "A service that cannot offer what it was started for ends, with a status that says so.",
    source: "POSIX, bind(), EADDRINUSE; convention",
    severity: Severity::Error,
    place: Place::Process,
    users: "A deployment looks successful, and nobody answers.",
    why: "The error of bind is logged and forgotten, or raised in a thread whose end nobody notices.",
    remedy: "start",
    after: &["starts"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let reserved = match trial.plan.port {
        Port::Chosen => Some(reserve(trial.plan.host)?),
        Port::Announced | Port::Fixed(_) => None,
    };
    let port = match (trial.plan.port, &reserved) {
        (Port::Fixed(port), _) => port,
        (_, Some(reserved)) => reserved.port,
        (_, None) => return Err(Unjudged::Skip("the server chooses its port itself".to_owned())),
    };
    let _taken = TcpListener::bind(SocketAddr::new(trial.plan.host.ip(), port))?;
    let mut process = Process::start(start_command(trial.plan, &[], port))?;
    let exit = process.wait(trial.plan.start_within, trial.context);
    tree::kill_all();
    process.wait(trial.plan.patience, trial.context);
    tree::reap();
    trial.check()?;
    let (level, seen) = match exit.map(|exit| exit.status) {
        Some(Status::Code(0)) if trial.plan.pid_file.is_some() => {
            (Level::Warn, "the start reported success, before the daemon could know".to_owned())
        }
        Some(Status::Code(0)) => {
            (Level::Fail, "it ended with exit status 0, as if nothing had happened".to_owned())
        }
        Some(Status::Code(code)) => (Level::Pass, format!("it ended with exit status {code}")),
        Some(status) => (Level::Warn, status.to_string()),
        None => (Level::Fail, "it went on running without its port".to_owned()),
    };
    Ok(Finding::new(level, seen))
}
