//! Fire and forget through a bounded queue.
//!
//! What goes wrong elsewhere: `go send(mail)`, and 202. Under load there are as many goroutines as requests; nobody
//! knows them, so `Shutdown` returns while they run, and `main` cuts them off. With a channel and a worker it is no
//! better: the send blocks when the channel is full, so that the handlers hang, and what is in the channel at the end
//! is gone, though each client has been told that it is on its way.
//!
//! Here a full queue is a 503 with `Retry-After` at once, and a 202 is a promise. The queue is drained after its server:
//! first nobody hands in any more, then the rest is done, at the queue's pace, within its time. What can't be done in
//! time comes back item by item, to be kept for the next start.
//!
//! Try: `cargo run --example job_queue 127.0.0.1:8080`, then `curl -i -X POST 'http://127.0.0.1:8080/mails?to=ada'` a
//! few times; `?to=nobody` panics, without `to` it is a 400; then `curl -X POST http://127.0.0.1:8080/exit`, at once,
//! while some still wait. With a second argument of 0 the queue has no time, and gives all of them back.

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use softstop::{
    Cause, Context, IntoResponse, Refused, Request, Router, Server, StatusCode, StopPolicy,
    group::Drain,
    patterns::{ItemFate, JobQueue},
};

/// How long one mail takes.
const SENDING: Duration = Duration::from_millis(200);

struct Mail {
    to: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let seconds = arguments.next().map_or(Ok(10), |seconds| seconds.parse())?;
    let mails = JobQueue::builder("mails")
        .capacity(4)
        .workers(2)
        .rate(10, Duration::from_secs(1)) // what the mail server likes
        .on_unfinished(|mail: Mail, why| {
            println!("to be kept: mail to {} ({why})", mail.to);
            ItemFate::Lost // it is only printed
        })
        .start(send)?;
    let mails = Arc::new(mails);

    let queue = Arc::clone(&mails);
    let submit = move |request: &Request| {
        let Some(to) = request.query("to").filter(|to| !to.is_empty()) else {
            return (StatusCode::BAD_REQUEST, "to whom?\n").into_response();
        };
        match queue.try_submit(Mail { to: to.into() }) {
            Ok(()) => (StatusCode::ACCEPTED, "queued\n").into_response(),
            Err(Refused::Full(mail)) => {
                let text = format!("too many mails, the one to {} is not taken\n", mail.to);
                (StatusCode::SERVICE_UNAVAILABLE, text).into_response().header("Retry-After", "1")
            }
            Err(Refused::Stopping(_)) => (StatusCode::SERVICE_UNAVAILABLE, "closing\n").into_response(),
        }
    };
    let exit = |request: &Request| {
        request.server().request_stop(StopPolicy::default());
        "good bye\n"
    };
    let routes = Router::new().post("/mails", submit).post("/exit", exit);
    let server = Server::builder().name("job queue").listen(address).routes(routes).build();
    server.start()?;
    for address in server.addresses() {
        println!("listening on http://{address}/mails");
    }
    println!("{}", server.wait());

    // After the server: it has promised all that there is, and promises no more.
    let metrics = mails.metrics();
    println!("the server has stopped, {} mails have not been sent", metrics.queued + metrics.running);
    println!("mails: {}", mails.drain(Instant::now() + Duration::from_secs(seconds)));
    Ok(())
}

fn send(mail: &mut Mail, context: &Context) -> Result<(), Cause> {
    assert_ne!(mail.to, "nobody", "there is no such person");
    context.sleep(SENDING)?; // stands for the work; over at once when the queue's time is
    println!("sent to {}", mail.to);
    Ok(())
}
