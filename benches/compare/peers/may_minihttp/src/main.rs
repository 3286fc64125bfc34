//! may_minihttp as its examples recommend: a coroutine for each connection. The server has no stop.

use std::{
    io::{self, Read},
    net::SocketAddr,
};

use may_minihttp::{HttpServer, HttpService, Request, Response};
use peer_answers::{Arguments, BIG, BLOCK, HELLO, KIB, LARGEST_ECHO, SLEPT, announce, milliseconds};

#[derive(Clone)]
struct Answers;

impl HttpService for Answers {
    fn call(&mut self, request: Request, response: &mut Response) -> io::Result<()> {
        let target = request.path().to_owned();
        let (path, query) =
            target.split_once('?').map_or((&*target, None), |(path, query)| (path, Some(query)));
        match (request.method(), path) {
            ("GET", "/") => response.body(HELLO),
            ("GET", "/kib") => response.body_mut().extend_from_slice(&KIB),
            ("GET", "/big") => response.body_mut().extend_from_slice(&BIG),
            ("GET", "/sleep") => {
                may::coroutine::sleep(milliseconds(query));
                response.body(SLEPT);
            }
            // may_minihttp has no pool for work that blocks. A coroutine's sleep is the nearest equivalent.
            ("GET", "/block") => {
                may::coroutine::sleep(BLOCK);
                response.body(SLEPT);
            }
            ("POST", "/echo") => {
                let mut content = Vec::new();
                request.body().take(LARGEST_ECHO as u64).read_to_end(&mut content)?;
                response.body_vec(content);
            }
            _ => {
                response.status_code(404, "Not Found");
            }
        }
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    may::config().set_workers(arguments.threads);
    // may_minihttp does not tell its port, so this function chooses a free port.
    let address: SocketAddr = match arguments.listen.port() {
        0 => std::net::TcpListener::bind(arguments.listen)?.local_addr()?,
        _ => arguments.listen,
    };
    let server = HttpServer(Answers).start(address)?;
    announce(address)?;
    let _ = server.join();
    Ok(())
}
