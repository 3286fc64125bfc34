//! Idle kept-alive connections do not hold a stop.

use super::{Check, Place, Severity};
use crate::cli::check::trial::{Judged, Trial};

const CONNECTIONS: usize = 8;

pub(crate) const CHECK: Check = Check {
    id: "idle",
    title: "Idle kept-alive connections do not hold the stop",
    rule: "A server may close an idle connection at any time, and a stop does.",
    source: "RFC 9112 section 9.5",
    severity: Severity::Error,
    place: Place::Idle,
    users: "Each deployment takes until the time-out, and then what is really in flight is killed.",
    why: "The stop waits until every connection is closed, and clients with a pool never close theirs.",
    remedy: "idle",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    trial.held("idle kept-alive connections", |server| (0..CONNECTIONS).map(|_| trial.kept(server)).collect())
}
