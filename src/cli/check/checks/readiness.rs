//! The readiness route says no before the listener closes.

use std::time::Duration;

use super::{
    Check, Place, Severity,
    probes::{Answer, Probe, probe},
};
use crate::cli::check::{
    trial::{Finding, Judged, Trial, Unjudged},
    verdict::Level,
};

/// A pause before the last look in which a server may have said no unseen. Looks follow each other every ten milliseconds.
const UNSEEN: Duration = Duration::from_millis(100);

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
    let patience = trial.plan.patience;
    let is_no = |answer: &Answer| matches!(answer, Answer::Status(status) if *status != 200);
    let (end, probes) =
        trial.finish(server, asked, || probe(address, path, asked, patience, trial.context, is_no))?;
    let (level, seen) = judge(path, &probes)?;
    Ok(Finding::new(level, seen).with(&end, asked, Vec::new()))
}

fn judge(path: &str, probes: &[Probe]) -> Result<(Level, String), Unjudged> {
    for probe in probes {
        if let Answer::Status(status) = probe.answer
            && status != 200
        {
            let ms = probe.at.as_millis();
            return Ok((Level::Pass, format!("{path} was answered {status} {ms} ms after the signal")));
        }
    }
    // A server that says no goes on saying no until it closes its listener.
    if probes.last().is_none_or(|last| last.pause > UNSEEN) {
        return Err(Unjudged::Missed("each time no client looked just before the close"));
    }
    Ok((Level::Fail, format!("connections were refused before {path} had said no")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_that_nobody_could_see_proves_nothing() {
        let level = |probes: &[(u64, Answer)]| {
            let probe = |(pause, answer): &(u64, Answer)| {
                let pause = Duration::from_millis(*pause);
                Probe { at: pause, pause, answer: *answer }
            };
            judge("/", &probes.iter().map(probe).collect::<Vec<_>>()).map(|(level, _)| level)
        };
        let (yes, no) = (Answer::Status(200), Answer::Status(503));
        assert_eq!(level(&[(10, yes), (100, no)]).unwrap(), Level::Pass);
        assert_eq!(level(&[(10, yes), (10, Answer::Nothing), (10, Answer::Refused)]).unwrap(), Level::Fail);
        assert_eq!(level(&[(150, yes), (10, Answer::Refused)]).unwrap(), Level::Fail);
        assert!(matches!(level(&[(10, yes), (150, Answer::Refused)]), Err(Unjudged::Missed(_))));
    }
}
