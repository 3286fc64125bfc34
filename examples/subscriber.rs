//! Subscribers that hold until their messages are handled, and a stop that flushes.
//!
//! What goes wrong elsewhere: the publisher's last messages are still in a buffer when `main` returns. The end of the
//! process cuts the subscriber's goroutine while the goroutine handles a message. Waiting "until the subscriber has
//! seen N" takes a counter, a mutex and a poll. One subscriber that does not read blocks the channel for all others,
//! the publisher included.
//!
//! Here the bus delivers a message until the subscriber acknowledges the message. A message that was dropped, for
//! example by a panic, comes again. A subscription has room for a stated number of messages. A full subscription misses
//! messages, and the publisher is told; no other subscriber waits. The program drains the bus after the server. The
//! drain returns when every subscriber has acknowledged every message, and then the subscribers' loops end by
//! themselves.
//!
//! Try: `cargo run --example subscriber 127.0.0.1:8080`, then `curl -X POST http://127.0.0.1:8080/orders/{1,2,3}`. The
//! billing takes three orders at a time. The packing fails once on each order. Then run
//! `curl -X POST http://127.0.0.1:8080/exit`.

use std::{
    env,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use softstop::{
    Context, Request, Router, Server, StatusCode, StopPolicy,
    group::Drain,
    patterns::{Bus, ReceiveError, Subscription},
};

/// How many orders are billed together.
const BATCH: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let orders = Arc::new(Bus::<String>::new());
    // The subscribers end when the bus ends, so that no message is left. The context exists only for giving up.
    let giving_up = Context::new();
    let billing = spawn(&orders, &giving_up, bill);
    let packing = spawn(&orders, &giving_up, pack);

    let bus = Arc::clone(&orders);
    let publish = move |request: &Request| match bus
        .publish(request.param("order").unwrap_or_default().into())
    {
        Ok(published) if published.missed > 0 => (StatusCode::SERVICE_UNAVAILABLE, "somebody is too slow\n"),
        Ok(_) => (StatusCode::ACCEPTED, "published\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "closing\n"),
    };
    let exit = |request: &Request| {
        request.server().request_stop(StopPolicy::default());
        "good bye\n"
    };
    let routes = Router::new().post("/orders/{order}", publish).post("/exit", exit);
    let server = Server::builder().name("subscriber").listen(address).routes(routes).build();
    server.start()?;
    for address in server.addresses() {
        println!("listening on http://{address}/orders/1");
    }
    println!("{}", server.wait());

    // Drain after the server has stopped, because no handler can publish any more.
    println!("orders: {}", orders.drain(Instant::now() + Duration::from_secs(10)));
    giving_up.cancel("it took too long"); // no effect if both subscribers have ended
    for (name, subscriber) in [("billing", billing), ("packing", packing)] {
        match subscriber.join() {
            Ok(ended) => println!("{name}: {ended}"),
            Err(_) => println!("{name}: panicked"),
        }
    }
    Ok(())
}

fn spawn(
    orders: &Bus<String>,
    context: &Context,
    handle: fn(&Subscription<String>, &Context) -> ReceiveError,
) -> thread::JoinHandle<ReceiveError> {
    // Subscribe before the thread starts, because the thread could miss the first message.
    let (subscription, context) = (orders.subscribe(100), context.clone());
    thread::spawn(move || handle(&subscription, &context))
}

/// Holds until there are enough orders for a bill. The last bill may be shorter.
fn bill(orders: &Subscription<String>, context: &Context) -> ReceiveError {
    loop {
        match orders.take_n(BATCH, context) {
            Ok(batch) => {
                let names: Vec<&str> = batch.iter().map(|order| order.as_str()).collect();
                println!("billed {}", names.join(", "));
                batch.into_iter().for_each(|order| order.ack());
            }
            Err(ended) => return ended,
        }
    }
}

/// Drops each order once, which shows that the bus delivers a dropped order again.
fn pack(orders: &Subscription<String>, context: &Context) -> ReceiveError {
    loop {
        match orders.next(context) {
            Ok(order) if order.attempt() == 1 => println!("dropped {}", *order),
            Ok(order) => {
                println!("packed {}", *order);
                order.ack();
            }
            Err(ended) => return ended,
        }
    }
}
