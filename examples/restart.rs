//! Start, stop, and start again: one server, five runs.
//!
//! What goes wrong elsewhere: Go's `ListenAndServe` keeps the thread of its caller, so the caller cannot tell when the
//! server listens. People sleep, or connect in a loop. After `Shutdown` the server is used up: serving again returns
//! `ErrServerClosed`. A stop flag that is set once too often is worse, because the flag ends the next run. A listener
//! without `SO_REUSEADDR` finds its own port "already in use" for a minute.
//!
//! Here `start` returns when the server listens. A stop counts once: the stop ends the current run, and does nothing if
//! the server does not run. (There is one exception. A stop before the very first start is kept, so that a signal in
//! the first millisecond is not lost.) The address is free again at once.
//!
//! Try: `cargo run --example restart 127.0.0.1:8080`. The program is its own client, so curl is not needed. But
//! `while sleep 0.01; do curl http://127.0.0.1:8080/; done` may be lucky.

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
    // The server owns its handlers, so the handler's counter survives all runs.
    let visits = AtomicUsize::new(0);
    let greet = move |_: &Request| format!("visit {}", 1 + visits.fetch_add(1, Ordering::Relaxed));
    let routes = Router::new().get("/", route(greet).inline());
    let server = Server::builder().name("restart").listen(address).routes(routes).build();

    for life in 1..=5 {
        let began = Instant::now();
        server.start()?;
        for address in server.socket_addrs() {
            println!("life {life}: listening on http://{address}/ after {:.1?}", began.elapsed());
            println!("life {life}: {}", ask(address)?);
        }
        println!("life {life}: {}", server.stop(StopPolicy::default()));
        // The server does not run, so this stop ends neither this run nor the next one.
        server.handle().request_stop(StopPolicy::now());
    }
    println!("five lives, five visits");
    Ok(())
}

/// Asks the server on the same thread, which works because the server has threads of its own.
fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let response = io::read_to_string(stream)?;
    let (_, content) = response.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(content.to_owned())
}
