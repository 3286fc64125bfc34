//! Kept-alive connections whose clients think between two requests.

use super::{Check, Place, Severity, load::stop_under_load};
use crate::cli::check::{
    load::Kind,
    trial::{Judged, Trial},
};

pub(crate) const CHECK: Check = Check {
    id: "keep-alive-think",
    title: "No request is lost on connections that were idle for a moment",
    rule: "A server may close an idle connection; a request that arrives meanwhile should not be reset.",
    source: "RFC 9112 sections 9.5, 9.6",
    severity: Severity::Error,
    place: Place::Idle,
    users: "Rare resets of requests, mostly through proxies and SDKs that keep a pool of connections.",
    why: "All idle connections are closed at the very moment of the stop, and requests on their way are reset.",
    remedy: "keep-alive",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    stop_under_load(trial, Kind::Thinking)
}
