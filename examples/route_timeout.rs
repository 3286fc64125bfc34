//! A time limit for one route: the client gets its answer in time even if the handler does not return.
//!
//! What goes wrong elsewhere: a time-out of the whole server (Go's `WriteTimeout`, a proxy's `read_timeout`) cuts the
//! connection without an answer, and cuts long streams too. Go's `TimeoutHandler` does answer, but forgets the handler
//! that still runs. `Shutdown` does not wait for that handler, and the process ends in the middle of its work. In async
//! servers the time-out drops the handler at its current await point, even if the work is half done there.
//!
//! Here the loop answers 503 at the deadline, and the connection goes on with its next request. The loop cancels the
//! handler's context, and the handler returns at a point of its choice. A handler that ignores its context runs on, and
//! its answer is thrown away. A stop waits for that handler within the policy's bounds, and names the handler if it
//! does not return.
//!
//! Try: `cargo run --example route_timeout`, which plays the client itself. To be the client, give an address:
//! `cargo run --example route_timeout 127.0.0.1:8080`. Then run `curl -i http://127.0.0.1:8080/polite`, `/stubborn` and
//! `/quick`. End the program with `curl -X POST http://127.0.0.1:8080/exit`.

use std::{
    env,
    io::{self, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use softstop::{Request, Router, Server, StatusCode, StopPolicy, route};

/// The time limit of each route, and the time of a handler that is not cancelled.
const LIMIT: Duration = Duration::from_millis(200);
const WORK: Duration = Duration::from_millis(900);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given = env::args().nth(1);
    let polite = |request: &Request| match request.context().sleep(WORK) {
        Ok(()) => "done\n".to_owned(),
        Err(cause) => {
            println!("polite: given up, {cause}");
            "nobody reads this\n".to_owned()
        }
    };
    let stubborn = |_: &Request| {
        thread::sleep(WORK); // a library call that knows nothing of contexts
        println!("stubborn: done, and nobody reads it");
        "nobody reads this\n"
    };
    let exit = |request: &Request| {
        request.server().request_stop(StopPolicy::default());
        "good bye\n"
    };
    let routes = Router::new()
        .get("/polite", route(polite).timeout(LIMIT))
        .get("/stubborn", route(stubborn).timeout_with(LIMIT, (StatusCode::GATEWAY_TIMEOUT, "not today\n")))
        .get("/quick", route(|_| "quick\n").timeout(LIMIT))
        .post("/exit", route(exit).inline());
    let server = Server::builder().listen(given.as_deref().unwrap_or("127.0.0.1:0")).routes(routes).build();
    server.start()?;
    for address in server.socket_addrs() {
        println!("listening on http://{address}/");
        if given.is_none() {
            play(address)?;
        }
    }
    println!("{}", server.wait());
    Ok(())
}

/// Sends four requests on one connection. Each request gets its own answer, in order.
fn play(address: SocketAddr) -> io::Result<()> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    for request in ["GET /polite", "GET /stubborn", "GET /quick"] {
        write!(stream, "{request} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    }
    write!(stream, "POST /exit HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let answers = io::read_to_string(stream)?;
    for line in answers.lines().filter(|line| line.starts_with("HTTP/1.1 ")) {
        println!("answer: {line}");
    }
    println!("all after {:.1?}", began.elapsed());
    Ok(())
}
