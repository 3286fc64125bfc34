//! Wrappers around every request: an access log, a request id, a rule for other origins, and a report of panics.
//!
//! What goes wrong elsewhere: middleware is a framework of its own, with types that wrap types, and an order that users
//! have to find out by trial. The access log lacks the 404s, because no route existed that could be wrapped. The answer
//! to a panic lacks the headers, because the panic skipped the wrapper that adds them. A client whose user agent is
//! `" 200 0 "-" "-"\n10.0.0.1 - admin` writes its own lines into the log.
//!
//! Here a wrapper is a closure that gets the request and the next step. The last wrapper added is the outermost. A
//! wrapper around a router also wraps the router's 404s. The outer wrappers see a panic as a 500. The log escapes the
//! client's text, so the text stays in its field.
//!
//! Try: `cargo run --example middleware`, which plays the client itself. To be the client, give an address:
//! `cargo run --example middleware 127.0.0.1:8080`. Then run `curl -i http://127.0.0.1:8080/` (`/fail`, `/none`,
//! `/api`, `/api/none`, `/metrics`). End the program with `curl -X POST http://127.0.0.1:8080/exit`.

use std::{
    env,
    io::{self, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicU64, Ordering},
};

use softstop::{
    IntoResponse, Request, Response, Router, Server, StatusCode, StopPolicy,
    middleware::{Next, access_log},
    routing::{IntoRoute, metrics_route},
};

struct RequestId(u64);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::Builder::new().filter_module("softstop::access", log::LevelFilter::Info).init();
    let given = env::args().nth(1);
    let requests = AtomicU64::new(0);
    let number = move |request: &Request, next: &Next| {
        let id = 1 + requests.fetch_add(1, Ordering::Relaxed);
        request.extensions().insert(RequestId(id)); // for the handler
        next.run(request).header("X-Request-Id", &id.to_string())
    };
    let exit = |request: &Request| {
        request.server().request_stop(StopPolicy::default());
        "good bye\n"
    };
    let nothing = |request: &Request| (StatusCode::NOT_FOUND, format!("the api has no {}\n", request.path()));
    let api = Router::new().get("/", |_: &Request| "this is the api\n").fallback(nothing).wrap(cross_origin);
    let routes = Router::new()
        .get("/", |request: &Request| {
            format!("you are request {}\n", request.extensions().get::<RequestId>().map_or(0, |id| id.0))
        })
        .get("/fail", |_: &Request| -> &'static str { panic!("the disk is on fire") })
        .get("/metrics", metrics_route().into_route().inline())
        .post("/exit", exit)
        .nest("/api", api)
        .wrap(report_panics)
        .wrap(number)
        .wrap(access_log());
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

/// Lets pages of another origin read the answers, 404s included.
fn cross_origin(request: &Request, next: &Next) -> Response {
    next.run(request).header("Access-Control-Allow-Origin", "https://example.org").header("Vary", "Origin")
}

/// Reports a panic, and answers with a text of the program's own.
fn report_panics(request: &Request, next: &Next) -> Response {
    next.try_run(request).unwrap_or_else(|panic| {
        println!("reported: {} {}: {panic}", request.method_str(), request.path());
        (StatusCode::INTERNAL_SERVER_ERROR, "we have been told, and are sorry\n").into_response()
    })
}

fn play(address: SocketAddr) -> io::Result<()> {
    for request in ["GET /", "GET /fail", "GET /none", "GET /api", "GET /api/none", "POST /exit"] {
        let mut stream = TcpStream::connect(address)?;
        let forged = "User-Agent: curl\" 200 0 \"-\" \"-";
        write!(stream, "{request} HTTP/1.1\r\nHost: {address}\r\n{forged}\r\nConnection: close\r\n\r\n")?;
        let response = io::read_to_string(stream)?;
        let (head, content) = response.split_once("\r\n\r\n").unwrap_or_default();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("none");
        let (id, origin) = (field("X-Request-Id: "), field("Access-Control-Allow-Origin: "));
        println!("{request}: {} (id {id}, origin {origin})", content.trim_end());
    }
    Ok(())
}
