//! A request whose head never becomes whole.

use super::{Check, Place, Severity};
use crate::cli::check::trial::{Judged, Trial};

pub(crate) const CHECK: Check = Check {
    id: "half-head",
    title: "A head that never becomes whole does not hold the stop",
    rule: "Reading a head has a time limit, and during a stop the stop has one.",
    source: "RFC 9110 section 15.5.9 (408); convention",
    severity: Severity::Error,
    place: Place::InFlight,
    users: "Each deployment takes until the time-out, and then what is really in flight is killed.",
    why: "Reading a head has no time limit, so that one slow or broken client holds the stop.",
    remedy: "bound",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    trial.held("connection with half a head", |server| {
        let mut connection = trial.connect(server)?;
        _ = connection.send(b"GET / HTTP/1.1\r\nHost: ");
        Ok(vec![connection])
    })
}
