//! A picture of a stop: which requests were in flight, which ones the stop waited for, and which one delayed the stop.
//!
//! What goes wrong elsewhere: a shutdown takes five seconds, or loses a request, and the log shows only the first and
//! the last line. The developer adds prints and tries again, and now the shutdown takes one second.
//!
//! Here the server tells an observer about its events, and a recorder writes them down. The recording is a value that a
//! program can inspect. The recording can also draw itself: phases are bands, connections are lanes, requests are bars,
//! and the stop is a line. A handler that is left behind is labelled with its method, its target, and the place where
//! it was stuck.
//!
//! Try: `cargo run --example timeline`, and open `timeline.svg` in a browser. Then try `timeline FILE.svg 3 1`, `30 3`
//! or `3000 1`. The numbers are the count of requests and the count of servers. Add `stubborn` for a handler that
//! ignores the stop.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::{env, fs, process, thread, time::Duration};

use softstop::observe::Recorder;
use softstop::{Request, Router, Server, StatusCode, StopPolicy, route};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let argument = |place: usize| arguments.get(place).map(String::as_str);
    let file = argument(0).unwrap_or("timeline.svg");
    let requests: usize = argument(1).unwrap_or("30").parse()?;
    let number: usize = argument(2).unwrap_or("2").parse()?;
    let is_stubborn = argument(3) == Some("stubborn");

    let recorder = Recorder::new();
    let names = ["orders", "search", "images"];
    let servers: Vec<Server> = names[..number.clamp(1, 3)]
        .iter()
        .map(|name| {
            let builder =
                Server::builder().name(*name).listen("127.0.0.1:0").routes(routes()).max_workers(64);
            builder.observer(recorder.clone()).build()
        })
        .collect();
    for (place, server) in servers.iter().enumerate() {
        server.start()?;
        let address = server.socket_addrs()[0];
        for client in 0..requests.div_ceil(3 * servers.len()) {
            thread::spawn(move || ask(address, place + client, 3));
        }
        if is_stubborn {
            thread::spawn(move || converse(address, &["GET /stubborn?order=42".to_owned()]));
        }
    }
    thread::sleep(Duration::from_millis(350)); // how long the servers serve before the stop
    let policy =
        StopPolicy::default().grace(Duration::from_millis(400)).cancel_grace(Duration::from_millis(150));
    servers.iter().for_each(|server| server.handle().request_stop(policy));
    for server in &servers {
        println!("{}", server.wait());
    }
    fs::write(file, recorder.recording().to_svg())?;
    println!("drawn: {file}");
    process::exit(0) // exit without waiting for a stubborn handler
}

fn routes() -> Router {
    let work = |request: &Request| {
        let time = request.query("ms").and_then(|ms| ms.parse().ok()).unwrap_or(100);
        match request.context().sleep(Duration::from_millis(time)) {
            Ok(()) => (StatusCode::OK, "done\n".to_owned()),
            Err(cause) => (StatusCode::SERVICE_UNAVAILABLE, format!("given up: {cause}\n")),
        }
    };
    let stubborn = |_: &Request| thread::sleep(Duration::from_secs(60)); // a sleep that no context can end
    Router::new().get("/", route(|_| "quick\n").inline()).get("/work", work).get("/stubborn", stubborn)
}

/// Sends a client's requests one after the other on one connection. Some requests are quick, others are slow.
fn ask(address: SocketAddr, client: usize, requests: usize) -> io::Result<()> {
    thread::sleep(Duration::from_millis(client as u64 * 37 % 290));
    let target = |request: usize| match (client * 7 + request * 3) % 8 {
        0 => "GET /".to_owned(),
        kind => format!("GET /work?ms={}", kind * kind * 6),
    };
    converse(address, &(0..requests).map(target).collect::<Vec<_>>())
}

fn converse(address: SocketAddr, requests: &[String]) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    for request in requests {
        write!(stream, "{request} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
        // Each response fits in the buffer, and one read returns the whole response.
        if stream.read(&mut [0; 1024])? == 0 {
            break;
        }
    }
    stream.read(&mut [0]).map(drop) // until the server closes
}
