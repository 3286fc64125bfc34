//! A running server is replaced without a gap: a reload, an upgrade.

use std::time::Duration;

use rustix::process::Pid;

use super::{Check, Place, Severity};
use crate::cli::check::{
    client::Tally,
    load::{Kind, Load, Seen},
    server::{process::Status, tree},
    trial::{Finding, Judged, Record, Trial, Unjudged},
    verdict::Level,
};

const WARM: Duration = Duration::from_secs(5);
/// How long the load goes on after the command, so that the old process is gone.
const AFTER: Duration = Duration::from_secs(2);
/// Lines of the command's output that the report shows.
const LINES: usize = 4;

pub(crate) const CHECK: Check = Check {
    id: "replace",
    title: "The server is replaced without losing or refusing a request",
    rule: "The new process takes over the listener before the old one leaves it, or shares it.",
    source: "convention; systemd.socket(5); nginx, Controlling nginx",
    severity: Severity::Error,
    place: Place::AcceptQueue,
    users: "Refused and reset connections at each reload.",
    why: "The old listener is closed before the new one accepts, or takes its accept queue with it (SO_REUSEPORT).",
    remedy: "replace",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let Some(command) = &trial.plan.replace else {
        return Err(Unjudged::Skip(
            "no command is known that replaces the server: write it after --replace".to_owned(),
        ));
    };
    let mut server = trial.start()?;
    let path = &trial.plan.routes.plain;
    let count = usize::from(trial.plan.clients);
    let load = Load::new(server.address, path, Kind::New, trial.context, count);
    let before: Vec<Pid> = processes();
    let (replaced, seen) = load.during(|| {
        if !load.warm_up(WARM) {
            return Err(Unjudged::Skip("the server answers nobody".to_owned()));
        }
        let asked = std::time::Instant::now();
        let mut process = server.run(command)?;
        let exit = process.wait(trial.plan.patience, trial.context);
        trial.sleep(AFTER)?;
        Ok((asked, exit.map(|exit| exit.status), process.output.last(LINES)))
    })?;
    let (asked, exit, output) = replaced?;
    let new = processes().into_iter().filter(|id| !before.contains(id)).count();
    server.follow_successor()?;
    let stopped = server.ask()?;
    let (end, ()) = trial.finish(server, stopped, || ())?;
    let (level, text) = match exit {
        Some(Status::Code(0)) => judge(&seen, new),
        Some(status) => (Level::Fail, format!("the command of --replace: {status}; {output}")),
        None => (Level::Fail, format!("the command of --replace did not end in time; {output}")),
    };
    let mut finding = Finding::new(level, text);
    finding.tally = seen.tally;
    finding.record = Some(Record::new(&end, asked, seen.stories));
    Ok(finding)
}

fn processes() -> Vec<Pid> {
    tree::descendants().into_iter().map(|process| process.id).collect()
}

/// Judges what the clients have seen, and tells how many processes are new: a command that replaces nothing loses nothing.
fn judge(seen: &Seen, new: usize) -> (Level, String) {
    let Tally { lost, refused, timed_out, .. } = seen.tally;
    let gap = seen.longest_gap.map_or(0, |(_, gap)| gap.as_millis());
    let new = match new {
        0 => "no new process".to_owned(),
        1 => "1 new process".to_owned(),
        new => format!("{new} new processes"),
    };
    let level = if lost + refused + timed_out > 0 { Level::Fail } else { Level::Pass };
    (level, format!("{}; {new}; longest gap of a client {gap} ms", seen.tally.words()))
}
