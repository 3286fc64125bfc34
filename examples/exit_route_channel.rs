//! Stopping from a route, by channel: the handler tells `main`, and `main` stops the server.
//!
//! What goes wrong elsewhere: in Go, a handler that calls `Shutdown` itself waits for ever, because `Shutdown` waits
//! for the connection that this handler is answering. So people send on a channel and let `main` return. Now the
//! process may be gone before the response is, and whoever asked for the exit sees a reset connection. And if the
//! channel has no room, a second `/exit` blocks in its send, and the stop waits for a handler that can't return.
//!
//! Here the channel has room for one word and `try_send` never blocks: once is enough, the second word may be lost.
//! `stop` returns when all that was in flight has been answered, the response to `/exit` included.
//!
//! Try: `cargo run --example exit_route_channel 127.0.0.1:8080`, then `curl http://127.0.0.1:8080/exit`

use std::env;

use crossbeam_channel::bounded;
use softstop::{Error, Router, Server, StopPolicy, route};

fn main() -> Result<(), Error> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let (exit, wanted) = bounded(1);
    let routes = Router::new().get("/", route(|_| "still here\n").inline()).get(
        "/exit",
        // Nothing in it can block, so it may run on the event loop.
        route(move |request| {
            // Full: somebody else has asked already, which is just as good.
            let _ = exit.try_send(request.peer());
            "good bye\n"
        })
        .inline(),
    );
    let server = Server::builder().name("exit by channel").listen(address).routes(routes).build();

    server.start()?; // returns when it listens: this thread is free to wait for something else
    for address in server.addresses() {
        println!("listening on http://{address}/exit");
    }
    // An error would say that no handler is left to send: then there is nothing to wait for either.
    if let Ok(peer) = wanted.recv() {
        println!("{peer} wants us to go");
    }
    println!("{}", server.stop(StopPolicy::default()));
    Ok(())
}
