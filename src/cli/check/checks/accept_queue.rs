//! Connections that wait in the kernel's accept queue at the signal.

use super::{
    Check, Place, Severity,
    moments::{Client, repeated},
};
use crate::cli::check::{
    client::{Connection, get},
    trial::{Judged, Trial},
};

/// Connections in the queue: fewer than the shortest backlog of usual servers.
const QUEUED: usize = 5;

pub(crate) const CHECK: Check = Check {
    id: "accept-queue",
    title: "Connections in the accept queue at the signal are served",
    rule: "The listener is closed when its accept queue is empty, because close resets every connection in it.",
    source: "convention; TCP promises the client a connection once connect returns",
    severity: Severity::Error,
    place: Place::AcceptQueue,
    users: "Connection reset by peer, 502 Bad Gateway: whenever the machine is busy at the moment of a deployment.",
    why: "The listener is closed at once. What the kernel has accepted and the server has not is reset.",
    remedy: "listener",
    after: &["ends"],
    run,
};

/// Suspends the server while the clients connect and send, so that all of them wait in the accept queue at the signal.
/// A busy machine, or a throttled container, has the same effect.
fn run(trial: &Trial<'_>) -> Judged {
    repeated(trial, "requests in the accept queue", |trial, server| {
        server.freeze();
        let request = get(server.address, &trial.plan.routes.plain, "Connection: close\r\n");
        let connect = |number| match Connection::open(server.address) {
            Ok(mut connection) => {
                connection.story.client = number;
                match connection.write(&request) {
                    Ok(()) => Client::Sent(connection),
                    Err(_) => Client::Connected(connection),
                }
            }
            Err(error) => Client::NotConnected(error),
        };
        let clients = (0..QUEUED).map(connect).collect();
        let asked = server.ask();
        server.thaw();
        Ok((asked?, clients))
    })
}
