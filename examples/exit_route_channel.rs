//! Stopping from a route, by channel: the handler tells `main`, and `main` stops the server.
//!
//! What goes wrong elsewhere: in Go, a handler that calls `Shutdown` waits for ever, because `Shutdown` waits for the
//! connection that this handler is answering. So people send on a channel and let `main` return. Now the process may
//! end before the response is sent, and the client of `/exit` sees a reset. If the channel has no room, a second
//! `/exit` blocks in its send. The stop then waits for a handler that cannot return.
//!
//! Here the channel has room for one message, and `try_send` never blocks. One message is enough, so the second may be
//! lost. `stop` returns when every request in flight has its answer, `/exit` included.
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
        // The handler never blocks, so the handler may run on the event loop.
        route(move |request| {
            // A full channel means that an earlier request has asked already. One request to exit is enough.
            let _ = exit.try_send(request.peer().clone());
            "good bye\n"
        })
        .inline(),
    );
    let server = Server::builder().name("exit by channel").listen(address).routes(routes).build();

    server.start()?; // returns once the server listens, so this thread can wait for the exit
    for address in server.addresses() {
        println!("listening on http://{address}/exit");
    }
    // An error means that no handler is left to send, so there is nothing to wait for.
    if let Ok(peer) = wanted.recv() {
        println!("{peer} wants us to go");
    }
    println!("{}", server.stop(StopPolicy::default()));
    Ok(())
}
