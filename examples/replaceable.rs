//! A program that is replaced by its next version while clients use it, and that tells its supervisor about it.
//!
//! What goes wrong elsewhere: a deployment stops the old process and then starts the new one. In between nobody listens,
//! and every client is refused. If the new version does not start, nobody listens at all. With `SO_REUSEPORT` two
//! processes can listen at once, but the kernel gives each its own queue, and resets the clients that wait in the
//! queue of the process that closes.
//!
//! Here the old process starts the new one, and hands it the same listeners. Until the new process serves, the old one
//! changes nothing. Then the old one finishes its requests and ends. If the new one cannot serve, it is ended, and the
//! old one serves on.
//!
//! Try: `cargo run --features deploy --example replaceable /tmp/replaceable.control`, and in another terminal:
//!
//! ```sh
//! curl http://127.0.0.1:8080/                               # generation 1
//! softstop reload --control /tmp/replaceable.control        # or: kill -HUP, with a signal handler of your own
//! curl http://127.0.0.1:8080/                               # generation 2, another process
//! softstop status --control /tmp/replaceable.control
//! softstop stop --control /tmp/replaceable.control
//! ```

use std::{
    env,
    error::Error,
    process,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use softstop::{
    Group, Router, Server,
    deploy::Supervisor,
    handover::{HandoverEvent, Takeover},
    route,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let control = arguments.next().ok_or("usage: replaceable CONTROL_SOCKET [ADDRESS]")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    // systemd, if it has started this process.
    let supervisor = Supervisor::from_environment()?;
    // The listeners of the process that this one replaces, if there is one.
    let takeover = Takeover::from_environment()?;

    let generation = Arc::new(AtomicU32::new(0));
    let shown = Arc::clone(&generation);
    let greet = move |_: &_| format!("generation {}, pid {}\n", shown.load(Ordering::Relaxed), process::id());
    let server = Server::builder()
        .name("hello")
        .listen(address)
        .routes(Router::new().get("/", route(greet).inline()))
        .build();
    let mut group = Group::new().stop_on_signals().control(control).server(server);
    if let Some(takeover) = takeover {
        group = group.takeover(takeover);
    }
    let group = group.on_handover(move |event| {
        if let HandoverEvent::InCharge { generation: number, .. } = event {
            generation.store(*number, Ordering::Relaxed);
        }
        eprintln!("{event:?}");
    });
    let report = supervisor.attend(group).run()?;
    println!("{report}");
    Ok(())
}
