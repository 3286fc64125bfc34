//! Clients that connect again and again after the signal, until they are refused. They show how long a server goes on
//! accepting, and what it says meanwhile.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use softstop::Context;

use crate::cli::check::client::{ANSWER, CONNECT, Connection, NotConnected, get};

/// The pause between two connections.
const LOOK: Duration = Duration::from_millis(10);

/// One connection.
#[derive(Debug)]
pub(super) struct Probe {
    /// When the client began to connect, or was refused; since the signal.
    pub(super) at: Duration,
    /// The time since the previous probe, or since the signal. The time is [`LOOK`], unless this machine is busy.
    pub(super) pause: Duration,
    pub(super) answer: Answer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Status(u16),
    /// The connection was made, and brought no whole response.
    Nothing,
    Refused,
    /// The handshake had no answer in time.
    Unheard,
}

/// Sends a request on a new connection every ten milliseconds, until a connection is refused, or `is_last` says so.
pub(super) fn probe(
    address: SocketAddr,
    path: &str,
    asked: Instant,
    patience: Duration,
    context: &Context,
    is_last: impl Fn(&Answer) -> bool,
) -> Vec<Probe> {
    let request = get(address, path, "Connection: close\r\n");
    let (mut probes, mut before) = (Vec::new(), asked);
    while asked.elapsed() < patience && context.sleep(LOOK).is_ok() {
        let (pause, began) = (before.elapsed(), asked.elapsed());
        let (at, answer) = match Connection::open(address) {
            Ok(mut connection) => {
                // A server that has closed meanwhile shows in the response.
                _ = connection.send(&request);
                let answer = connection.response(ANSWER);
                (began, answer.map_or(Answer::Nothing, |ended| Answer::Status(ended.status)))
            }
            Err(NotConnected::Refused) => (asked.elapsed(), Answer::Refused),
            Err(NotConnected::Unheard) => (asked.elapsed().saturating_sub(CONNECT), Answer::Unheard),
            Err(NotConnected::Reset) => (began, Answer::Nothing),
            Err(NotConnected::Ours(_)) => continue,
        };
        before = Instant::now();
        let is_end = answer == Answer::Refused || is_last(&answer);
        probes.push(Probe { at, pause, answer });
        if is_end {
            break;
        }
    }
    probes
}
