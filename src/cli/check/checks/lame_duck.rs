//! The time in which new connections are still served after the signal.

use std::time::Duration;

use super::{
    Check, Place, Severity,
    probes::{Answer, Probe, probe},
};
use crate::cli::check::{
    trial::{Finding, Judged, Trial, Unjudged},
    verdict::Level,
};

/// The part of the promised time that the server has to keep, because the probes measure the time with this precision.
const KEPT: f64 = 0.9;

pub(crate) const CHECK: Check = Check {
    id: "lame-duck",
    title: "New connections are served for the promised time after the signal",
    rule: "The signal and the removal from the balancer are concurrent, so a server goes on serving for a while.",
    source: "Kubernetes, pod termination; convention",
    severity: Severity::Error,
    place: Place::Process,
    users: "Connection refused at each deployment, for as long as balancers take to notice.",
    why: "The listener is closed as soon as the signal comes.",
    remedy: "lame-duck",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let Some(promised) = trial.plan.lame_duck else {
        return Err(Unjudged::Skip("no such time is promised: write it after --lame-duck".to_owned()));
    };
    let server = trial.start()?;
    let address = server.address;
    let path = &trial.plan.routes.plain;
    let asked = server.ask()?;
    let patience = trial.plan.patience;
    let (end, probes) =
        trial.finish(server, asked, || probe(address, path, asked, patience, trial.context, |_| false))?;
    let (level, seen) = judge(&probes, promised)?;
    Ok(Finding::new(level, seen).with(&end, asked, Vec::new()))
}

fn judge(probes: &[Probe], promised: Duration) -> Result<(Level, String), Unjudged> {
    let kept = promised.mul_f64(KEPT);
    let is_served = |probe: &&Probe| matches!(probe.answer, Answer::Status(_));
    let last = probes.iter().filter(is_served).map(|probe| probe.at).max().unwrap_or_default();
    let is_refused = |probe: &&Probe| matches!(probe.answer, Answer::Refused | Answer::Unheard);
    let refused = probes.iter().find(is_refused).map(|probe| probe.at);
    // The server promised nothing to a connection that crosses the close of the listener.
    let unanswered = probes.iter().filter(|probe| probe.answer == Answer::Nothing && probe.at < kept).count();
    let (ms, of) = (last.as_millis(), promised.as_millis());
    if unanswered > 0 {
        Ok((Level::Fail, format!("connections of that time without an answer: {unanswered}")))
    } else if last >= kept {
        Ok((Level::Pass, format!("new connections were served until {ms} ms after the signal")))
    } else if refused.is_some_and(|at| at < kept) {
        Ok((
            Level::Fail,
            format!("new connections were served for {ms} ms after the signal, not for {of} ms"),
        ))
    } else {
        Err(Unjudged::Missed("each time no client connected near the end of the promised time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_was_busy_near_the_end_of_the_time_proves_nothing() {
        let level = |probes: &[(u64, Answer)]| {
            let probes = probes.iter().map(|(ms, answer)| Probe {
                at: Duration::from_millis(*ms),
                pause: Duration::ZERO,
                answer: *answer,
            });
            judge(&probes.collect::<Vec<_>>(), Duration::from_millis(300)).map(|(level, _)| level)
        };
        let served = Answer::Status(200);
        assert_eq!(level(&[(10, served), (280, served), (310, Answer::Refused)]).unwrap(), Level::Pass);
        assert_eq!(level(&[(10, served), (100, Answer::Refused)]).unwrap(), Level::Fail);
        assert_eq!(level(&[(10, served), (100, Answer::Unheard)]).unwrap(), Level::Fail);
        assert_eq!(level(&[(10, Answer::Nothing), (310, Answer::Refused)]).unwrap(), Level::Fail);
        assert_eq!(level(&[(10, served), (280, served), (290, Answer::Nothing)]).unwrap(), Level::Pass);
        assert!(matches!(level(&[(10, served), (310, Answer::Refused)]), Err(Unjudged::Missed(_))));
        assert!(matches!(level(&[]), Err(Unjudged::Missed(_))));
    }
}
