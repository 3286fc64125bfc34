//! The bare loop of `benches/keep_alive` as a peer. The harness passes the number of requests that arrive in one read
//! (`--batch 16` for a load that pipelines 16 deep).

#[path = "../../../../keep_alive/bare_loop.rs"]
mod bare_loop;

use std::{io, net::TcpListener};

use peer_answers::{Arguments, announce, value};

fn main() -> io::Result<()> {
    let listener = TcpListener::bind(Arguments::parse().listen)?;
    announce(listener.local_addr()?)?;
    bare_loop::serve(listener, value("--batch").unwrap_or(1))
}
