//! What a stop costs the clients: a server is loaded, told to stop at a random moment, and its clients go on until
//! nobody lets them in any more. Every request has exactly one outcome:
//!
//! | outcome | when |
//! | --- | --- |
//! | answered | A whole response came (whatever its status; those that are not 200 are counted beside). |
//! | **lost** | The connection was established, the request or its first byte was written without an error, and no whole response came: a reset, the end of the stream, or a response that was cut short. |
//! | dropped | A new connection was established, and reset or closed before its first request could be written. Nothing was sent, but the server had let the client in. |
//! | late | A kept-alive connection was closed between two responses, and the client's kernel knew when the client was about to write the next request: a look at the socket immediately before the write found the FIN (or the reset). The client sends it on another connection. |
//! | told | A pipelined request behind a response that said `Connection: close`. The client knows that it was not processed, and may send it again (RFC 9112 section 9.6). |
//! | refused | `connect` was refused: nobody listens any more. |
//! | unheard | `connect` had no answer within [`CONNECT`], repeated SYNs included. The client tries again. |
//! | timed out | No byte of the response came for [`ANSWER`]. |
//! | vanished | The client vanished on purpose, in the middle of this request or handshake (kinds `vanish-...`). |
//!
//! Only what is lost harms a client that does everything right: it cannot know whether its request was processed.
//!
//! A look, and then a write: between the two there are some microseconds, and a FIN that arrives then makes the request
//! lost, not late. So does a FIN that is still on its way: over a path this lasts for the whole delay. That is the race in
//! which servers lose requests on kept-alive connections, and it is meant to be seen here.
//!
//! A client that is refused has waited since it began to try to connect. The time to refusal is that of the clients that
//! began after the signal.

mod client;
mod connection;
mod kind;
mod moment;
mod outcome;
mod row;
mod suite;
mod vanish;

use std::{
    io,
    sync::OnceLock,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

pub use self::{
    client::Load,
    kind::Kind,
    outcome::{Loss, Outcomes},
    row::{LEGEND, Row},
    suite::{Section, Suite},
};
use crate::{
    path::Path,
    process::{Exit, Launch, Running},
    stops::{client::Client, moment::Moment},
};

/// How long a connect may take, beside the round trip. The client's kernel repeats a SYN after one second and after
/// three, so a packet that is lost, or dropped by the server's kernel, delays the answer and does not hide it.
pub const CONNECT: Duration = Duration::from_millis(3500);
/// How long a client waits for a response, beside the round trip: twice the grace period of every server here.
pub const ANSWER: Duration = Duration::from_secs(10);
/// The longest to wait until every client has had an answer: some servers let one starve while others are served.
const WARM: Duration = Duration::from_secs(3);
/// When the signal is sent, in milliseconds after that.
const SIGNAL: std::ops::Range<u64> = 50..200;

/// How long clients wait.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub(super) connect: Duration,
    pub(super) answer: Duration,
    warm: Duration,
}

impl Patience {
    fn over(path: Option<&Path>) -> Patience {
        let round_trip = path.map_or(Duration::ZERO, |path| path.conditions().round_trip());
        // Slow start: what is largest here, 256 KiB each way, takes less than twenty round trips.
        Patience {
            connect: CONNECT + round_trip,
            answer: ANSWER + 2 * round_trip,
            warm: WARM + 20 * round_trip,
        }
    }
}

/// One stop: what became of the requests, and how the server ended.
#[derive(Debug)]
pub struct Stop {
    pub outcomes: Outcomes,
    pub signal: Instant,
    pub exit: Exit,
    /// What the server wrote.
    pub log: String,
}

/// Starts a server, loads it, and stops it.
///
/// # Errors
///
/// If it does not start, does not answer anybody, or ends by itself.
pub fn stop_once(launch: &Launch<'_>, kind: Kind, clients: usize) -> io::Result<Stop> {
    let running = launch.start()?;
    let path = launch.place.path;
    let load = Load {
        path,
        patience: Patience::over(path),
        address: running.address,
        echo: running.echo,
        served: AtomicUsize::new(0),
        stopping: Moment::default(),
        over: Moment::default(),
    };
    let log = running.log();
    let signal = OnceLock::new();
    let (outcomes, exit) = thread::scope(|scope| {
        let clients: Vec<_> = (0..clients)
            .map(|number| {
                let load = &load;
                let run = move || Client::new(kind.of_client(number), load).run();
                thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, run)
            })
            .collect::<io::Result<_>>()?;
        let exit = wait_and_stop(running, &load, clients.len(), &signal);
        // From here on nobody listens: a client that is not refused would wait for another process.
        load.over.come();
        let mut outcomes = Outcomes::default();
        for client in clients {
            outcomes.add(client.join().map_err(|_| io::Error::other("a client panicked: see above"))?);
        }
        exit.map(|exit| (outcomes, exit))
    })?;
    if let Some(path) = path {
        path.ports().open_all();
    }
    let signal = *signal.get().expect("it was sent, or there was an error");
    let log = log.lock().map(|log| log.clone()).unwrap_or_default();
    Ok(Stop { outcomes, signal, exit, log })
}

fn wait_and_stop(
    running: Running,
    load: &Load<'_>,
    clients: usize,
    signal: &OnceLock<Instant>,
) -> io::Result<Exit> {
    let since = Instant::now();
    while load.served.load(Ordering::Acquire) < clients {
        if since.elapsed() > load.patience.warm {
            match load.served.load(Ordering::Acquire) {
                0 => return Err(io::Error::other("it answers nobody")),
                _ => break,
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(Duration::from_millis(fastrand::u64(SIGNAL)));
    let asked = *signal.get_or_init(Instant::now);
    running.ask_to_stop()?;
    load.stopping.come();
    running.wait(asked)
}
