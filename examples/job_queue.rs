//! Fire and forget through a bounded queue.
//!
//! What goes wrong elsewhere: a Go handler runs `go send(mail)` and answers 202. Under load there are as many
//! goroutines as requests. The server does not know the goroutines, so `Shutdown` returns while they run, and `main`
//! cuts them off. A channel with a worker is no better. The send blocks when the channel is full, so the handlers hang.
//! At the end, the items in the channel are lost, although each client was told that its item is on its way.
//!
//! Here a full queue answers 503 with `Retry-After` at once, and a 202 is a promise. The program drains the queue after
//! the server. First no handler can submit any more. Then the workers finish the remaining items, at the queue's rate,
//! within a deadline. An item that is not finished in time comes back, so that the program can keep the item for its
//! next start.
//!
//! Try: `cargo run --example job_queue 127.0.0.1:8080`, then `curl -i -X POST 'http://127.0.0.1:8080/mails?to=ada'` a
//! few times. `?to=nobody` panics, and a request without `to` is answered 400. Then run
//! `curl -X POST http://127.0.0.1:8080/exit` while some mails still wait. With a second argument of 0, the queue has no
//! time and gives all mails back.

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
        .rate(10, Duration::from_secs(1)) // the rate that the mail server accepts
        .on_unfinished(|mail: Mail, why| {
            println!("to be kept: mail to {} ({why})", mail.to);
            ItemFate::Lost // `Lost`, because the mail is only printed and not kept
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

    // Drain after the server has stopped, because no handler can submit any more.
    let metrics = mails.metrics();
    println!("the server has stopped, {} mails have not been sent", metrics.queued + metrics.running);
    println!("mails: {}", mails.drain(Instant::now() + Duration::from_secs(seconds)));
    Ok(())
}

fn send(mail: &mut Mail, context: &Context) -> Result<(), Cause> {
    assert_ne!(mail.to, "nobody", "there is no such person");
    context.sleep(SENDING)?; // stands for the work; ends at the drain's deadline
    println!("sent to {}", mail.to);
    Ok(())
}
