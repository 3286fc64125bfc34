//! Stopping from a route, and waiting for work that outlives its request.
//!
//! What goes wrong elsewhere: a handler answers 202 and does the work on a thread of its own. The server does not know
//! that thread, so no shutdown waits for the thread. The end of the process cuts the work in the middle. Go's cure is a
//! `sync.WaitGroup`, which has three traps: an `Add` inside the new goroutine may come after the `Wait` that should
//! have counted the goroutine, a panic skips the `Done`, and `Wait` has no time-out.
//!
//! Here the handler takes the guard while the server still counts the request. Once the server has stopped, no handler
//! can add to the group. A guard counts until its drop, which also happens in a panic. The wait has a bound. The exit
//! route only requests the stop of its own server, because a handler cannot wait for that stop.
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
            // From now on every response says `Connection: close`, the response of this handler included.
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
    let guard = jobs.guard(); // taken before the thread starts, because the thread could take the guard too late
    thread::Builder::new().spawn(move || {
        thread::sleep(JOB); // stands for the work
        println!("a job is done");
        drop(guard);
    })?;
    Ok(())
}
