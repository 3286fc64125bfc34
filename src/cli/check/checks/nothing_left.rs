//! A server leaves no process and no listener behind.

use super::{Check, Place, Severity};
use crate::cli::check::{
    trial::{Finding, Judged, Trial},
    verdict::Level,
};

pub(crate) const CHECK: Check = Check {
    id: "nothing-left",
    title: "The server leaves no process and no listener behind",
    rule: "The main process ends last: what it has started has ended before it.",
    source: "convention; systemd.kill(5), KillMode=, exists for services that break it",
    severity: Severity::Error,
    place: Place::Process,
    users: "Old code goes on running beside the new; ports and files stay taken; a container never ends.",
    why: "Children are neither told nor waited for, or they have left the process group.",
    remedy: "children",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let server = trial.start()?;
    drop(trial.kept(&server));
    let asked = server.ask()?;
    let (end, ()) = trial.finish(server, asked, || ())?;
    let finding = if let Some(first) = end.left.first() {
        let (id, name) = (first.id.as_raw_nonzero(), &first.name);
        let seen = format!("{} left behind: {name} (process {id}); killed", count(end.left.len(), "process"));
        Finding::new(Level::Fail, seen)
    } else if end.still_listens {
        Finding::new(Level::Fail, "somebody still accepts connections after the end of the process")
    } else {
        Finding::new(Level::Pass, "no process and no listener was left")
    };
    Ok(finding.with(&end, asked, Vec::new()))
}

fn count(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}es") }
}
