//! Streams beside short requests: a clock as server-sent events, a download that is produced while it is sent, and a
//! page.
//!
//! What goes wrong elsewhere: a stream is a handler that does not return. Go's `Shutdown` waits for the stream until
//! the deadline, and the client sees a broken connection. The `WriteTimeout` that protects the other routes cuts the
//! stream in the middle of a sentence. Each listener holds a thread, or one listener that does not read blocks the
//! others. After a restart, all listeners come back in the same second.
//!
//! Here a handler returns at once and leaves a body behind. Any thread can send to that body. No time-out ends a stream
//! that has nothing to send. The server drops a client that does not read. At a stop, the hub sends a farewell, tells
//! each client a different time to come back, and ends the body properly. The download ends properly too.
//!
//! Try: `cargo run --example event_stream`, which plays the clients itself. To be the client, give an address:
//! `cargo run --example event_stream 127.0.0.1:8080`. Then use a browser, `curl -N http://127.0.0.1:8080/events` or
//! `curl -N http://127.0.0.1:8080/count`, and press Ctrl-C here.

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

/// Counts for as long as the client listens, at the client's pace. The producer owns the thread; the stream needs no
/// thread.
fn count(_: &Request) -> Response {
    let (sender, body) = Body::stream(4096);
    thread::spawn(move || {
        let stopping = sender.context().stopping();
        for number in 1_u64.. {
            if sender.send(format!("count {number}\n")).is_err() {
                break;
            }
            if stopping.sleep(Duration::from_millis(50)).is_err() {
                // The send fails if the client has gone. The send succeeds if the server stops.
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

/// Plays three clients: one listens, one downloads, one asks for the page now and then. Requests the stop at the end.
fn play(server: &ServerHandle) -> io::Result<()> {
    announce(server)?;
    let address = server.socket_addrs()[0];
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
    // The chunk sizes stand between the lines. The size of the last chunk is 0.
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

/// Sends a request and returns the lines of the response.
fn listen(address: SocketAddr, path: &str) -> io::Result<impl Iterator<Item = String> + use<>> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    Ok(BufReader::new(stream).lines().map_while(Result::ok))
}
