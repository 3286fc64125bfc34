//! A server with every route that `softstop check` asks for. The server passes every check.
//!
//! What goes wrong elsewhere: tests stop a server while no client uses it. Only production shows how a stop treats
//! streams, upgraded connections, slow readers, and connections that wait in the kernel.
//!
//! Here each kind of route is one handler, and the stop has a policy: readiness says no while the server serves for one
//! more second, then the server drains. `softstop check` starts this server some fifty times, and tries every kind of
//! client at every stop.
//!
//! Try: `cargo build --example check_target`, then `softstop check --config examples/check_target.toml`.

use std::io::{Read, Write};
use std::sync::Arc;
use std::{env, error::Error, net::Shutdown, thread, time::Duration};

use softstop::{Body, Context, Group, Request, Response, Router, Server, Signal, StatusCode, StopPolicy};
use softstop::{IntoResponse, body::Upgraded, route};
use tungstenite::handshake::derive_accept_key;

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let large = Arc::new(vec![b'x'; 8 * 1024 * 1024]);
    let routes = Router::new()
        .get("/", route(|_| "hello").inline())
        .get("/readyz", route(ready).inline())
        .get("/slow", |request: &Request| match request.context().sleep(Duration::from_millis(700)) {
            Ok(()) => "slow".to_owned(),
            Err(cause) => format!("cut short: {cause}"),
        })
        .get("/large", route(move |_| Response::new(StatusCode::OK).with_body(Arc::clone(&large))).inline())
        .post("/post", |request: &Request| format!("{} bytes", request.body().len()))
        .get("/stream", stream)
        .get("/upgrade", upgrade)
        .get("/stuck", stuck);
    let server = Server::builder().name("target").listen(&address).routes(routes).build();
    let handle = server.handle();
    let policy = StopPolicy::default().lame_duck(Duration::from_secs(1));
    let signals = [Signal::Terminate, Signal::Interrupt, Signal::Hangup];
    let group = Group::new()
        .server(server)
        .policy(policy)
        .stop_on(&signals, move |_, count| Some(if count == 1 { policy } else { StopPolicy::now() }));
    let announce = move |_: &Context| {
        handle.addresses().iter().for_each(|address| println!("listening on {address}"));
        Ok::<_, String>(())
    };
    println!("{}", group.task("announce", announce).run()?);
    Ok(())
}

fn ready(request: &Request) -> Response {
    if request.server().is_ready() {
        "ready".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping").into_response()
    }
}

/// Sends until the client goes or the stop begins. After that, the body ends with its last chunk.
fn stream(_: &Request) -> Response {
    let (sender, body) = Body::stream(4096);
    thread::spawn(move || {
        let stopping = sender.context().stopping();
        while sender.send("tick\n").is_ok() && stopping.sleep(Duration::from_millis(50)).is_ok() {}
    });
    Response::new(StatusCode::OK).content_type("text/plain").with_body(body)
}

fn upgrade(request: &Request) -> Response {
    let key = request.header("Sec-WebSocket-Key").unwrap_or_default();
    let accept = derive_accept_key(key.as_bytes());
    request.upgrade("websocket", good_bye).header("Sec-WebSocket-Accept", &accept)
}

/// Reads until the stop begins, because the stop shuts the read side down. Then tells the client that the server goes
/// away.
fn good_bye(mut connection: Upgraded, context: &Context) {
    /// A Close frame with code 1001 (RFC 6455 section 7.4.1).
    const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xe9];
    let socket = connection.stream().try_clone();
    let _hint =
        context.stopping().on_cancel(move |_| _ = socket.map(|socket| socket.shutdown(Shutdown::Read)));
    while connection.read(&mut [0; 1024]).is_ok_and(|count| count > 0) {}
    if let Err(error) = connection.write_all(&GOING_AWAY) {
        println!("the client was gone: {error}");
    }
}

/// A handler that never returns. The stop names the handler in its report, and leaves the handler behind.
fn stuck(_: &Request) -> Response {
    loop {
        thread::park();
    }
}
