//! Compares the cost of kept-alive requests: softstop with the bare loop, and its worker pool with its inline handlers.
//!
//! Run `cargo bench --bench keep_alive [-- --rounds N --seconds N --connections N]`. The bench needs `wrk` (Debian: apt-get
//! install wrk) and Linux, because /proc tells how much processor time a server has used. Each server is a process of its
//! own, on one loop. The rounds are interleaved (A B C A B C ...). The table shows medians with their spread.

#![allow(missing_docs, clippy::unwrap_used)]

mod bare_loop;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use softstop::{Request, Router, Server, route};

const SERVERS: [&str; 3] = ["bare loop", "softstop, inline", "softstop, pool"];
/// Clock ticks a second in /proc. The number is part of the kernel's interface, and the same on every architecture.
const TICKS: f64 = 100.0;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let Some(position) = arguments.iter().position(|argument| argument == "--serve") {
        return serve(&arguments[position + 1]);
    }
    let option = |name: &str, default: u32| {
        let position = arguments.iter().position(|argument| argument == name);
        position.map_or(default, |position| arguments[position + 1].parse().expect("a number"))
    };
    let (rounds, seconds) = (option("--rounds", 5), option("--seconds", 3));
    let connections = option("--connections", 64);
    if Command::new("wrk").arg("--version").output().is_err() {
        println!("keep_alive: not measured, because wrk is not installed (Debian: apt-get install wrk)");
        return;
    }
    println!("{rounds} rounds of {seconds} s each, wrk -t1 -c{connections}\n");
    let mut servers: Vec<Measured> = SERVERS.iter().map(|name| Measured::start(name)).collect();
    for _ in 0..rounds {
        servers.iter_mut().for_each(|server| server.round(connections, seconds));
    }
    let base = servers[0].median(|sample| sample.microseconds);
    println!("| server | requests/s | CPU per request | spread | of the bare loop's CPU |");
    println!("| --- | --- | --- | --- | --- |");
    for server in &servers {
        let cpu = server.median(|sample| sample.microseconds);
        let spread = server.spread(|sample| sample.microseconds);
        println!(
            "| {} | {:.0} | {cpu:.2} us | {:.2} to {:.2} us | {:.2} |",
            server.name,
            server.median(|sample| sample.rate),
            spread.0,
            spread.1,
            cpu / base
        );
    }
    let rate = |position: usize| servers[position].median(|sample| sample.rate);
    println!("\npool / inline, requests/s: {:.2}", rate(2) / rate(1));
}

fn serve(kind: &str) {
    if kind == SERVERS[0] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        println!("{}", listener.local_addr().unwrap());
        return bare_loop::serve(listener, 1).unwrap();
    }
    let hello = |_: &Request| "Hello, world!";
    let routes = Router::new();
    let routes =
        if kind == SERVERS[1] { routes.get("/", route(hello).inline()) } else { routes.get("/", hello) };
    let server = Server::builder().listen("127.0.0.1:0").loops(1).routes(routes).build();
    server.start().unwrap();
    println!("{}", server.socket_addrs()[0]);
    server.wait();
}

struct Measured {
    name: &'static str,
    process: Child,
    url: String,
    samples: Vec<Sample>,
}

struct Sample {
    rate: f64,
    microseconds: f64,
}

impl Measured {
    fn start(name: &'static str) -> Measured {
        let program = env::current_exe().unwrap();
        let mut process =
            Command::new(program).args(["--serve", name]).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Measured { name, process, url: format!("http://{}/", address.trim()), samples: Vec::new() }
    }

    fn round(&mut self, connections: u32, seconds: u32) {
        let before = self.processor_seconds();
        let output = Command::new("wrk")
            .args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), &self.url])
            .output()
            .unwrap();
        let used = self.processor_seconds() - before;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!text.contains("errors"), "{}: {text}", self.name);
        let requests: f64 = number_before(&text, " requests in");
        let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")).unwrap();
        self.samples.push(Sample { rate: rate.trim().parse().unwrap(), microseconds: used * 1e6 / requests });
    }

    fn processor_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
        (ticks(11) + ticks(12)) / TICKS
    }

    fn sorted(&self, of: fn(&Sample) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> = self.samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn median(&self, of: fn(&Sample) -> f64) -> f64 {
        let values = self.sorted(of);
        values[values.len() / 2]
    }

    fn spread(&self, of: fn(&Sample) -> f64) -> (f64, f64) {
        let values = self.sorted(of);
        (values[0], values[values.len() - 1])
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn number_before(text: &str, what: &str) -> f64 {
    let end = text.find(what).unwrap();
    text[..end].split_whitespace().next_back().unwrap().parse().unwrap()
}
