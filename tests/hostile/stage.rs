//! Where every attack takes place: a server, a well-behaved client beside the hostile one, and a count of what the
//! process holds before, while and after.
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

/// Threads of the servers here are named after them, which is how they are told from the test's own.
const NAME: &str = "attacked";
const LOOPS: usize = 2;
const WORKERS: usize = 4;
/// Rounds of the polite client that an attack has to let pass at least.
const ROUNDS: usize = 20;
/// New connections of the polite client at most: it must not use up the ports that attacks need.
const NEW_CONNECTIONS: usize = 1000;
/// Content that is copied behind its head.
pub(crate) const MEDIUM: &[u8] = &[b'm'; 8 * 1024];
/// Content that no socket buffer takes whole.
pub(crate) static LARGE: [u8; 10_000_000] = [b'x'; 10_000_000];

/// Descriptors and memory are the process's, so attacks take turns.
static ALONE: Mutex<()> = Mutex::new(());

pub(crate) fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets `play` loose on a server beside a polite client, and checks that neither that client nor the server is any the
/// worse for it.
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
    let address = server.addresses()[0];
    let serving = descriptors();

    beside_polite(address, || play(address));

    wait_until("its connections are closed", || descriptors() == serving);
    assert!(threads("attacked worker") <= WORKERS);
    let report = server.stop(StopPolicy::default());
    assert!(report.is_clean(), "{report}");
    drop(server);
    wait_until("everything is given back", || descriptors() == before && threads(NAME) == 0);
    report
}

/// Runs `play` while a well-behaved client makes requests, all of which must be answered.
#[track_caller]
pub(crate) fn beside_polite(address: SocketAddr, play: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let polite = scope.spawn(|| be_polite(address, &over));
        // Even if the attack fails: the polite client must not go on for ever.
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

/// One request on a kept connection, one on a new connection, and so on: inline and on the pool by turns.
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

/// What every server here serves; attacks may add to it.
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

/// Bounded only to detect a hang.
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

/// Threads whose name begins so.
fn threads(name: &str) -> usize {
    let names = fs::read_dir("/proc/self/task").unwrap();
    // A thread may end between the two looks.
    let names = names.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|known| known.starts_with(name)).count()
}

/// Resident bytes of this process.
pub(crate) fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// How many descriptors this process may still open, with some left for everything else.
pub(crate) fn spare_descriptors() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let soft: usize = line.split_whitespace().next().unwrap().parse().unwrap();
    soft.saturating_sub(descriptors() + 64)
}
