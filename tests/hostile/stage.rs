//! The setup of every attack: a server, a well-behaved client beside the hostile one, and counts of the process's
//! descriptors and threads before, during and after the attack.
//!
//! ```text
//!   server starts | polite client ....................... | all its requests have succeeded
//!                 |    attack(address) ................   | descriptors and threads are back
//!                 |                                       | server stops: they are back to before the start
//! ```

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use softstop::{Request, Router, Server, ServerBuilder, StopPolicy, report::StopReport, route};

use crate::client::{Answer, Client, HUNG};

/// The name of the attacked servers. The names of the servers' threads begin with this name, so that the tests can tell
/// these threads from their own.
const NAME: &str = "attacked";
const LOOPS: usize = 2;
const WORKERS: usize = 4;
/// The least number of rounds that the polite client makes during an attack.
const ROUNDS: usize = 20;
/// The largest number of new connections of the polite client. More connections would use up the ports that attacks
/// need.
const NEW_CONNECTIONS: usize = 1000;
/// A content that the server copies after the head.
pub(crate) const MEDIUM: &[u8] = &[b'm'; 8 * 1024];
/// A content that no socket buffer takes whole.
pub(crate) static LARGE: [u8; 10_000_000] = [b'x'; 10_000_000];

/// Attacks take turns, because descriptors and memory belong to the whole process.
static ALONE: Mutex<()> = Mutex::new(());

pub(crate) fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `play` against a server beside a polite client. Checks that neither this client nor the server suffers from the
/// attack.
#[track_caller]
pub(crate) fn attack(
    configure: impl FnOnce(ServerBuilder) -> ServerBuilder,
    play: impl FnOnce(SocketAddr),
) -> StopReport {
    let _alone = alone();
    let before = descriptors();
    let builder = Server::builder().name(NAME).listen("127.0.0.1:0").loops(LOOPS).max_workers(WORKERS);
    let server = configure(builder.routes(routes())).build();
    server.start().unwrap();
    let address = server.socket_addrs()[0];
    let serving = descriptors();

    beside_polite(address, || play(address));

    wait_until("the attack's connections are closed", || descriptors() == serving);
    assert!(threads("attacked worker") <= WORKERS);
    let report = server.stop(StopPolicy::default());
    assert!(report.is_clean(), "{report}");
    drop(server);
    wait_until("everything is given back", || descriptors() == before && threads(NAME) == 0);
    report
}

/// Runs `play` while a well-behaved client makes requests. The server must answer all of these requests.
#[track_caller]
pub(crate) fn beside_polite(address: SocketAddr, play: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let polite = scope.spawn(|| be_polite(address, &over));
        // The flag is set even if the attack fails, because the polite client would otherwise go on for ever.
        let _over = SetWhenDropped(&over);
        play();
        over.store(true, Ordering::Relaxed);
        assert!(polite.join().unwrap() >= ROUNDS);
    });
}

struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// In each round, makes one request on a kept connection and one on a new connection. The rounds alternate between
/// inline and pool.
fn be_polite(address: SocketAddr, over: &AtomicBool) -> usize {
    let mut kept = Client::connect(address);
    let mut rounds = 0;
    while rounds < ROUNDS || !over.load(Ordering::Relaxed) {
        let path = if rounds % 2 == 0 { "inline" } else { "pool" };
        let expected =
            |close| Answer { status: 200, close, content: format!("{path} {rounds}").into_bytes() };
        kept.send(format!("GET /{path}?number={rounds} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(kept.answer(), expected(false));
        if rounds < NEW_CONNECTIONS {
            let mut new = Client::connect(address);
            let close = "Connection: close\r\n";
            new.send(format!("GET /{path}?number={rounds} HTTP/1.1\r\nHost: a\r\n{close}\r\n"));
            assert_eq!(new.answer(), expected(true));
            new.assert_ended();
        }
        rounds += 1;
    }
    rounds
}

/// The routes of every server here. Attacks may add more routes.
pub(crate) fn routes() -> Router {
    let number = |request: &Request| request.query("number").unwrap_or_default().into_owned();
    let length = |request: &Request| request.body().len().to_string();
    let count = |request: &Request| match std::io::copy(&mut request.reader(), &mut std::io::sink()) {
        Ok(bytes) => bytes.to_string(),
        Err(error) => format!("cut short: {error}"),
    };
    Router::new()
        .get("/inline", route(move |request: &Request| format!("inline {}", number(request))).inline())
        .get("/pool", move |request: &Request| format!("pool {}", number(request)))
        .get("/medium", route(|_: &Request| MEDIUM).inline())
        .get("/large", route(|_: &Request| &LARGE[..]).inline())
        .post("/buffered", length)
        .post("/streamed", route(count).streamed())
}

/// Waits until the condition holds. The bound only detects a hang.
#[track_caller]
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < HUNG, "not within {HUNG:?}: {what}; {} descriptors", descriptors());
        thread::yield_now();
    }
}

pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The number of threads whose name begins with `name`.
fn threads(name: &str) -> usize {
    let names = fs::read_dir("/proc/self/task").unwrap();
    // A thread may end between the listing and the read.
    let names = names.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|known| known.starts_with(name)).count()
}

/// The resident memory of this process, in bytes.
pub(crate) fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// The number of descriptors that this process may still open, minus a reserve for everything else.
pub(crate) fn spare_descriptors() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let soft: usize = line.split_whitespace().next().unwrap().parse().unwrap();
    soft.saturating_sub(descriptors() + 64)
}
