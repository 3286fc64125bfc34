//! Downloads share the workers with requests. Content from a reader takes a worker for one piece at a time. A download
//! whose client does not read takes no worker.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};

use softstop::{
    Body, Cause, Request, Response, Router, Server, StatusCode, StopPolicy, report::CloseReason, route,
    routing::IntoRoute,
};

use crate::{
    assert_cut, read_chunks,
    support::{
        client::{Client, get},
        gate::{Gate, gate},
        in_background, local, patient, soon, start, until,
    },
};

/// More than the kernel's buffers on both sides hold, for a client with a small window.
const LARGE: usize = 6_000_007;

fn answer(body: Body) -> Response {
    Response::new(StatusCode::OK).with_body(body)
}

fn content(length: usize) -> Arc<[u8]> {
    (0..length).map(|position| (position * 31 % 251) as u8).collect()
}

/// A reader that gives its content in pieces of these sizes. After the last size, the sizes begin again.
struct InPieces {
    content: Arc<[u8]>,
    at: usize,
    sizes: &'static [usize],
    reads: usize,
}

impl InPieces {
    fn new(content: &Arc<[u8]>, sizes: &'static [usize]) -> InPieces {
        InPieces { content: Arc::clone(content), at: 0, sizes, reads: 0 }
    }
}

impl Read for InPieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes[self.reads % self.sizes.len()];
        self.reads += 1;
        let size = size.min(buffer.len());
        let count = (&self.content[self.at..]).read(&mut buffer[..size])?;
        self.at += count;
        Ok(count)
    }
}

/// A reader that reports each call, and may wait in each read, or in its drop, until the test lets it go on.
struct Watched {
    tell: mpsc::Sender<Told>,
    at_read: Option<Gate>,
    at_drop: Option<Gate>,
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Read,
    Dropped,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        _ = self.tell.send(Told::Read);
        if let Some(gate) = &self.at_read {
            gate.pass();
        }
        buffer.fill(b'x');
        Ok(buffer.len())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(gate) = &self.at_drop {
            gate.pass();
        }
        _ = self.tell.send(Told::Dropped);
    }
}

/// The same routes on the pool and on the loop.
fn both<R: IntoRoute>(routes: Router, name: &str, make: impl Fn() -> R) -> Router {
    routes.get(&format!("/pool/{name}"), make()).get(&format!("/inline/{name}"), make().into_route().inline())
}

fn with_me(routes: Router) -> Router {
    routes.get("/me", |_: &Request| "me")
}

#[track_caller]
fn assert_serves(address: std::net::SocketAddr) {
    assert_eq!(Client::connect(address).get("/me").text(), "me");
}

fn no_worker_is_busy(server: &Server) -> bool {
    server.handle().metrics().busy_workers == 0
}

#[test]
fn twenty_clients_that_read_nothing_leave_two_workers_to_requests_and_get_everything_later() {
    const SIZES: &[usize] = &[1, 65_536, 7, 65_535, 40_000, 12_345, usize::MAX];
    let whole = content(LARGE);
    let path = file_of(&whole, "twenty");
    let routes = both(with_me(Router::new()), "file", || {
        let path = path.clone();
        move |_: &Request| answer(Body::from_file(File::open(&path).unwrap()).unwrap())
    });
    let routes = both(routes, "reader", || {
        let whole = Arc::clone(&whole);
        move |_: &Request| answer(Body::from_reader(InPieces::new(&whole, SIZES)))
    });
    let (server, address) = start(local().max_workers(2).routes(routes));
    let mut clients = Vec::new();
    for number in 0..20 {
        let mut client = Client::connect_with_small_window(address);
        let is_file = number % 4 < 2;
        client.send(get(["/pool/file", "/inline/file", "/pool/reader", "/inline/reader"][number % 4]));
        let head = client.read_response_head();
        assert_eq!(head.field("Content-Length").is_some(), is_file);
        clients.push((client, is_file));
    }
    assert_serves(address);
    until("no worker waits for a client that does not read", || no_worker_is_busy(&server));
    assert_serves(address);
    for (mut client, is_file) in clients {
        let taken = if is_file { client.read_bytes(LARGE) } else { read_chunks(&mut client) };
        assert!(taken == *whole, "the content differs");
        assert_eq!(client.get("/me").text(), "me", "the connection stays open");
    }
    let report = server.stop(patient());
    assert!(report.is_clean(), "{report}");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_content_that_nobody_wants_is_never_read() {
    let (tell, told) = mpsc::channel();
    let mut routes = with_me(Router::new());
    for (name, status) in [("ok", 200), ("204", 204), ("205", 205), ("304", 304)] {
        routes = both(routes, name, || {
            let tell = tell.clone();
            move |_: &Request| {
                let reader = Watched { tell: tell.clone(), at_read: None, at_drop: None };
                Response::new(StatusCode::from_u16(status).unwrap()).with_body(Body::from_reader(reader))
            }
        });
        routes = both(routes, &format!("nothing-{name}"), || {
            let tell = tell.clone();
            move |_: &Request| {
                let reader = Watched { tell: tell.clone(), at_read: None, at_drop: None };
                Response::new(StatusCode::from_u16(status).unwrap())
                    .with_body(Body::from_reader(reader).with_length(0))
            }
        });
    }
    let (server, address) = start(local().max_workers(2).routes(routes));
    let mut client = Client::connect(address);
    for place in ["pool", "inline"] {
        for name in ["ok", "204", "205", "304", "nothing-ok", "nothing-204"] {
            client.send(get(&format!("/{place}/{name}")).replace("GET", "HEAD"));
            client.read_response_head();
            assert_eq!(soon(&told), Told::Dropped, "HEAD /{place}/{name}");
        }
        for name in ["204", "205", "304", "nothing-ok", "nothing-205"] {
            client.send(get(&format!("/{place}/{name}")));
            client.read_response_head();
            assert_eq!(soon(&told), Told::Dropped, "GET /{place}/{name}");
        }
    }
    assert_eq!(client.get("/me").text(), "me");
    assert!(server.stop(patient()).is_clean());
}

#[test]
fn the_end_of_a_reader_that_nobody_wants_holds_up_no_loop_and_no_answer() {
    let (tell, _told) = mpsc::channel();
    let (at_drop, held) = gate();
    let routes = both(with_me(Router::new()), "slow", || {
        let (tell, at_drop) = (tell.clone(), at_drop.clone());
        move |_: &Request| {
            let reader = Watched { tell: tell.clone(), at_read: None, at_drop: Some(at_drop.clone()) };
            answer(Body::from_reader(reader))
        }
    });
    // Only one reader at a time may be in its `Drop`, so that one of the two workers is left.
    let (server, address) = start(local().loops(1).max_workers(2).routes(routes));
    let mut client = Client::connect(address);
    for path in ["/pool/slow", "/inline/slow"] {
        client.send(get(path).replace("GET", "HEAD"));
        client.read_response_head();
    }
    held.wait_entered();
    assert_eq!(client.get("/me").text(), "me");
    // The reader of a client that leaves in the middle must not hold up an answer either.
    for path in ["/pool/slow", "/inline/slow"] {
        let mut gone = Client::connect_with_small_window(address);
        gone.send(get(path));
        gone.read_response_head();
        gone.reset();
    }
    assert_eq!(client.get("/me").text(), "me");
    drop(held);
    let report = server.stop(patient());
    assert!(report.stragglers.is_empty(), "{report}");
}

#[test]
fn a_reader_that_panics_in_its_drop_harms_nobody() {
    struct Bomb;
    impl Read for Bomb {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("on purpose, in a read")
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::panic_any(BadPayload);
        }
    }
    struct BadPayload;
    impl Drop for BadPayload {
        fn drop(&mut self) {
            panic!("on purpose, in the drop of a panic's payload")
        }
    }
    let routes = both(with_me(Router::new()), "bomb", || |_: &Request| answer(Body::from_reader(Bomb)));
    let (server, address) = start(local().max_workers(2).routes(routes));
    for path in ["/pool/bomb", "/inline/bomb"].repeat(3) {
        let mut client = Client::connect(address);
        client.send(get(path).replace("GET", "HEAD"));
        client.read_response_head();
        client.send(get(path));
        client.read_response_head();
        assert_cut(&mut client);
        assert_serves(address);
    }
    let report = server.stop(patient());
    assert!(report.stragglers.is_empty() && report.closes[CloseReason::BodyFailed] == 6, "{report}");
}

#[test]
fn a_reader_that_lies_about_what_it_has_read_cuts_the_response() {
    struct Liar;
    impl Read for Liar {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            Ok(buffer.len() + 1)
        }
    }
    let routes = both(Router::new(), "liar", || |_: &Request| answer(Body::from_reader(Liar)));
    let (server, address) = start(local().routes(routes));
    for path in ["/pool/liar", "/inline/liar"] {
        let mut client = Client::connect(address);
        client.send(get(path));
        client.read_response_head();
        assert_cut(&mut client);
    }
    assert!(server.stop(patient()).stragglers.is_empty());
}

#[test]
fn readers_that_block_hold_half_of_the_workers_at_most() {
    let (tell, told) = mpsc::channel();
    let (at_read, held) = gate();
    let routes = both(with_me(Router::new()), "stuck", || {
        let (tell, at_read) = (tell.clone(), at_read.clone());
        move |_: &Request| {
            let reader = Watched { tell: tell.clone(), at_read: Some(at_read.clone()), at_drop: None };
            answer(Body::from_reader(reader.take(10)))
        }
    });
    let (server, address) = start(local().max_workers(4).routes(routes));
    let mut clients = Vec::new();
    for path in ["/pool/stuck", "/inline/stuck"].repeat(4) {
        let mut client = Client::connect(address);
        client.send(get(path));
        client.read_response_head();
        clients.push(client);
    }
    held.wait_entered();
    held.wait_entered();
    for _ in 0..10 {
        assert_serves(address);
    }
    assert!(held.nobody_entered(), "two of the four workers read");
    assert_eq!(server.handle().metrics().busy_workers, 2);
    drop(held);
    for mut client in clients {
        assert_eq!(read_chunks(&mut client), b"xxxxxxxxxx");
    }
    // Each of the eight readers is read once and dropped once.
    let dropped = (0..16).filter(|_| soon(&told) == Told::Dropped).count();
    assert_eq!(dropped, 8);
    assert!(server.stop(patient()).is_clean());
}

#[test]
fn a_body_that_comes_too_late_is_not_read() {
    let (tell, told) = mpsc::channel();
    let (in_handler, held) = gate();
    let (begun, beginning) = mpsc::channel();
    let handler = move |request: &Request| {
        begun.send(request.context().clone()).unwrap();
        in_handler.pass();
        answer(Body::from_reader(Watched { tell: tell.clone(), at_read: None, at_drop: None }))
    };
    let routes = Router::new()
        .get("/gone", handler.clone())
        .get("/timed-out", route(handler).timeout(Duration::from_millis(1)));
    let (server, address) = start(local().routes(routes));
    let mut client = Client::connect(address);
    client.send(get("/gone"));
    held.wait_entered();
    client.reset();
    assert_eq!(soon(&beginning).wait(), Cause::ClientGone);
    held.let_one_go();
    assert_eq!(soon(&told), Told::Dropped, "the client has gone");
    // On a busy machine the time is over before the handler has begun. Then the handler never begins.
    until("a handler has begun before its time is over", || {
        assert_eq!(Client::connect(address).get("/timed-out").status, 503);
        !held.nobody_entered()
    });
    drop(held);
    assert_eq!(soon(&told), Told::Dropped, "the client has been answered already");
    assert!(server.stop(patient()).stragglers.is_empty());
}

#[test]
fn a_client_that_goes_in_the_middle_frees_the_reader_and_the_worker() {
    let (tell, told) = mpsc::channel();
    let routes = both(with_me(Router::new()), "endless", || {
        let tell = tell.clone();
        move |_: &Request| {
            answer(Body::from_reader(Watched { tell: tell.clone(), at_read: None, at_drop: None }))
        }
    });
    let (server, address) = start(local().max_workers(2).routes(routes));
    for path in ["/pool/endless", "/inline/endless"] {
        let mut client = Client::connect_with_small_window(address);
        client.send(get(path));
        client.read_response_head();
        until("the reader is parked", || no_worker_is_busy(&server));
        client.reset();
        while soon(&told) == Told::Read {}
    }
    assert!(server.stop(patient()).stragglers.is_empty());
}

/// Requests and downloads share one worker.
#[test]
fn neither_requests_nor_downloads_starve() {
    let whole = content(LARGE);
    let routes = with_me(Router::new())
        .get("/endless", |_: &Request| answer(Body::from_reader(io::repeat(b'x'))))
        .get("/whole", {
            let whole = Arc::clone(&whole);
            move |_: &Request| answer(Body::from_reader(InPieces::new(&whole, &[usize::MAX])))
        });
    let (server, address) = start(local().max_workers(1).routes(routes));
    let mut endless = Client::connect(address);
    endless.send(get("/endless"));
    let mut endless = endless.sender();
    // This client reads as fast as it can, until its server has gone.
    let downloaded = in_background(move || io::copy(&mut endless, &mut io::sink()).unwrap_or(1));
    for _ in 0..100 {
        assert_serves(address);
    }
    let (stop, stopped) = mpsc::channel::<()>();
    let asking = in_background(move || {
        let mut client = Client::connect(address);
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            client.send(get("/me").repeat(20));
            (0..20).for_each(|_| _ = client.read_response());
        }
    });
    let mut client = Client::connect(address);
    client.send(get("/whole"));
    client.read_response_head();
    assert!(read_chunks(&mut client) == *whole);
    drop(stop);
    soon(&asking);
    let short = Duration::from_millis(20);
    server.stop(StopPolicy::default().grace(short).cancel_grace(short));
    assert!(soon(&downloaded) > 0);
}

// ---- files --------------------------------------------------------------------------------------------------------

fn file_of(content: &[u8], name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("softstop-test-{name}-{}", std::process::id()));
    File::create(&path).unwrap().write_all(content).unwrap();
    path
}

fn serve_file(path: PathBuf) -> (Server, Client) {
    let (server, address) = start(local().routes(both(Router::new(), "file", || {
        let path = path.clone();
        move |_: &Request| answer(Body::from_file(File::open(&path).unwrap()).unwrap())
    })));
    (server, Client::connect_with_small_window(address))
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_is_made_when_it_is_read_is_sent_in_chunks() {
    for path in ["/proc/version", "/sys/class/net/lo/mtu"] {
        let Ok(expected) = std::fs::read(path) else { continue };
        let (_server, mut client) = serve_file(path.into());
        for place in ["pool", "inline"] {
            client.send(get(&format!("/{place}/file")));
            let head = client.read_response_head();
            assert_eq!(head.field("Transfer-Encoding"), Some("chunked"), "{path}");
            assert_eq!(read_chunks(&mut client), expected, "{path}");
        }
        client.send("GET /pool/file HTTP/1.0\r\n\r\n");
        client.read_response_head();
        assert_eq!(client.read_to_end(), expected, "{path}");
    }
}

#[test]
fn an_empty_file_and_what_is_no_file_are_sent_whole() {
    let path = file_of(b"", "empty");
    for path in [path.clone(), "/dev/null".into()] {
        let (_server, mut client) = serve_file(path);
        client.send(get("/pool/file"));
        client.read_response_head();
        assert_eq!(read_chunks(&mut client), b"");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_file_that_shrinks_is_cut_and_one_that_grows_is_not_lengthened() {
    let whole = content(LARGE);
    let path = file_of(&whole, "changing");
    let (server, mut client) = serve_file(path.clone());
    client.send(get("/pool/file"));
    assert_eq!(client.read_response_head().content_length(), LARGE);
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"and more").unwrap();
    assert!(client.read_bytes(LARGE) == *whole);
    client.send(get("/inline/file"));
    assert_eq!(client.read_response_head().content_length(), LARGE + 8);
    until("the server has read ahead", || no_worker_is_busy(&server));
    OpenOptions::new().write(true).open(&path).unwrap().set_len(1000).unwrap();
    let taken = client.read_all_there_is();
    assert!(taken.len() < LARGE && taken == whole[..taken.len()]);
    let report = server.stop(patient());
    assert_eq!(report.closes[CloseReason::BodyFailed], 1, "{report}");
    std::fs::remove_file(path).unwrap();
}
