//! tiny_http as its examples recommend: each thread waits for the next request, and `unblock` ends the threads.

use std::{
    error::Error,
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use peer_answers::{Arguments, BIG, BLOCK, HELLO, KIB, LARGEST_ECHO, SLEPT, announce, milliseconds, value};
use signal_hook::{consts::SIGTERM, iterator::Signals};
use tiny_http::{Method, Request, Response, Server};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments = Arguments::parse();
    // A handler holds its thread, so this number counts both the threads that serve and those that block.
    let threads = value("--pool").unwrap_or(arguments.threads);
    let mut signals = Signals::new([SIGTERM])?;
    let server = Arc::new(Server::http(arguments.listen)?);
    let stopping = Arc::new(AtomicBool::new(false));
    announce(server.server_addr().to_ip().ok_or("not an IP address")?)?;
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let (server, stopping) = (Arc::clone(&server), Arc::clone(&stopping));
            thread::spawn(move || {
                while !stopping.load(Ordering::Acquire)
                    && let Ok(request) = server.recv()
                {
                    // An error is visible to the client.
                    let _ = answer(request);
                }
            })
        })
        .collect();
    signals.forever().next();
    stopping.store(true, Ordering::Release);
    workers.iter().for_each(|_| server.unblock());
    for worker in workers {
        let _ = worker.join();
    }
    Ok(())
}

fn answer(mut request: Request) -> io::Result<()> {
    let target = request.url().to_owned();
    let (path, query) = target.split_once('?').map_or((&*target, None), |(path, query)| (path, Some(query)));
    match (request.method(), path) {
        (Method::Get, "/") => request.respond(Response::from_string(HELLO)),
        (Method::Get, "/kib") => request.respond(Response::from_data(KIB)),
        (Method::Get, "/big") => request.respond(response_of(&BIG)),
        (Method::Get, "/sleep") => {
            thread::sleep(milliseconds(query));
            request.respond(Response::from_string(SLEPT))
        }
        (Method::Get, "/block") => {
            thread::sleep(BLOCK);
            request.respond(Response::from_string(SLEPT))
        }
        (Method::Post, "/echo") => {
            let mut content = Vec::new();
            request.as_reader().take(LARGEST_ECHO as u64).read_to_end(&mut content)?;
            request.respond(Response::from_data(content))
        }
        _ => request.respond(Response::empty(404)),
    }
}

/// Sends the content without a copy and without chunks. The default threshold would send 1 MiB in chunks.
fn response_of(content: &'static [u8]) -> Response<&'static [u8]> {
    Response::new(200.into(), Vec::new(), content, Some(content.len()), None)
        .with_chunked_threshold(usize::MAX)
}
