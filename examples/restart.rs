//! Start, stop, and start again: one server, five lives.
//!
//! What goes wrong elsewhere: Go's `ListenAndServe` keeps the thread it is called on, so nobody can tell when it
//! listens (people sleep, or connect in a loop), and after `Shutdown` the server is used up: serving again returns
//! `ErrServerClosed`. A stop flag that is set once too often is worse: it waits for the next start and ends it. And a
//! listener without `SO_REUSEADDR` finds its own port "already in use" for a minute.
//!
//! Here `start` returns when the server listens. A stop is counted once: it ends the run that is under way, and one
//! that finds none changes nothing. (The exception is a stop that comes before the very first start; it is kept, so
//! that a signal in the first millisecond is not lost.) The address is free again at once.
//!
//! Try: `cargo run --example restart 127.0.0.1:8080` (it is its own client, so that there is no need for curl; but
//! `while sleep 0.01; do curl http://127.0.0.1:8080/; done` may be lucky)

use std::{
    env,
    error::Error,
    io::{self, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use softstop::{Request, Router, Server, StopPolicy, route};

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    // What a handler owns lives as long as the server, over all of its runs.
    let visits = AtomicUsize::new(0);
    let greet = move |_: &Request| format!("visit {}", 1 + visits.fetch_add(1, Ordering::Relaxed));
    let routes = Router::new().get("/", route(greet).inline());
    let server = Server::builder().name("restart").listen(address).routes(routes).build();

    for life in 1..=5 {
        let began = Instant::now();
        server.start()?;
        for address in server.addresses() {
            println!("life {life}: listening on http://{address}/ after {:.1?}", began.elapsed());
            println!("life {life}: {}", ask(address)?);
        }
        println!("life {life}: {}", server.stop(StopPolicy::default()));
        // Nothing runs, so there is nothing to stop: neither this life nor the next one.
        server.handle().request_stop(StopPolicy::now());
    }
    println!("five lives, five visits");
    Ok(())
}

/// What the server says: the client that asks may well be in the same thread, since the server has its own.
fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let response = io::read_to_string(stream)?;
    let (_, content) = response.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(content.to_owned())
}
