//! Subscribers that hold until their messages are handled, and a stop that flushes.
//!
//! What goes wrong elsewhere: the publisher's last messages lie in a buffer when `main` returns, and the subscriber's
//! goroutine is cut off with one in its hands. To wait "until it has seen N" takes a counter, a mutex and a poll; and one
//! subscriber that doesn't read blocks the channel for all of them, the publisher included.
//!
//! Here a message is delivered until it is acknowledged: one that was dropped, be it by a panic, comes again. A
//! subscription has room for a stated number of messages, and one that has none misses messages, which is told to the
//! publisher; nobody else waits. After the server, the bus is drained: that returns when everything has been
//! acknowledged by everybody, and then the subscribers' loops end by themselves.
//!
//! Try: `cargo run --example subscriber 127.0.0.1:8080`, then `curl -X POST http://127.0.0.1:8080/orders/{1,2,3}`; the
//! billing takes orders by threes, the packing fails on each one once; then `curl -X POST http://127.0.0.1:8080/exit`

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
    // Never told to end: they end when the bus does, so that nothing is left. The context is for giving up.
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

    // After the server: what it has published is all that there will be.
    println!("orders: {}", orders.drain(Instant::now() + Duration::from_secs(10)));
    giving_up.cancel("it took too long"); // of no effect if they have ended
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
    // Here, not in the thread: there it could come too late for the first message.
    let (subscription, context) = (orders.subscribe(100), context.clone());
    thread::spawn(move || handle(&subscription, &context))
}

/// Holds until there are enough for a bill; the last one may be short.
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

/// Drops each order the first time, which is not to lose it.
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
