//! Connections on which nothing was ever sent.

use super::{Check, Place, Severity};
use crate::cli::check::trial::{Judged, Trial};

const CONNECTIONS: usize = 4;

pub(crate) const CHECK: Check = Check {
    id: "silent",
    title: "Silent connections do not hold the stop",
    rule: "A connection without a request is idle; browsers and balancers open such connections ahead.",
    source: "convention; RFC 9112 section 9.5",
    severity: Severity::Error,
    place: Place::Idle,
    users: "Each deployment takes until the time-out, and then what is really in flight is killed.",
    why: "A connection that has never sent a request counts as busy.",
    remedy: "idle",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    trial.held("silent connections", |server| (0..CONNECTIONS).map(|_| trial.connect(server)).collect())
}
