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
//! | unheard | `connect` had no answer within [`CONNECT`]: the kernel did not react to the SYN. The client tries again. |
//! | timed out | No byte of the response came for [`ANSWER`]. |
//!
//! Only what is lost harms a client that does everything right: it cannot know whether its request was processed.
//!
//! A look, and then a write: between the two there are some microseconds, and a FIN that arrives then makes the request
//! lost, not late. So does a FIN that is still on its way. That is the race in which servers lose requests on kept-alive
//! connections, and it is meant to be seen here.

mod client;
mod connection;
mod outcome;
mod row;

use std::{
    io,
    sync::OnceLock,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

pub use self::{
    client::{Kind, Load},
    outcome::{Loss, Outcomes},
    row::{LEGEND, Row},
};
use crate::{
    process::{Exit, Launch, Running},
    stops::client::Client,
};

/// How long a connect may take. On loopback an answer takes microseconds, so this is long enough to be sure, and short
/// enough not to be counted as time that the server takes.
pub const CONNECT: Duration = Duration::from_millis(300);
/// How long a client waits for a response: twice the grace period of every server here.
pub const ANSWER: Duration = Duration::from_secs(10);
/// The longest to wait until every client has had an answer: some servers let one starve while others are served.
const WARM: Duration = Duration::from_secs(3);
/// When the signal is sent, in milliseconds after that.
const SIGNAL: std::ops::Range<u64> = 50..200;

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
    let load = Load {
        address: running.address,
        echo: running.echo,
        served: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
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
        load.is_over.store(true, Ordering::Release);
        let mut outcomes = Outcomes::default();
        for client in clients {
            outcomes.add(client.join().map_err(|_| io::Error::other("a client panicked: see above"))?);
        }
        exit.map(|exit| (outcomes, exit))
    })?;
    let signal = *signal.get().expect("it was sent, or there was an error");
    let log = log.lock().map(|log| log.clone()).unwrap_or_default();
    Ok(Stop { outcomes, signal, exit, log })
}

fn wait_and_stop(
    running: Running,
    load: &Load,
    clients: usize,
    signal: &OnceLock<Instant>,
) -> io::Result<Exit> {
    let since = Instant::now();
    while load.served.load(Ordering::Acquire) < clients {
        if since.elapsed() > WARM {
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
    running.wait(asked)
}
