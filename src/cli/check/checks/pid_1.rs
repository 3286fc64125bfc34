//! The server as process 1 of a container.

use std::process::Command;

use super::{Check, Place, Severity};
use crate::cli::check::{
    config::Ask,
    server::{
        Ended,
        process::{Process, Status},
        tree,
    },
    trial::{Finding, Judged, Trial, Unjudged},
    verdict::Level,
};

/// The commands that start the server in a PID namespace: the first as root, the second as an ordinary user.
const WRAPPERS: [&[&str]; 2] = [
    &["unshare", "--pid", "--fork", "--kill-child"],
    &["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"],
];

pub(crate) const CHECK: Check = Check {
    id: "pid-1",
    title: "The signal ends the server as process 1 too",
    rule: "Process 1 of a namespace gets only the signals for which it has a handler.",
    source: "pid_namespaces(7)",
    severity: Severity::Error,
    place: Place::Process,
    users: "docker stop takes ten seconds and kills; so does every deployment of a container.",
    why: "The server relies on the default action of the signal, which process 1 does not have.",
    remedy: "signals",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    if matches!(trial.plan.stop, Ask::Command(_)) || trial.plan.pid_file.is_some() {
        return Err(Unjudged::Skip(
            "the process that is process 1 would not be the one that is stopped".to_owned(),
        ));
    }
    let works = |wrapper: &&&[&str]| {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg("true");
        let exit = Process::start(command)
            .ok()
            .and_then(|mut process| process.wait(trial.plan.patience, trial.context));
        tree::reap();
        exit.is_some_and(|exit| exit.status == Status::Code(0))
    };
    let Some(wrapper) = WRAPPERS.iter().find(works) else {
        return Err(Unjudged::Skip("a PID namespace is not permitted here (unshare --pid)".to_owned()));
    };
    let mut server = trial.launch(None, wrapper)?;
    let child = tree::descendants().into_iter().find(|descendant| descendant.id != server.id());
    let Some(child) = child else {
        return Err(Unjudged::Skip("the server was not found in its namespace".to_owned()));
    };
    server.follow(child.id)?;
    let asked = server.ask()?;
    let (end, ()) = trial.finish(server, asked, || ())?;
    let took = end.took.as_secs_f64();
    let (level, seen) = match end.how {
        Ended::Killed => (Level::Fail, format!("still running {took:.1} s after the signal, and killed")),
        Ended::ByItself(_) => (Level::Pass, format!("ended after {took:.2} s")),
    };
    Ok(Finding::new(level, seen).with(&end, asked, Vec::new()))
}
