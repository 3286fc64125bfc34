//! Stopping from a route, by context: the program has a lifetime, which `/exit` or a deadline ends.
//!
//! What goes wrong elsewhere: in Go, programs easily pass the context whose end starts the shutdown on to
//! `Shutdown(ctx)`. That context is over, so `Shutdown` waits for no request. `Shutdown` closes the listener and
//! returns `context canceled`, and `main` cuts every request in flight. A Go context tells that it was cancelled. The
//! context names the cause only if the program used `WithCancelCause` from the beginning.
//!
//! Here a context and a policy are two things. The context says *that* the program should end, and always *why*. The
//! policy says how long the stop may take. The first cause stays: if the deadline passes while the server answers
//! `/exit`, the cause is still `/exit`.
//!
//! Try: `cargo run --example exit_route_context 127.0.0.1:8080 60`, then `curl http://127.0.0.1:8080/exit`. Without the
//! curl, the program ends after 60 seconds.

use std::{env, error::Error, time::Duration};

use softstop::{Cause, Context, Router, Server, StopPolicy, route};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let seconds = arguments.next().map_or(Ok(60), |seconds| seconds.parse())?;

    let lifetime = Context::new().with_timeout(Duration::from_secs(seconds));
    let exit = lifetime.clone(); // the same context, not a child of it
    let routes = Router::new().get("/", route(|_| "still here\n").inline()).get(
        "/exit",
        route(move |request| {
            if exit.cancel(format!("{} asked for it", request.peer())) {
                "good bye\n"
            } else {
                "it is over already\n"
            }
        })
        .inline(),
    );
    let server = Server::builder().name("exit by context").listen(address).routes(routes).build();

    server.start()?;
    for address in server.addresses() {
        println!("listening on http://{address}/exit for {seconds} s");
    }
    match lifetime.wait() {
        Cause::DeadlineExceeded => println!("nobody asked for the exit in {seconds} s"),
        cause => println!("ending: {cause}"),
    }
    println!("{}", server.stop(StopPolicy::default()));
    Ok(())
}
