//! A large response to a slow reader.

use std::{
    io,
    time::{Duration, Instant},
};

use socket2::Socket;

use super::{Check, Place, Severity};
use crate::cli::check::{
    client::{ANSWER, CONNECT, Connection, get},
    trial::{Judged, Trial, Unjudged, judge_requests, told},
};

/// The receive buffer of the slow reader.
const BUFFER: usize = 32 * 1024;
/// The segments of the slow reader are those of an Ethernet. The server's kernel makes its send buffer as large as some
/// segments, and segments of the loopback interface are so large that four megabytes disappear in that buffer.
const SEGMENT: u32 = 1460;
/// The least size of a response that the socket buffers do not hold: with these two values they hold less than half of it.
const LARGE: usize = 1024 * 1024;
/// How long the reader pauses around the signal.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) const CHECK: Check = Check {
    id: "large-response",
    title: "A large response to a slow reader is delivered whole",
    rule: "A response that has begun is sent to its end; the connection is closed after its last byte is acknowledged.",
    source: "RFC 9112 sections 8, 9.6",
    severity: Severity::Error,
    place: Place::InFlight,
    users: "Downloads that end too early; where the length is not declared, without anybody noticing.",
    why: "The handler has returned, so the connection counts as idle although its response is still in a buffer.",
    remedy: "in-flight",
    after: &["ends"],
    run,
};

/// The size of a response, measured before the stop. Skips the check, with the reason, if the response is too small.
pub(super) fn measure(
    trial: &Trial<'_>,
    server: &crate::cli::check::server::Server<'_>,
    path: &str,
) -> Result<usize, Unjudged> {
    let failed = |broken| Unjudged::Skip(format!("{path} has no whole response before the stop: {broken:?}"));
    let mut connection = trial.connect(server)?;
    connection.send(&get(server.address, path, "Connection: close\r\n")).map_err(failed)?;
    let status = connection.response(ANSWER).map_err(failed)?.status;
    let bytes = connection.story.received();
    if bytes < LARGE {
        return Err(Unjudged::Skip(format!(
            "{path} is answered {status} with {bytes} bytes, which fit into buffers"
        )));
    }
    Ok(bytes)
}

fn slow_reader(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_mss(SEGMENT)?;
    socket.set_recv_buffer_size(BUFFER)
}

/// A client that has begun to read a large response.
pub(super) fn begin(
    trial: &Trial<'_>,
    server: &crate::cli::check::server::Server<'_>,
    path: &str,
) -> Result<Connection, Unjudged> {
    measure(trial, server, path)?;
    let failed = |broken| Unjudged::Skip(format!("a large response does not begin: {broken:?}"));
    let mut connection = Connection::open_with(server.address, CONNECT, slow_reader)
        .map_err(|error| Unjudged::Skip(format!("a connection before the stop failed: {error}")))?;
    connection.send(&get(server.address, path, "")).map_err(failed)?;
    let bytes = connection.read(Instant::now() + ANSWER).map_err(failed)?;
    connection.put_back(&bytes);
    Ok(connection)
}

fn run(trial: &Trial<'_>) -> Judged {
    let path = trial.route(&trial.plan.routes.large, "large", "large response")?;
    let server = trial.start()?;
    let mut connection = begin(trial, &server, path)?;
    trial.sleep(PAUSE)?;
    let asked = server.ask()?;
    let context = trial.context.clone();
    let (end, story) = trial.finish(server, asked, move || {
        _ = context.sleep(PAUSE);
        let response = connection.response(ANSWER);
        told(connection, &response)
    })?;
    Ok(judge_requests(&end, asked, vec![story], "large response to a slow reader"))
}
