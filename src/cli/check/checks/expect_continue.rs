//! A request that waits for `100 Continue` at the signal.

use std::time::{Duration, Instant};

use super::{Check, Place, Severity, slow_body::finish};
use crate::cli::check::trial::{Judged, Trial, Unjudged};

const CONTENT: &[u8] = b"the content";
/// How long a client waits for the interim response before it sends the content without it.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) const CHECK: Check = Check {
    id: "expect-continue",
    title: "A request that was told to continue is answered",
    rule: "A server that has sent 100 Continue reads the content and sends a final response.",
    source: "RFC 9110 section 10.1.1",
    severity: Severity::Error,
    place: Place::InFlight,
    users: "Uploads of clients such as curl fail at each deployment.",
    why: "The content has not begun, so the connection counts as idle.",
    remedy: "in-flight",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let path = trial.route(&trial.plan.routes.post, "post", "route for a POST")?;
    let server = trial.start()?;
    let mut connection = trial.connect(&server)?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        server.address,
        CONTENT.len(),
    );
    let failed = |broken| Unjudged::Skip(format!("a request before the stop failed: {broken:?}"));
    connection.send(head.as_bytes()).map_err(failed)?;
    if let Ok(bytes) = connection.read(Instant::now() + PATIENCE) {
        let is_final = !bytes.starts_with(b"HTTP/1.1 1");
        connection.put_back(&bytes);
        if is_final {
            return Err(Unjudged::Skip(format!("POST {path} is answered without waiting for the content")));
        }
    }
    finish(trial, server, connection, CONTENT, "request that was told to continue")
}
