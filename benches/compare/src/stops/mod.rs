//! What a stop costs the clients: a server is loaded, told to stop at a random moment, and its clients go on until
//! nobody lets them in any more.
//!
//! Every request has one outcome. `docs/check.md` of softstop defines them ("What counts as lost"), because the connections
//! are those of `softstop check`: `src/cli/client` of softstop, included by its path. This harness differs in two points:
//!
//! - Its clients wait longer for a handshake ([`CONNECT`]), and by some round trips longer for a response ([`ANSWER`]), because
//!   a path may delay and lose packets.
//! - Some clients vanish on purpose, in the middle of a request or a handshake (kinds `vanish-...`): such a request is
//!   *vanished*.
//!
//! A client that is refused has waited since it began to try to connect. The time to refusal is that of the clients that
//! began after the signal.

#[allow(dead_code, reason = "softstop's program uses more of it")]
#[path = "../../../../src/cli/client/mod.rs"]
pub(crate) mod client;
mod kind;
mod load;
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
    kind::Kind,
    load::Load,
    outcome::{Loss, Outcomes},
    row::{LEGEND, Row},
    suite::{Section, Suite},
};
use crate::{
    path::Path,
    process::{Exit, Launch, Running},
    stops::{load::Client, moment::Moment},
};

/// How long a connect may take, beside the round trip. The client's kernel repeats a SYN after one second and after
/// three, so a packet that is lost, or dropped by the server's kernel, delays the answer and does not hide it.
pub const CONNECT: Duration = Duration::from_millis(3500);
/// How long a client waits for a whole response, beside the round trips: twice the grace period of every server here.
pub const ANSWER: Duration = client::ANSWER;
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
        // The largest content here is 256 KiB each way. With slow start this takes less than twenty round trips.
        let exchange = 20 * round_trip;
        Patience { connect: CONNECT + round_trip, answer: ANSWER + exchange, warm: WARM + exchange }
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
