//! Measures stops that have nothing to wait for: of an idle server, of a server with thousands of idle connections, and from
//! the last response in flight to the return of `stop`.
//!
//! Run `cargo bench --bench stop_idle [-- --rounds N --crowd N]` on Linux. The server and the measurement are in this process.
//! The clients are in another process, which reacts to nothing. For comparison, the bench measures the least cost of closing
//! as many sockets, in turn with the stops: one bare loop per core closes its share of such connections, and does nothing else.

#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{Barrier, mpsc},
    thread,
    time::{Duration, Instant},
};

use mio::{Interest, Poll, Token};
use softstop::{Request, Router, Server, StopPolicy, route};

/// Numbers of connections, as far as there are descriptors, and the time in which a stop should be over.
const CROWDS: [(usize, &str); 2] = [(5_000, "10 ms"), (20_000, "")];
/// Descriptors for everything except connections.
const SPARE_DESCRIPTORS: usize = 100;
const ROUNDS: usize = 200;
const ROUNDS_OF_A_CROWD: usize = 7;
/// The environment variable that says that this program has raised its limit of descriptors already.
const RAISED: &str = "SOFTSTOP_BENCH_DESCRIPTORS_RAISED";
/// Longer than a quiet period, and longer than a server with recent clients looks for half-open handshakes.
const UNTIL_IDLE: Duration = Duration::from_millis(1_600);

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let Some(position) = arguments.iter().position(|argument| argument == "--clients") {
        return hold(arguments[position + 1].parse().unwrap(), arguments[position + 2].parse().unwrap());
    }
    if env::var_os(RAISED).is_none() {
        let raise = "ulimit -n $(ulimit -Hn); exec \"$0\" \"$@\"";
        let mut again = Command::new("sh");
        again.args(["-c", raise]).args(&arguments).env(RAISED, "yes");
        panic!("cannot start again: {}", again.exec());
    }
    let option = |name: &str| {
        let position = arguments.iter().position(|argument| argument == name)?;
        Some(arguments[position + 1].parse::<usize>().expect("a number"))
    };
    let rounds = option("--rounds").unwrap_or(ROUNDS);
    println!("| stop | rounds | median | 99 of 100 | bare close | ratio | target |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    print("of an idle server", &mut times(rounds, stop_of_an_idle_server), None, "0.3 ms");
    print(
        "after the last response in flight",
        &mut times(rounds, lag_behind_the_last_response),
        None,
        "1 ms",
    );
    let room = descriptors() - SPARE_DESCRIPTORS;
    for (crowd, target) in option("--crowd").map_or(CROWDS.to_vec(), |crowd| vec![(crowd, "")]) {
        let crowd = crowd.min(room);
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS_OF_A_CROWD.min(rounds) {
            ours.push(stop_with_a_crowd(crowd));
            bare.push(close_a_crowd(crowd));
        }
        let name = format!("with {crowd} idle connections");
        print(&name, &mut ours, Some(&mut bare), target);
    }
}

/// The most descriptors of a process.
fn descriptors() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap_or(usize::MAX)
}

fn times(rounds: usize, measure: impl Fn() -> Duration) -> Vec<Duration> {
    // The first round does the work that is done only once, and is not counted.
    (0..=rounds).map(|_| measure()).skip(1).collect()
}

fn print(name: &str, times: &mut [Duration], bare: Option<&mut [Duration]>, target: &str) {
    let median = percentile(times, 50);
    let (bare, ratio) = match bare {
        Some(bare) => {
            let bare = percentile(bare, 50);
            (format!("{bare:.3?}"), format!("{:.2}", median.as_secs_f64() / bare.as_secs_f64()))
        }
        None => Default::default(),
    };
    let (count, late) = (times.len(), percentile(times, 99));
    println!("| {name} | {count} | {median:.3?} | {late:.3?} | {bare} | {ratio} | {target} |");
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100]
}

fn server() -> Server {
    let routes = Router::new().get("/", route(|_: &Request| "Hello, world!").inline());
    let server = Server::builder().listen("127.0.0.1:0").routes(routes).build();
    server.start().unwrap();
    server
}

fn stop_of_an_idle_server() -> Duration {
    let server = server();
    let began = Instant::now();
    let report = server.stop(StopPolicy::default());
    let took = began.elapsed();
    assert!(report.is_clean(), "{report}");
    took
}

/// The time from the moment the client has read the whole response. The stop waits for nothing else after it.
fn lag_behind_the_last_response() -> Duration {
    let (entered, is_entered) = mpsc::channel();
    let (release, released) = crossbeam_channel::bounded::<()>(1);
    let held = move |_: &Request| {
        entered.send(()).unwrap();
        released.recv().unwrap();
        "Hello, world!"
    };
    let server = Server::builder().listen("127.0.0.1:0").routes(Router::new().get("/", held)).build();
    server.start().unwrap();
    let address = server.socket_addrs()[0];
    let client = thread::spawn(move || {
        let stream = greeted(address);
        let read = Instant::now();
        drop(stream);
        read
    });
    is_entered.recv().unwrap();
    let handle = server.handle();
    handle.request_stop(StopPolicy::default());
    release.send(()).unwrap();
    let report = handle.wait();
    let ended = Instant::now();
    assert!(report.is_clean() && report.requests.completed == 1, "{report}");
    ended.saturating_duration_since(client.join().unwrap())
}

fn stop_with_a_crowd(crowd: usize) -> Duration {
    let server = server();
    let mut clients = Clients::start(server.socket_addrs()[0], crowd);
    clients.wait();
    thread::sleep(UNTIL_IDLE);
    let began = Instant::now();
    let report = server.stop(StopPolicy::default());
    let took = began.elapsed();
    assert!(report.is_clean() && report.requests.completed == crowd as u64, "{report}");
    took
}

fn close_a_crowd(crowd: usize) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut clients = Clients::start(listener.local_addr().unwrap(), crowd);
    let mut streams: Vec<TcpStream> = (0..crowd).map(|_| greet(listener.accept().unwrap().0)).collect();
    clients.wait();
    let loops = thread::available_parallelism().map_or(1, usize::from);
    let barrier = Barrier::new(loops + 1);
    thread::scope(|scope| {
        let mut closing = Vec::new();
        for number in 0..loops {
            let share = streams.split_off(streams.len() - streams.len() / (loops - number));
            let barrier = &barrier;
            closing.push(scope.spawn(move || {
                let poll = Poll::new().unwrap();
                let registered: Vec<_> = share.into_iter().map(|stream| register(&poll, stream)).collect();
                barrier.wait();
                drop(registered);
            }));
        }
        thread::sleep(UNTIL_IDLE);
        barrier.wait();
        let began = Instant::now();
        closing.into_iter().for_each(|thread| thread.join().unwrap());
        began.elapsed()
    })
}

fn register(poll: &Poll, stream: TcpStream) -> mio::net::TcpStream {
    stream.set_nonblocking(true).unwrap();
    let mut stream = mio::net::TcpStream::from_std(stream);
    poll.registry().register(&mut stream, Token(0), Interest::READABLE | Interest::WRITABLE).unwrap();
    stream
}

/// Answers one request.
fn greet(mut stream: TcpStream) -> TcpStream {
    let (mut request, mut length) = ([0; 512], 0);
    while !request[..length].ends_with(b"\r\n\r\n") {
        length += stream.read(&mut request[length..]).unwrap();
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!").unwrap();
    stream
}

// ---- clients --------------------------------------------------------------------------------------------------------

/// A process with this many connections. Each of them has got one answer.
struct Clients(Child);

impl Clients {
    fn start(address: SocketAddr, crowd: usize) -> Clients {
        let mut clients = Command::new(env::current_exe().unwrap());
        clients.args(["--clients", &address.to_string(), &crowd.to_string()]);
        Clients(clients.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Waits until all connections are established.
    fn wait(&mut self) {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "connected\n");
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn hold(address: SocketAddr, crowd: usize) {
    let clients: Vec<TcpStream> = (0..crowd).map(|_| greeted(address)).collect();
    println!("connected");
    // Until this process is killed, or its parent has ended.
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(clients);
}

/// A connection that has got one answer.
fn greeted(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let (mut answer, mut length) = ([0; 512], 0);
    while !answer[..length].ends_with(b"Hello, world!") {
        let count = stream.read(&mut answer[length..]).unwrap();
        assert!(count > 0, "the server closed");
        length += count;
    }
    stream
}
