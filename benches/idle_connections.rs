//! Measures the memory of an idle connection: the resident memory of the server after one request on each connection.
//!
//! Run `cargo bench --bench idle_connections [-- --runs N]`. The bench needs Linux, because /proc tells how much memory is
//! resident. The server is a process of its own, and this process has the clients. The memory of the kernel for a socket is not
//! included.

#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

use softstop::{Request, Router, Server, route};

const CROWDS: [usize; 3] = [1_000, 5_000, 10_000];
/// The most bytes that an idle connection should take.
const TARGET: f64 = 512.0;
/// The environment variable that says that this program has raised its limit of descriptors already.
const RAISED: &str = "SOFTSTOP_BENCH_DESCRIPTORS_RAISED";

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let Some(position) = arguments.iter().position(|argument| argument == "--serve") {
        return serve(&arguments[position + 1]);
    }
    if env::var_os(RAISED).is_none() {
        let raise = "ulimit -n $(ulimit -Hn); exec \"$0\" \"$@\"";
        let mut again = Command::new("sh");
        again.args(["-c", raise]).args(&arguments).env(RAISED, "yes");
        panic!("cannot start again: {}", again.exec());
    }
    let position = arguments.iter().position(|argument| argument == "--runs");
    let runs: usize = position.map_or(3, |position| arguments[position + 1].parse().expect("a number"));
    println!("| handler | connections | resident before | with them | bytes each |");
    println!("| --- | --- | --- | --- | --- |");
    let mut worst = 0.0_f64;
    for handler in ["inline", "pool"] {
        for crowd in CROWDS {
            for _ in 0..runs {
                let (before, with) = measure(handler, crowd);
                let each = (with - before) as f64 / crowd as f64;
                println!("| {handler} | {crowd} | {} KiB | {} KiB | {each:.0} |", before / 1024, with / 1024);
                if crowd == CROWDS[2] {
                    worst = worst.max(each);
                }
            }
        }
    }
    let verdict = if worst <= TARGET { "within" } else { "ABOVE" };
    println!("\nwith {}: at most {worst:.0} bytes each, {verdict} the target of {TARGET}", CROWDS[2]);
}

fn serve(handler: &str) {
    let hello = |_: &Request| "Hello, world!";
    let routes = match handler {
        "inline" => Router::new().get("/", route(hello).inline()),
        _ => Router::new().get("/", hello),
    };
    let server = Server::builder().listen("127.0.0.1:0").routes(routes).build();
    server.start().unwrap();
    println!("{}", server.socket_addrs()[0]);
    server.wait();
}

/// Resident bytes of a new server, without and with this many connections.
fn measure(handler: &str, crowd: usize) -> (usize, usize) {
    let mut process = Process::start(handler);
    let address = process.address();
    // The first requests of the loops and of the pool allocate memory that belongs to no connection.
    let warm: Vec<TcpStream> = (0..8).map(|_| greeted(address)).collect();
    let before = process.resident();
    let clients: Vec<TcpStream> = (0..crowd).map(|_| greeted(address)).collect();
    let with = process.resident();
    drop((warm, clients));
    (before, with)
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

struct Process(Child);

impl Process {
    fn start(handler: &str) -> Process {
        let program = env::current_exe().unwrap();
        let child = Command::new(program).args(["--serve", handler]).stdout(Stdio::piped()).spawn();
        Process(child.unwrap())
    }

    fn address(&mut self) -> SocketAddr {
        let mut address = String::new();
        BufReader::new(self.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
        address.trim().parse().unwrap()
    }

    fn resident(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
