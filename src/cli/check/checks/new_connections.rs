//! Requests on new connections, at a random moment.

use super::{Check, Place, Severity, load::stop_under_load};
use crate::cli::check::{
    load::Kind,
    trial::{Judged, Trial},
};

pub(crate) const CHECK: Check = Check {
    id: "new-connections",
    title: "No request on a new connection is lost under load",
    rule: "A connection that was established is served, or refused before it is established.",
    source: "convention; TCP promises the client a connection once connect returns",
    severity: Severity::Error,
    place: Place::AcceptQueue,
    users: "Connection reset by peer, 502 Bad Gateway from a proxy: a few at each deployment.",
    why: "The listener is closed while connections wait in its accept queue, and the kernel resets them; or the process ends before requests are answered.",
    remedy: "listener",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    stop_under_load(trial, Kind::New)
}
