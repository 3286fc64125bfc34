//! Batches of pipelined requests.

use super::{Check, Place, Severity, load::stop_under_load};
use crate::cli::check::{
    load::Kind,
    trial::{Judged, Trial},
};

pub(crate) const CHECK: Check = Check {
    id: "pipelined",
    title: "Pipelined requests are answered, or told that they are not",
    rule: "Requests behind a response that says close are not processed; all others are answered in order.",
    source: "RFC 9112 sections 9.3.2, 9.6",
    severity: Severity::Error,
    place: Place::InFlight,
    users: "Lost responses of clients that pipeline, such as some proxies and package managers.",
    why: "The connection is closed after one response without saying close, with requests in its buffer.",
    remedy: "keep-alive",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    stop_under_load(trial, Kind::Pipelined)
}
