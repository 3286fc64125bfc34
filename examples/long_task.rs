//! A long task and its three ends: its client goes away, its deadline passes, its server stops.
//!
//! What goes wrong elsewhere: the work goes on for nobody. Go's `TimeoutHandler` answers 503 in time, but the handler
//! behind it runs on. Its request context ends with its client, but `Shutdown` doesn't touch it: a long handler hears
//! of the stop when the process is killed. And in all cases it says no more than `context canceled`.
//!
//! Here it is one context for all three, with the cause in it. The task sleeps in it, or asks it, between two steps,
//! and `?` leaves the loop. A client that has only finished sending is not taken for gone: it gets its answer.
//!
//! Try: `cargo run --example long_task`, which plays the clients itself. To be the client, give it an address,
//! `cargo run --example long_task 127.0.0.1:8080`, and interrupt `curl http://127.0.0.1:8080/task`; then
//! `curl 'http://127.0.0.1:8080/task?within_ms=500'`; then `curl -X POST http://127.0.0.1:8080/exit` during a task.

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
        let _ = ended.try_send(()); // for `play`; nobody else listens
        let refuse = |cause| (StatusCode::SERVICE_UNAVAILABLE, format!("given up: {cause}\n"));
        outcome.map(|()| "done\n").map_err(refuse)
    };
    let exit = |request: &Request| {
        // After that time the contexts of those still at work end.
        request.server().request_stop(StopPolicy::default().grace(Duration::from_millis(200)));
        "good bye\n"
    };
    let routes = Router::new().get("/task", task).post("/exit", exit);
    let server = Server::builder().listen(given.as_deref().unwrap_or("127.0.0.1:0")).routes(routes).build();
    server.start()?;
    for address in server.addresses() {
        println!("listening on http://{address}/task");
        if given.is_none() {
            play(address, &ends)?;
        }
    }
    println!("{}", server.wait());
    drop(server);
    // The handlers share the counter. If it is ours alone now, none of them is left to count on.
    match Arc::into_inner(steps) {
        Some(steps) => println!("{} steps were made, and no more will be", steps.into_inner()),
        None => println!("a handler is still at work"),
    }
    Ok(())
}

/// A minute's work, step by step. A step that blocks can select on [`Context::done`], too.
fn work(context: &Context, steps: &AtomicUsize) -> Result<(), Cause> {
    for _ in 0..3000 {
        context.sleep(Duration::from_millis(20))?;
        steps.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// The three clients, one after another.
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
