//! Three servers and a task that start together, fail together and stop together on a signal.
//!
//! What goes wrong elsewhere: a Go program runs one goroutine per `ListenAndServe`, with an `errgroup` around them. The
//! second port is taken, but the first server has been answering for a while by then. The `errgroup` cancels its
//! context, but `ListenAndServe` does not look at the context. The other servers serve on, and the program hangs with
//! half of its ports open. The background ticker does not notice the failure. On a signal, the servers shut down one
//! after another, and no time is left for the last one.
//!
//! Here the group binds all addresses before a server serves its first request. An address that cannot be bound ends
//! the start, and the error names the address. The stop reaches all servers at once, each with the whole grace period.
//! The task is told twice. `stopping()` ends when the stop begins. The context itself ends when the servers have
//! stopped, so the last requests can still use the task. A second signal ends the whole group at once.
//!
//! Try: `cargo run --example group 127.0.0.1:8081 127.0.0.1:8082 127.0.0.1:8083`, then `curl http://127.0.0.1:8081/`,
//! then Ctrl-C. Or give the program the same address twice.

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

/// Does something every second, like a refresher of caches and tokens. The group starts tasks once all servers listen.
fn refresh(context: &Context, servers: &[ServerHandle]) {
    for server in servers {
        for address in server.addresses() {
            println!("{}: listening on http://{address}/", server.name());
        }
    }
    let stopping = context.stopping();
    let mut rounds = 0;
    // This sleep ends as soon as the stop begins, so the stop does not wait for the second to pass.
    while stopping.sleep(Duration::from_secs(1)).is_ok() {
        rounds += 1;
    }
    println!("refresher: told to stop after {rounds} rounds; still there while the servers drain");
    let cause = context.wait();
    println!("refresher: done ({cause})");
}
