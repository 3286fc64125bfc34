//! Requests one after another on kept-alive connections.

use super::{Check, Place, Severity, load::stop_under_load};
use crate::cli::check::{
    load::Kind,
    trial::{Judged, Trial},
};

pub(crate) const CHECK: Check = Check {
    id: "keep-alive",
    title: "No request on a kept-alive connection is lost under load",
    rule: "A server answers the request that it has, says close with the last response, and closes in stages.",
    source: "RFC 9112 sections 9.3, 9.6",
    severity: Severity::Error,
    place: Place::InFlight,
    users: "Connection reset by peer, empty replies, 502 Bad Gateway from a proxy with a pool of connections.",
    why: "Connections are closed between two responses although a request is arriving, without saying close before.",
    remedy: "keep-alive",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    stop_under_load(trial, Kind::Kept)
}
