//! The one HTTP client of `check`: plain sockets, blocking calls with deadlines, and a story of everything it sees.
//!
//! Every request has exactly one outcome, in these words:
//!
//! | outcome | when |
//! | --- | --- |
//! | answered | A whole response came (whatever its status). |
//! | **lost** | The connection was established, the request or its first byte was written without an error, and no whole response came: a reset, the end of the stream, or a response that was cut short. |
//! | dropped | A new connection was established, and reset or closed before its first request could be written. |
//! | late | A kept-alive connection was closed between two responses, and the client's kernel knew when the client was about to write the next request. |
//! | told | A pipelined request behind a response that said `Connection: close` (RFC 9112 section 9.6). |
//! | refused | `connect` was refused: nobody listens any more. |
//! | unheard | `connect` had no answer within [`CONNECT`]. The client tries again. |
//! | timed out | No whole response came in time, and the connection was still open. |
//! | ours | This side could not go on: no local port, no descriptor, no memory. It says nothing about the server. |
//!
//! Only a lost request harms a client that does everything right: the client cannot know whether it was processed.

pub(crate) mod connection;
pub(crate) mod load;
pub(crate) mod story;
mod tally;

use std::{io, net::SocketAddr, time::Duration};

pub(crate) use self::{
    connection::{Broken, Connection, Look, NotConnected},
    story::{Step, Story},
    tally::{Tally, interval},
};

/// The longest time that a connect may take. On loopback an answer takes microseconds.
pub(crate) const CONNECT: Duration = Duration::from_millis(300);
/// The longest time that a client waits for a whole response.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Answered(u16),
    Lost,
    Dropped,
    Late,
    Told,
    Refused,
    Unheard,
    TimedOut,
    Ours,
}

impl Outcome {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Outcome::Answered(_) => "answered",
            Outcome::Lost => "lost",
            Outcome::Dropped => "dropped",
            Outcome::Late => "late",
            Outcome::Told => "told",
            Outcome::Refused => "refused",
            Outcome::Unheard => "unheard",
            Outcome::TimedOut => "timed out",
            Outcome::Ours => "not counted",
        }
    }

    /// Whether the request is missing, so that its story is worth telling.
    pub(crate) fn is_bad(self) -> bool {
        matches!(self, Outcome::Lost | Outcome::Dropped | Outcome::TimedOut)
    }
}

/// The bytes of a request without content.
pub(crate) fn get(address: SocketAddr, path: &str, further: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: softstop-check\r\nAccept: */*\r\n{further}\r\n"
    )
    .into_bytes()
}

/// Sends one request on a connection of its own: the status of its response.
pub(crate) fn once(address: SocketAddr, path: &str) -> io::Result<u16> {
    let broken = |broken| io::Error::other(format!("{broken:?}"));
    let mut connection = Connection::open(address).map_err(|error| io::Error::other(error.to_string()))?;
    connection.send(&get(address, path, "Connection: close\r\n")).map_err(broken)?;
    Ok(connection.response(ANSWER).map_err(broken)?.status)
}
