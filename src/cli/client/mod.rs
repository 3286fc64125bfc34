//! The one HTTP client that counts what stops lose: plain sockets, blocking calls with deadlines, and a story of
//! everything that the client sees.
//!
//! `docs/check.md` defines the outcomes of requests, under "What counts as lost". `exchange.rs` decides them. Three programs
//! count in this way: `softstop check`, `softstop bench stop`, and the harness in `benches/compare`. The harness includes this
//! folder by its path, so nothing here names another part of the program.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub(crate) mod connection;
pub(crate) mod exchange;
pub(crate) mod response;
pub(crate) mod story;
mod tally;

use std::{io, net::SocketAddr, time::Duration};

pub(crate) use self::{
    connection::{Broken, Connection, Look, NotConnected},
    exchange::Next,
    story::{Step, Story},
    tally::Tally,
};

/// The longest time that a connect may take on loopback, where an answer takes microseconds.
pub(crate) const CONNECT: Duration = Duration::from_millis(300);
/// The longest time that a client waits for a whole response.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);
/// Requests that a pipelining client writes at once. A server finds several in one read, and some behind its last response.
pub(crate) const BATCH: usize = 16;

/// The outcome of a request: see `docs/check.md`.
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
    /// This side could not go on. The outcome says nothing about the server.
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

/// Sends one request on a connection of its own, and returns the status of the response.
pub(crate) fn once(address: SocketAddr, path: &str) -> io::Result<u16> {
    let broken = |broken| io::Error::other(format!("{broken:?}"));
    let mut connection = Connection::open(address).map_err(|error| io::Error::other(error.to_string()))?;
    connection.send(&get(address, path, "Connection: close\r\n")).map_err(broken)?;
    Ok(connection.response(ANSWER).map_err(broken)?.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_defines_every_outcome() {
        let page = include_str!("../../../docs/check.md");
        for outcome in [
            Outcome::Answered(200),
            Outcome::Lost,
            Outcome::Dropped,
            Outcome::Late,
            Outcome::Told,
            Outcome::Refused,
            Outcome::Unheard,
            Outcome::TimedOut,
            Outcome::Ours,
        ] {
            let word = outcome.word();
            let rows = [format!("\n| {word} |"), format!("\n| **{word}** |")];
            assert!(rows.iter().any(|row| page.contains(row)), "no row for `{word}`");
        }
    }
}
