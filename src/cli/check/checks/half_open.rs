//! Connections whose handshake is complete for the client, and half open for the server.

use std::time::{Duration, Instant};

use super::{
    Check, Place, Severity,
    moments::{Client, repeated},
};
use crate::cli::check::{
    client::{CONNECT, Connection, get},
    trial::{Judged, Trial, Unjudged},
};

const CLIENTS: usize = 5;
/// How long the kernel holds the third packet back after the signal. The time is below the 200 ms of a delayed
/// acknowledgement, and long enough for a server to close its listener.
const HELD_BACK: Duration = Duration::from_millis(60);

/// How long Linux delays an acknowledgement.
const DELAYED: Duration = Duration::from_millis(200);

pub(crate) const CHECK: Check = Check {
    id: "half-open",
    title: "Handshakes that are half open at the signal are completed",
    rule: "A client whose SYN was answered believes itself connected; its request should not be reset.",
    source: "convention; RFC 9293 section 3.5 leaves the end of a listener open",
    severity: Severity::Warning,
    place: Place::HalfOpen,
    users: "Connection reset by peer: one round-trip time's worth of new connections at each stop.",
    why: "The listener is closed at once, and with it go the handshakes that the kernel has answered half.",
    remedy: "listener",
    after: &["ends"],
    run,
};

/// Without quick acknowledgements, Linux holds back the third packet of a handshake until the client has data to send.
fn run(trial: &Trial<'_>) -> Judged {
    repeated(trial, "requests of half-open handshakes", |trial, server| {
        let connect = |number| {
            let opened =
                Connection::open_with(server.address, CONNECT, |socket| socket.set_tcp_quickack(false));
            opened.map_or_else(Client::NotConnected, |mut connection| {
                connection.story.client = number;
                Client::Connected(connection)
            })
        };
        let began = Instant::now();
        let clients: Vec<Client> = (0..CLIENTS).map(connect).collect();
        let asked = server.ask()?;
        trial.sleep(HELD_BACK)?;
        let request = get(server.address, &trial.plan.routes.plain, "Connection: close\r\n");
        let send = |client| match client {
            Client::Connected(mut connection) => match connection.write(&request) {
                Ok(()) => Client::Sent(connection),
                // The next write fails too, and tells the outcome.
                Err(_) => Client::Connected(connection),
            },
            client => client,
        };
        let clients = clients.into_iter().map(send).collect();
        if began.elapsed() > DELAYED {
            return Err(Unjudged::Missed(
                "each time the kernel had completed the handshakes before the clients wrote",
            ));
        }
        Ok((asked, clients))
    })
}
