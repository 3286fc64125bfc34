//! The arguments and the answers of every server here. The servers have both in common, so that they differ in nothing
//! else.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /` | [`HELLO`] |
//! | `GET /kib`, `GET /big` | 1 KiB, 1 MiB |
//! | `POST /echo` | the content of the request, at most [`LARGEST_ECHO`] bytes |
//! | `GET /sleep?ms=N` | [`SLEPT`], after a wait of N milliseconds, made in the way that the server recommends |
//! | `GET /stream` | [`STREAMED`] times [`PIECE`], with [`PAUSE`] between, as a stream that a stop may end early; softstop only |
//! | `GET /stuck` | none: the handler never returns. hyper, axum and actix-web only, for `softstop check` |
//! | `GET /upgrade` | a switch to WebSocket. axum only, for `softstop check` |
//! | `GET /block` | [`SLEPT`], after [`BLOCK`] of work that blocks a thread, run where the server recommends such work |
//!
//! SIGTERM requests a graceful stop within [`GRACE`].

use std::{
    env,
    io::{self, Write},
    net::SocketAddr,
    str::FromStr,
    time::Duration,
};

pub const HELLO: &str = "Hello, world!";
pub const KIB: [u8; 1 << 10] = [b'k'; 1 << 10];
pub static BIG: [u8; 1 << 20] = [b'M'; 1 << 20];
pub const SLEPT: &str = "slept";
pub const BLOCK: Duration = Duration::from_millis(5);
pub const STREAMED: usize = 5;
pub const PIECE: [u8; 200] = [b'p'; 200];
pub const PAUSE: Duration = Duration::from_millis(25);
pub const GRACE: Duration = Duration::from_secs(5);
pub const LARGEST_ECHO: usize = 2 << 20;

/// `--listen ADDRESS --threads N --blocking N`
pub struct Arguments {
    pub listen: SocketAddr,
    /// Event loops, or threads that serve.
    pub threads: usize,
    /// The most threads for work that blocks.
    pub blocking: usize,
}

impl Arguments {
    /// # Panics
    ///
    /// If a value does not parse. The caller is a program, so an error would have no reader.
    #[must_use]
    pub fn parse() -> Arguments {
        Arguments {
            listen: value("--listen").unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0))),
            threads: value("--threads").unwrap_or(2),
            blocking: value("--blocking").unwrap_or(512),
        }
    }
}

/// The value after a name on the command line.
///
/// # Panics
///
/// If the value does not parse.
#[must_use]
pub fn value<T: FromStr>(name: &str) -> Option<T> {
    let text = env::args().skip_while(|argument| argument != name).nth(1)?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} {text}: makes no sense")))
}

/// Prints the address of the server for the process that started the server.
///
/// # Errors
///
/// If the process has closed the pipe.
pub fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "listening on {address}")?;
    out.flush()
}

/// The N of `ms=N`.
#[must_use]
pub fn milliseconds(query: Option<&str>) -> Duration {
    let ms = query.and_then(|query| query.strip_prefix("ms=")).and_then(|ms| ms.parse().ok());
    Duration::from_millis(ms.unwrap_or(0))
}
