//! A server with one loop, and a client that sends on one connection and waits for each answer.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use softstop::{Router, Server};

/// Starts a server. Its drop stops the server.
pub(crate) fn serve(routes: Router) -> (Server, SocketAddr) {
    let server = Server::builder().listen("127.0.0.1:0").loops(1).routes(routes).build();
    server.start().unwrap();
    let address = server.socket_addrs()[0];
    (server, address)
}

/// A kept connection. Every answer must be as long as the first one.
pub(crate) struct Asking {
    stream: TcpStream,
    requests: Vec<u8>,
    answers: Vec<u8>,
}

impl Asking {
    /// A connection that sends `depth` requests in one write, and reads their answers.
    pub(crate) fn new(address: SocketAddr, target: &str, depth: usize) -> Asking {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: bench\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        // On the loopback, the client reads a small write of the server in one piece.
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).unwrap();
        let text = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("ok"), "{text}");
        let requests = request.repeat(depth).into_bytes();
        Asking { stream, requests, answers: vec![0; length * depth] }
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    pub(crate) fn ask(&mut self) {
        self.stream.write_all(&self.requests).unwrap();
        self.stream.read_exact(&mut self.answers).unwrap();
    }
}
