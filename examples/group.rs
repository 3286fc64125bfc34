//! Three servers and a task that start together, fail together and stop together on a signal.
//!
//! What goes wrong elsewhere: one goroutine per `ListenAndServe`, and an `errgroup` around them. The second port is
//! taken, but the first server has been answering for a while by then. The group's context is cancelled, but
//! `ListenAndServe` doesn't look at it: the others serve on, and the program hangs with half of its ports open. The
//! ticker in the background sleeps through it all. On a signal, each server shuts down after the one before it, and
//! the last one has no time left.
//!
//! Here all addresses are bound before the first request is served; one that can't be had ends the start, and the
//! error names it. The stop reaches all servers at once, each with the whole grace period. The task is told twice:
//! `stopping()` ends when the stop begins, the context itself when the servers have stopped, so that it can still be
//! of use to the last requests. A second signal ends it all at once.
//!
//! Try: `cargo run --example group 127.0.0.1:8081 127.0.0.1:8082 127.0.0.1:8083`, then
//! `curl http://127.0.0.1:8081/`, then Ctrl-C; or give it the same address twice

use std::{env, process::ExitCode, time::Duration};

use softstop::{Context, Group, Router, Server, ServerHandle, route};

fn main() -> ExitCode {
    let mut addresses = env::args().skip(1);
    let servers = ["red", "green", "blue"].map(|name| {
        let address = addresses.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
        let routes = Router::new().get("/", route(move |_| name).inline());
        Server::builder().name(name).listen(address).routes(routes).build()
    });
    let handles = servers.each_ref().map(Server::handle);
    let group = servers.into_iter().fold(Group::new().stop_on_signals(), Group::server);
    match group.task("refresher", move |context| refresh(context, &handles)).run() {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("group: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does something every second, as caches and tokens want it. Tasks begin when all servers listen.
fn refresh(context: &Context, servers: &[ServerHandle]) {
    for server in servers {
        for address in server.addresses() {
            println!("{}: listening on http://{address}/", server.name());
        }
    }
    let stopping = context.stopping();
    let mut rounds = 0;
    // Not a sleep that somebody would have to wait out: it is over as soon as the stop begins.
    while stopping.sleep(Duration::from_secs(1)).is_ok() {
        rounds += 1;
    }
    println!("refresher: told to stop after {rounds} rounds; still there while the servers drain");
    let cause = context.wait();
    println!("refresher: done ({cause})");
}
