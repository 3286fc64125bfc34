//! A request whose content is under way at the signal.

use std::time::Duration;

use super::{Check, Place, Severity};
use crate::cli::check::{
    client::{ANSWER, Connection},
    server::Server,
    trial::{Judged, Trial, judge_requests, told},
};

const LENGTH: usize = 20_000;
static HALF: [u8; LENGTH / 2] = [b'x'; LENGTH / 2];
/// The pause between the signal and the second half of the content.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) const CHECK: Check = Check {
    id: "slow-body",
    title: "A request whose content is under way is received and answered",
    rule: "A request in flight is one whose head has arrived; its content is waited for, within the bound.",
    source: "RFC 9112 sections 6, 9.6",
    severity: Severity::Error,
    place: Place::InFlight,
    users: "Uploads fail at each deployment.",
    why: "The handler has not begun, so the connection counts as idle.",
    remedy: "in-flight",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let path = trial.route(&trial.plan.routes.post, "post", "route for a POST")?;
    let server = trial.start()?;
    let mut connection = trial.accepted(&server)?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/octet-stream\r\nContent-Length: {LENGTH}\r\n\r\n",
        server.address,
    );
    let mut begun = head.into_bytes();
    begun.extend_from_slice(&HALF);
    _ = connection.send(&begun);
    trial.sleep(PAUSE)?;
    finish(trial, server, connection, &HALF, "request with its content under way")
}

/// Asks for the stop, sends the rest of the content a while later, and judges the response.
pub(super) fn finish(
    trial: &Trial<'_>,
    server: Server<'_>,
    mut connection: Connection,
    rest: &'static [u8],
    what: &str,
) -> Judged {
    let asked = server.ask()?;
    let context = trial.context.clone();
    let (end, story) = trial.finish(server, asked, move || {
        _ = context.sleep(PAUSE);
        // The server may have answered early and closed. The response tells the check about such a close.
        _ = connection.send(rest);
        let response = connection.response(ANSWER);
        told(connection, &response)
    })?;
    Ok(judge_requests(&end, asked, vec![story], what))
}
