//! A running server is replaced without a gap: a reload, an upgrade.

use std::time::Duration;

use super::{Check, Place, Severity};
use crate::cli::check::{
    client::Tally,
    load::{Kind, Load},
    trial::{Finding, Judged, Record, Trial, Unjudged},
    verdict::Level,
};

const WARM: Duration = Duration::from_secs(5);
/// How long the load goes on after the command, so that the old process is gone.
const AFTER: Duration = Duration::from_secs(2);

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
    let (replaced, seen) = load.during(|| {
        if !load.warm_up(WARM) {
            return Err(Unjudged::Skip("the server answers nobody".to_owned()));
        }
        let asked = std::time::Instant::now();
        let mut process = server.run(command)?;
        process.wait(trial.plan.patience, trial.context);
        trial.sleep(AFTER).map(|()| asked)
    })?;
    let asked = replaced?;
    // After the replacement, the pid file names the new process.
    if let Some(id) = server.id_in_file() {
        server.follow(id)?;
    }
    let stopped = server.ask()?;
    let (end, ()) = trial.finish(server, stopped, || ())?;
    let Tally { lost, refused, late, timed_out, .. } = seen.tally;
    let gap = seen.longest_gap.map_or(0, |(_, gap)| gap.as_millis());
    let text = format!(
        "longest gap of a client {gap} ms; {lost} lost, {refused} refused, {late} late, {timed_out} timed out; {}",
        seen.tally.words()
    );
    let level = if lost + refused + timed_out > 0 { Level::Fail } else { Level::Pass };
    let mut finding = Finding::new(level, text);
    finding.tally = seen.tally;
    finding.record = Some(Record::new(&end, asked, seen.stories));
    Ok(finding)
}
