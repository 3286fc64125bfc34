//! The lesson of `subscriber`, with a real NATS server in between: hold until every published message is handled, and
//! flush before the exit.
//!
//! What goes wrong elsewhere: `Publish` returns when the message is in the client's buffer, and `main` returns before
//! the client writes the buffer. `Subscribe` returns before the NATS server knows the subscription, and the first
//! messages have no receiver. The subscriber's callback runs on a goroutine that no code waits for. `Close` drops the
//! messages that have arrived but are not handled.
//!
//! Here one thread owns the connection, like in `single_owner`. Handlers send orders to the thread through a bounded
//! channel. The senders are dropped together with the server, so the thread knows which order was the last. Then the
//! thread flushes, and handles messages until it has received as many as it has published. If that takes too long, the
//! program gives up and prints both counts. (NATS itself delivers at most once. Messages that must survive the end of a
//! NATS server belong in its JetStream.)
//!
//! The client is async-nats, because the blocking client is no longer maintained. The thread therefore runs a runtime
//! for itself alone. The handlers do not see the runtime.
//!
//! Try: `nats-server`, then `cargo run --example subscriber_nats nats://127.0.0.1:4222 127.0.0.1:8080`, then
//! `curl -X POST http://127.0.0.1:8080/orders/{1,2,3} http://127.0.0.1:8080/exit`

use std::{env, error::Error, thread, time::Duration};

use futures_util::StreamExt;
use softstop::{Request, Router, Server, StatusCode, StopPolicy};
use tokio::{
    runtime,
    sync::mpsc::{Receiver, channel, error::TrySendError},
    time::timeout,
};

/// How long the handling of the published messages may take, once the server has stopped.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = env::args().skip(1);
    let nats = arguments.next().unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());

    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let (client, orders) = runtime.block_on(async {
        let client = async_nats::connect(nats).await?;
        // NATS receives the subscription before the first order, because both go over the same connection.
        let orders = client.subscribe("orders").await?;
        Ok::<_, Box<dyn Error + Send + Sync>>((client, orders))
    })?;
    // The bound on the orders that wait while NATS is slow. The handler refuses further orders.
    let (outbox, published) = channel(100);
    let relay = thread::spawn(move || runtime.block_on(relay(&client, orders, published)));

    let publish = move |request: &Request| {
        let order = request.param("order").unwrap_or_default().into_owned();
        match outbox.try_send(order) {
            Ok(()) => (StatusCode::ACCEPTED, "published\n"),
            Err(TrySendError::Full(_)) => (StatusCode::SERVICE_UNAVAILABLE, "NATS is too slow\n"),
            Err(TrySendError::Closed(_)) => (StatusCode::SERVICE_UNAVAILABLE, "NATS has failed\n"),
        }
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
    drop(server); // drops the handlers too, and the sender that one of them owns

    match relay.join() {
        Ok(Ok((published, handled))) => println!("{published} published, {handled} handled"),
        Ok(Err(error)) => return Err(error),
        Err(_) => println!("the relay panicked"),
    }
    Ok(())
}

/// Publishes the orders of the handlers and handles the messages of NATS, until both are at their ends.
async fn relay(
    client: &async_nats::Client,
    mut orders: async_nats::Subscriber,
    mut outbox: Receiver<String>,
) -> Result<(u64, u64), Box<dyn Error + Send + Sync>> {
    let (mut published, mut handled) = (0, 0);
    loop {
        tokio::select! {
            order = outbox.recv() => {
                let Some(order) = order else { break };
                client.publish("orders", order.into()).await?;
                published += 1;
            }
            Some(order) = orders.next() => handle(&order, &mut handled),
        }
    }
    println!("the server has stopped: {published} published, {handled} handled");
    let rest = async {
        client.flush().await?;
        while handled < published
            && let Some(order) = orders.next().await
        {
            handle(&order, &mut handled);
        }
        Ok::<_, Box<dyn Error + Send + Sync>>(())
    };
    match timeout(PATIENCE, rest).await {
        Ok(result) => result?,
        Err(_) => println!("the rest takes too long"),
    }
    Ok((published, handled))
}

fn handle(order: &async_nats::Message, handled: &mut u64) {
    println!("handled {}", String::from_utf8_lossy(&order.payload));
    *handled += 1;
}
