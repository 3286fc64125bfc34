//! A time limit for one route: the answer comes in time, whatever the handler does.
//!
//! What goes wrong elsewhere: a time-out of the whole server (Go's `WriteTimeout`, a proxy's `read_timeout`) cuts the
//! connection without an answer, and kills long streams too. Go's `TimeoutHandler` does answer, but what still runs
//! behind it is forgotten: `Shutdown` does not wait for it, and it ends in the middle of something. In async servers
//! the time-out drops the handler where it stands, which need not be where it can stand.
//!
//! Here the loop answers 503 at the deadline, and the connection goes on with its next request. The handler's context
//! ends, and it returns where it likes. One that does not look runs on; what it answers is thrown away, but a stop
//! waits for it, within its bounds, and would name it.
//!
//! Try: `cargo run --example route_timeout`, which plays the client itself; or with an address, `cargo run --example
//! route_timeout 127.0.0.1:8080`, and `curl -i http://127.0.0.1:8080/polite`, `/stubborn`, `/quick`; end it with
//! `curl -X POST http://127.0.0.1:8080/exit`.

use std::{
    env,
    io::{self, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use softstop::{Request, Router, Server, StatusCode, StopPolicy, route};

/// What each of the two may take, and what it takes if nobody stops it.
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
    for address in server.addresses() {
        println!("listening on http://{address}/");
        if given.is_none() {
            play(address)?;
        }
    }
    println!("{}", server.wait());
    Ok(())
}

/// Four requests on one connection: each gets its own answer, in order.
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
