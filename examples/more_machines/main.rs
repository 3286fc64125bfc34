//! More machines: a queue of jobs that outlive the process, and events that reach the clients of every replica. Both are
//! in NATS JetStream, between replicas that come and go.
//!
//! What goes wrong elsewhere: a handler puts a job into a queue in memory and answers 202. The process is killed, and
//! the job is gone, although the client has the promise. Or the handler publishes to a broker and does not wait for the
//! acknowledgement. Workers take more than they can do, so that after a stop other workers wait for a time-out before
//! they do the rest. A client of server-sent events comes back to another replica, which has other ids. The client
//! misses events, or gets them twice.
//!
//! Here:
//! - `POST /jobs` waits until the stream has stored the job, and then answers 202 with a `Location`. A client that got
//!   no answer repeats the request with the same `Idempotency-Key`, and the job is still one job (`jobs.rs`).
//! - A replica pulls only as many jobs as it can begin at once. A job is acknowledged when it is done. A stop ends the
//!   pulling, finishes what the policy allows, and gives the rest back, so that another replica begins at once. The
//!   report says how many jobs were given back (`workers.rs`).
//! - The ids of events are the numbers of the stream, the same on every replica. A client that comes back to any replica
//!   gets what it has missed, and then what is new, without a gap and without a double (`feed.rs`).
//! - SIGHUP replaces the process: the new one takes the listener over when NATS is there, and the old one stops as usual.
//! - While NATS cannot be reached, `/readyz` says so and jobs are refused with `Retry-After`. The process lives on, and
//!   goes on when NATS is back (`link.rs`).
//!
//! ```text
//!   client ── POST /jobs ──> replica ── publish ──> JOBS ── pull ──> a replica's workers ── done ──> EVENTS
//!   client <──── 202 ─────── replica <── stored ──── │                 │                               │
//!                                                    <─ ack, or give back                              │
//!   clients <── server-sent events ── the hub of each replica <──────────── each follows the stream ────┘
//! ```
//!
//! A job is done at least once, and not exactly once: a worker that is killed after its work and before the
//! acknowledgement leaves a job that is done again. Real work must bear that, for instance by storing the number of the
//! job together with its result.
//!
//! Try: `nats-server -js -sd /tmp/more-machines`, then `cargo run --example more_machines nats://127.0.0.1:4222
//! 127.0.0.1:8081 a`, and a second one with 8082 and `b`. Then `curl -N http://127.0.0.1:8081/events` and
//! `curl -i -H 'Idempotency-Key: 1' -d 3000 http://127.0.0.1:8082/jobs`, twice. The content is how long the job takes, in
//! milliseconds. Press Ctrl-C in the one that does it.
//!
//! The arguments: the URL of NATS, the address to listen on, the name of the replica; then the grace of a stop and the
//! time after which an unacknowledged job is given to another worker, both in milliseconds.

mod feed;
mod jobs;
mod link;
mod workers;

use std::{env, error::Error, sync::Arc, thread, time::Duration};

use softstop::{
    Context, Group, GroupHandle, Request, Router, Server, Signal, StatusCode, StopPolicy,
    handover::{Replacement, Takeover},
};

use self::{feed::Feed, link::Link, workers::Workers};

/// How long the balancer has to see that `/readyz` says no, before the replica refuses connections.
const LAME_DUCK: Duration = Duration::from_millis(500);

/// Any error.
type Failure = Box<dyn Error + Send + Sync>;

struct Arguments {
    nats: async_nats::ServerAddr,
    address: String,
    name: String,
    grace: Duration,
    ack_wait: Duration,
}

fn main() -> Result<(), Failure> {
    let Arguments { nats, address, name, grace, ack_wait } = arguments()?;
    let takeover = Takeover::from_environment()?;
    println!("looking for NATS at {}:{}", nats.host(), nats.port());
    let link = Arc::new(Link::open(nats, ack_wait)?);
    let feed = Arc::new(Feed::follow(&link));
    let workers = Arc::new(Workers::start(&link, &name, ack_wait)?);

    if takeover.is_some() {
        // The process that is replaced serves until then. An error here leaves it as it was.
        feed.wait_until_begun()?;
    }

    let ready = {
        let (link, feed) = (Arc::clone(&link), Arc::clone(&feed));
        move |request: &Request| match (request.server().is_ready(), link.is_ready() && feed.has_begun()) {
            (true, true) => (StatusCode::OK, "ready\n"),
            (true, false) => (StatusCode::SERVICE_UNAVAILABLE, "NATS is not reachable\n"),
            (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        }
    };
    let (submit, look) = (Arc::clone(&link), Arc::clone(&link));
    let subscribe = Arc::clone(&feed);
    let routes = Router::new()
        .get("/readyz", ready)
        .post("/jobs", move |request: &Request| jobs::submit(request, &submit))
        .get("/jobs/{number}", move |request: &Request| jobs::look(request, &look))
        .get("/events", move |request: &Request| subscribe.subscribe(request));
    let server = Server::builder().name(name).listen(address).routes(routes).build();
    let handle = server.handle();
    // A replica that cannot listen must not take jobs, so a task of the group begins to pull: tasks start when the servers
    // serve. The pulling ends when the stop begins, and not when the servers have stopped.
    let puller = Arc::clone(&workers);
    let pull = move |context: &Context| {
        handle.addresses().iter().for_each(|address| println!("listening on http://{address}/jobs"));
        puller.start_pulling();
        context.stopping().wait();
        puller.stop_pulling();
    };
    let policy = StopPolicy::default().lame_duck(LAME_DUCK).grace(grace);
    let group = Group::new()
        .policy(policy)
        .server(server)
        .drain("jobs", workers)
        .task("pulls jobs", pull)
        .replaceable();
    let handle = group.handle();
    let signals = [Signal::Interrupt, Signal::Terminate, Signal::Quit, Signal::Hangup];
    let mut group = group.stop_on(&signals, move |signal, count| match (signal, count) {
        (Signal::Hangup, _) => {
            replace(handle.clone());
            None
        }
        (_, 1) => Some(policy),
        _ => Some(StopPolicy::now()),
    });
    if let Some(takeover) = takeover {
        group = group.takeover(takeover);
    }
    let outcome = group.run();
    println!("{}", outcome.as_ref().unwrap_or_else(|error| error.report()));
    link.close();
    outcome.map(drop).map_err(Failure::from)
}

/// Starts the new process, and hands over to it. On a thread of its own, because signals must not wait.
fn replace(group: GroupHandle) {
    thread::spawn(move || match group.replace(Replacement::default()) {
        Ok(replaced) => println!("replaced by {}", replaced.pid),
        Err(error) => println!("not replaced: {error}"),
    });
}

fn arguments() -> Result<Arguments, Failure> {
    let mut given = env::args().skip(1);
    let nats = given.next().unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    let address = given.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let name = given.next().unwrap_or_else(|| "a".to_owned());
    let mut milliseconds = |what: &str, default: u64| match given.next() {
        None => Ok(Duration::from_millis(default)),
        Some(text) => match text.parse() {
            Ok(number) => Ok(Duration::from_millis(number)),
            Err(error) => Err(format!("{what} {text:?}: {error}; expected a number of milliseconds")),
        },
    };
    let (grace, ack_wait) =
        (milliseconds("the grace", 10_000)?, milliseconds("the time to acknowledge", 30_000)?);
    if ack_wait < workers::SHORTEST_ACK_WAIT {
        return Err(format!("the time to acknowledge is at least {:?}", workers::SHORTEST_ACK_WAIT).into());
    }
    let expected = |error| format!("{nats:?}: {error}; expected a URL such as nats://127.0.0.1:4222");
    Ok(Arguments { nats: nats.parse().map_err(expected)?, address, name, grace, ack_wait })
}
