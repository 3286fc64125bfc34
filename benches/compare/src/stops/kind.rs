//! The kinds of load: what clients do until they are refused.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// How clients behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A connection for each request, which says `Connection: close`.
    New,
    /// One request after the other on a connection that is kept alive.
    Kept,
    /// The same, with a pause of up to 200 ms before each request: connections that a server finds quiet.
    Pausing,
    /// Sixteen requests at once on a connection that is kept alive.
    Pipelined,
    /// Contents that arrive in pieces over 100 ms, on a connection that is kept alive.
    SlowBody,
    /// Requests that take 20 ms to answer, on a connection that is kept alive.
    SlowHandler,
    /// Streams of five pieces over 100 ms, on a connection that is kept alive. A stop may end one early, but properly.
    Stream,
    /// The client's number decides which of the others it is.
    Mix,
    /// Like `kept`, but the client reads its response 200 ms after it wrote the request.
    LateReader,
    /// Like `kept`, but the client keeps its socket open after a response with `Connection: close`, until the process
    /// of the server has ended, and never reads the end of the stream.
    Holding,
    /// Every other client vanishes at the signal while its request is with a handler.
    VanishInFlight,
    /// Every other client vanishes at the signal in the middle of the content of its request.
    VanishUpload,
    /// Every other client vanishes at the signal after the first bytes of a response of 256 KiB.
    VanishResponse,
    /// Every other client has sent a SYN and vanished then: its handshake is half open. Over a path only.
    VanishHalfOpen,
}

impl Kind {
    /// The kinds of clients that [`Kind::Mix`] mixes.
    const MIXED: [Kind; 5] = [Kind::New, Kind::Kept, Kind::Pipelined, Kind::SlowBody, Kind::SlowHandler];
    /// The kinds of clients beside those that vanish.
    const BESIDE: [Kind; 2] = [Kind::New, Kind::Kept];

    /// What the client with this number does.
    #[must_use]
    pub fn of_client(self, number: usize) -> Kind {
        match self {
            Kind::Mix => Kind::MIXED[number % Kind::MIXED.len()],
            kind if kind.vanishes() && number % 2 == 1 => Kind::BESIDE[number / 2 % Kind::BESIDE.len()],
            kind => kind,
        }
    }

    /// Whether some of its clients vanish.
    #[must_use]
    pub fn vanishes(self) -> bool {
        use Kind::{VanishHalfOpen, VanishInFlight, VanishResponse, VanishUpload};
        matches!(self, VanishInFlight | VanishUpload | VanishResponse | VanishHalfOpen)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no kind is skipped");
        f.write_str(value.get_name())
    }
}
