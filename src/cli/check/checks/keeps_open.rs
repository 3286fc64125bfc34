//! A client that has its response and does not close its side.

use super::{Check, Place, Severity};
use crate::cli::check::{
    client::{ANSWER, get},
    trial::{Judged, Trial},
};

pub(crate) const CHECK: Check = Check {
    id: "keeps-open",
    title: "A client that keeps its socket open does not hold the stop",
    rule: "A lingering close waits for the client's FIN for a bounded time.",
    source: "RFC 9112 section 9.6",
    severity: Severity::Error,
    place: Place::Idle,
    users: "Each deployment takes until the time-out, and then what is really in flight is killed.",
    why: "After the last response the server waits for the client to close, without a limit.",
    remedy: "bound",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    trial.held("client that keeps its socket open", |server| {
        let mut connection = trial.connect(server)?;
        _ = connection.send(&get(server.address, &trial.plan.routes.plain, "Connection: close\r\n"));
        _ = connection.response(ANSWER);
        Ok(vec![connection])
    })
}
