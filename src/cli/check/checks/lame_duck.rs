//! The time in which new connections are still served after the signal.

use std::time::Duration;

use super::{Check, Place, Severity};
use crate::cli::check::{
    client::{ANSWER, Connection, NotConnected, get},
    trial::{Finding, Judged, Trial, Unjudged},
    verdict::Level,
};

/// The pause between two connections.
const LOOK: Duration = Duration::from_millis(10);
/// The part of the promised time that the server has to keep, because the first refusal is measured with this
/// precision.
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
    let context = trial.context.clone();
    let patience = trial.plan.patience;
    let (end, (last, unanswered)) = trial.finish(server, asked, move || {
        let (mut last, mut unanswered) = (Duration::ZERO, 0_u32);
        while asked.elapsed() < patience && context.sleep(LOOK).is_ok() {
            let began = asked.elapsed();
            match Connection::open(address) {
                Err(NotConnected::Refused) => break,
                Err(_) => {}
                Ok(mut connection) => {
                    _ = connection.send(&get(address, path, "Connection: close\r\n"));
                    match connection.response(ANSWER) {
                        Ok(_) => last = began,
                        // The server promised nothing to a connection that crosses the close of the listener.
                        Err(_) if began < promised.mul_f64(KEPT) => unanswered += 1,
                        Err(_) => {}
                    }
                }
            }
        }
        (last, unanswered)
    })?;
    let (ms, of) = (last.as_millis(), promised.as_millis());
    let (level, seen) = match (last >= promised.mul_f64(KEPT), unanswered) {
        (_, 1..) => (Level::Fail, format!("connections of that time without an answer: {unanswered}")),
        (true, 0) => (Level::Pass, format!("new connections were served until {ms} ms after the signal")),
        (false, 0) => (
            Level::Fail,
            format!("new connections were served for {ms} ms after the signal, not for {of} ms"),
        ),
    };
    Ok(Finding::new(level, seen).with(&end, asked, Vec::new()))
}
