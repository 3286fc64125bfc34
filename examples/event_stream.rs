//! Streams beside short requests: a clock as server-sent events, a download that is made on the way, and a page.
//!
//! What goes wrong elsewhere: a stream is a handler that does not return. Go's `Shutdown` waits for it until its time is
//! over, and the client sees a connection that breaks. The `WriteTimeout` that protects the other routes kills the stream
//! in mid-sentence. A thread is held by each listener, or one that doesn't read holds up the rest. And after a restart
//! all of them come back in the same second.
//!
//! Here a handler returns at once and leaves a body behind that anybody can send to. Nothing times out a stream that has
//! nothing to say; a client that doesn't take what there is, is dropped. At a stop the hub says good bye, tells
//! each client another time to come back, and the body ends as it should; so does that of the download.
//!
//! Try: `cargo run --example event_stream`, which plays the clients itself; or with an address,
//! `cargo run --example event_stream 127.0.0.1:8080`, then a browser, or `curl -N http://127.0.0.1:8080/events` and
//! `curl -N http://127.0.0.1:8080/count`, and then Ctrl-C here.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::{env, thread, time::Duration};

use softstop::events::{Event, Hub};
use softstop::{
    Body, Context, Group, Request, Response, Router, Server, ServerHandle, StatusCode, StopPolicy, route,
};

const PAGE: &str = "<!doctype html><title>clock</title><h1></h1><script>
new EventSource('/events').onmessage = event => document.querySelector('h1').textContent = event.data
</script>";

fn main() -> Result<(), softstop::Error> {
    let given = env::args().nth(1);
    let hub = Hub::builder().history(60).farewell(Event::new("bye").name("stopping")).build();
    let (listeners, clock) = (hub.clone(), hub);
    let routes = Router::new()
        .get("/", route(|_| Response::new(StatusCode::OK).content_type("text/html").with_body(PAGE)).inline())
        .get("/events", route(move |request| listeners.subscribe(request)).inline())
        .get("/count", count);
    let address = given.as_deref().unwrap_or("127.0.0.1:0");
    let server = Server::builder().name("clock").listen(address).routes(routes).build();
    let handle = server.handle();
    let tick = move |context: &Context| {
        let mut ticks = 0;
        while context.stopping().sleep(Duration::from_millis(100)).is_ok() {
            ticks += 1;
            clock.publish(&Event::new(&format!("tick {ticks}")));
        }
    };
    let play = move |_: &Context| if given.is_none() { play(&handle) } else { announce(&handle) };
    let report =
        Group::new().server(server).task("ticker", tick).task("player", play).stop_on_signals().run()?;
    println!("{report}");
    Ok(())
}

/// Counts for as long as the client listens, at its pace. The thread is the producer's own; the stream needs none.
fn count(_: &Request) -> Response {
    let (sender, body) = Body::stream(4096);
    thread::spawn(move || {
        let stopping = sender.context().stopping();
        for number in 1_u64.. {
            if sender.send(format!("count {number}\n")).is_err() {
                break;
            }
            if stopping.sleep(Duration::from_millis(50)).is_err() {
                // Fails if the client is gone, and not if it is the server that stops.
                _ = sender.send("to be continued\n");
                break;
            }
        }
        println!("counter: {}", stopping.wait());
    });
    Response::new(StatusCode::OK).content_type("text/plain").with_body(body)
}

fn announce(server: &ServerHandle) -> io::Result<()> {
    server.addresses().iter().for_each(|address| println!("listening on http://{address}/"));
    Ok(())
}

/// Three clients: one listens, one downloads, one asks for the page now and then. After a while, the stop.
fn play(server: &ServerHandle) -> io::Result<()> {
    announce(server)?;
    let address = server.addresses()[0];
    let [events, numbers] = ["/events", "/count"].map(|path| listen(address, path));
    let (mut events, mut numbers) = (events?, numbers?);
    for _ in 0..3 {
        let page = listen(address, "/")?.next().unwrap_or_default();
        println!("page: {page}");
        println!("{}", events.find(|line| line.starts_with("data: ")).unwrap_or_default());
        println!("{}", numbers.find(|line| line.starts_with("count ")).unwrap_or_default());
    }
    server.request_stop(StopPolicy::default());
    let (events, numbers): (Vec<_>, Vec<_>) = (events.collect(), numbers.collect());
    // Between the lines are the sizes of the chunks; the last one is empty.
    println!(
        "the last of the events: {:?}",
        events.iter().filter(|line| line.contains(": ")).collect::<Vec<_>>()
    );
    println!(
        "the last of the count: {:?}",
        numbers.iter().filter(|line| line.contains(' ')).collect::<Vec<_>>()
    );
    println!(
        "both ended as they should: {}",
        [events, numbers].iter().all(|lines| lines.ends_with(&["0".into(), "".into()]))
    );
    Ok(())
}

/// The lines of a response.
fn listen(address: SocketAddr, path: &str) -> io::Result<impl Iterator<Item = String> + use<>> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    Ok(BufReader::new(stream).lines().map_while(Result::ok))
}
