//! Stopping from a route, and waiting for work that outlives its request.
//!
//! What goes wrong elsewhere: a handler answers 202 and does the work in a thread of its own. No server knows that
//! thread, so no shutdown waits for it, and the end of the process cuts it in two. Go's cure is a `sync.WaitGroup`,
//! which has traps of its own: an `Add` inside the new goroutine may come after the `Wait` that should have counted
//! it, a panic skips the `Done`, and `Wait` can't be given a time-out.
//!
//! Here the guard is taken by the handler, while the server still counts the request: once the server has stopped,
//! nobody can add to the group any more. It counts until it is dropped, be it by a return or by a panic, and the
//! wait has a bound. The exit route asks its own server to stop, which no handler could wait for: it only asks.
//!
//! Try: `cargo run --example exit_route_wait_group 127.0.0.1:8080`, then
//! `curl -X POST http://127.0.0.1:8080/jobs http://127.0.0.1:8080/jobs http://127.0.0.1:8080/exit`

use std::{
    env, io, thread,
    time::{Duration, Instant},
};

use softstop::{Error, Request, Router, Server, StatusCode, StopPolicy, WaitGroup};

/// How long one job takes.
const JOB: Duration = Duration::from_millis(300);
/// How long the program waits for its jobs after the server has stopped.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Error> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let work = WaitGroup::new();
    let jobs = work.clone();
    let routes = Router::new()
        .post("/jobs", move |_: &Request| match begin_job(&jobs) {
            Ok(()) => (StatusCode::ACCEPTED, "begun\n".to_owned()),
            Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("no thread to be had: {error}\n")),
        })
        .post("/exit", |request: &Request| {
            request.server().request_stop(StopPolicy::default());
            // From now on every response says `Connection: close`, this one included.
            "good bye\n"
        });
    let server = Server::builder().name("exit by wait group").listen(address).routes(routes).build();

    server.start()?;
    for address in server.addresses() {
        println!("listening on http://{address}/exit");
    }
    println!("{}", server.wait());

    println!("the server has stopped, {} jobs have not", work.count());
    if work.wait_deadline(Instant::now() + PATIENCE) {
        println!("all jobs are done");
    } else {
        println!("{} jobs take too long, they are cut off", work.count());
    }
    Ok(())
}

fn begin_job(jobs: &WaitGroup) -> io::Result<()> {
    let guard = jobs.guard(); // here, not in the thread: there it could come too late
    thread::Builder::new().spawn(move || {
        thread::sleep(JOB); // stands for the work
        println!("a job is done");
        drop(guard);
    })?;
    Ok(())
}
