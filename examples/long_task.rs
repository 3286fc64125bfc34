//! A long task and its three ends: its client goes away, its deadline passes, its server stops.
//!
//! What goes wrong elsewhere: the work goes on although no client waits for the result. Go's `TimeoutHandler` answers
//! 503 in time, but the wrapped handler runs on. The request context ends when the client goes, but `Shutdown` does not
//! touch that context. A long handler learns of the stop when the process is killed. In all cases the context says only
//! `context canceled`.
//!
//! Here one context covers all three ends, and the context carries the cause. The task sleeps in the context, or checks
//! the context between two steps, and `?` leaves the loop. A client that has only shut down its sending side is not
//! taken for gone. That client gets its answer.
//!
//! Try: `cargo run --example long_task`, which plays the clients itself. To be the client, give an address:
//! `cargo run --example long_task 127.0.0.1:8080`. Interrupt `curl http://127.0.0.1:8080/task`. Then run
//! `curl 'http://127.0.0.1:8080/task?within_ms=500'`. Then run `curl -X POST http://127.0.0.1:8080/exit` during a task.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, time::Duration};

use crossbeam_channel::{Receiver, bounded};
use softstop::{Cause, Context, Request, Router, Server, StatusCode, StopPolicy};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given = env::args().nth(1);
    let steps = Arc::new(AtomicUsize::new(0));
    let (ended, ends) = bounded(1);
    let counter = Arc::clone(&steps);
    let task = move |request: &Request| {
        let within = request.query("within_ms").and_then(|ms| ms.parse().ok()).unwrap_or(60_000);
        let outcome = work(&request.context().with_timeout(Duration::from_millis(within)), &counter);
        println!("{}: {outcome:?}", request.peer());
        let _ = ended.try_send(()); // `play` waits for this message
        let refuse = |cause| (StatusCode::SERVICE_UNAVAILABLE, format!("given up: {cause}\n"));
        outcome.map(|()| "done\n").map_err(refuse)
    };
    let exit = |request: &Request| {
        // After this grace period, the stop cancels the contexts of the handlers that still work.
        request.server().request_stop(StopPolicy::default().grace(Duration::from_millis(200)));
        "good bye\n"
    };
    let routes = Router::new().get("/task", task).post("/exit", exit);
    let server = Server::builder().listen(given.as_deref().unwrap_or("127.0.0.1:0")).routes(routes).build();
    server.start()?;
    for address in server.socket_addrs() {
        println!("listening on http://{address}/task");
        if given.is_none() {
            play(address, &ends)?;
        }
    }
    println!("{}", server.wait());
    drop(server);
    // The handlers share the counter. `into_inner` succeeds only if no handler is left to count.
    match Arc::into_inner(steps) {
        Some(steps) => println!("{} steps were made, and no more will be", steps.into_inner()),
        None => println!("a handler is still at work"),
    }
    Ok(())
}

/// Works for a minute, step by step. A step that blocks can also select on [`Context::done`].
fn work(context: &Context, steps: &AtomicUsize) -> Result<(), Cause> {
    for _ in 0..3000 {
        context.sleep(Duration::from_millis(20))?;
        steps.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Plays three clients, one after another.
fn play(address: SocketAddr, ends: &Receiver<()>) -> io::Result<()> {
    drop(send(address, "GET /task")?);
    let _ = ends.recv(); // the server has noticed
    show(send(address, "GET /task?within_ms=200")?)?;
    let task = send(address, "GET /task")?;
    show(send(address, "POST /exit")?)?;
    show(task)
}

fn send(address: SocketAddr, what: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "{what} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    Ok(stream)
}

fn show(stream: TcpStream) -> io::Result<()> {
    let response = io::read_to_string(stream)?;
    println!("answer: {}", response.lines().last().unwrap_or_default());
    Ok(())
}
