//! A WebSocket echo: a handler takes its connection over, and still ends with its server.
//!
//! What goes wrong elsewhere: the server forgets a hijacked connection. Go's `Shutdown` neither closes nor waits for
//! the connection ("the caller of Shutdown should separately notify such long-lived connections"). A loop that blocks
//! in a read does not learn of the stop. When the process ends, the client sees a broken connection without a Close
//! frame.
//!
//! Here the handler has the plain stream, a thread of its own and a context. A callback on the context shuts the
//! socket's read side down when the stop begins. The read returns, and the echo sends a Close frame. The stop waits for
//! the handler, within the policy's bounds.
//!
//! Try: `cargo run --example upgrade_echo`, which plays the client itself. To be the server only, give an address:
//! `cargo run --example upgrade_echo 127.0.0.1:8080`. Then use a WebSocket client at ws://127.0.0.1:8080/echo, then
//! Ctrl-C.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::{env, error::Error};

use softstop::{Context, Group, Request, Response, Router, Server, StopPolicy, body::Upgraded};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{CloseFrame, Role, WebSocket, frame::coding::CloseCode};

fn main() -> Result<(), Box<dyn Error>> {
    let given = env::args().nth(1);
    let routes = Router::new().get("/echo", accept);
    let server = Server::builder().listen(given.as_deref().unwrap_or("127.0.0.1:0")).routes(routes).build();
    let handle = server.handle();
    let player = move |_: &Context| {
        let address = handle.socket_addrs()[0];
        println!("listening on ws://{address}/echo");
        if given.is_none() {
            let mut client = connect(address)?;
            client.send("hello".into())?;
            println!("client: {:?}", client.read()?);
            handle.request_stop(StopPolicy::default());
            println!("client: {:?}", client.read()?);
        }
        Ok::<_, Box<dyn Error>>(())
    };
    println!(
        "{}",
        Group::new()
            .server(server)
            .task("client", move |context: &Context| player(context).map_err(|error| error.to_string()))
            .stop_on_signals()
            .run()?
    );
    Ok(())
}

fn accept(request: &Request) -> Response {
    let key = request.header("Sec-WebSocket-Key").unwrap_or_default();
    request.upgrade("websocket", echo).header("Sec-WebSocket-Accept", &derive_accept_key(key.as_bytes()))
}

fn echo(connection: Upgraded, context: &Context) {
    let stopping = context.stopping();
    // A waiting read returns when the stop begins. The write side stays open.
    let socket = connection.stream().try_clone();
    let _hint = stopping.on_cancel(move |_| _ = socket.map(|socket| socket.shutdown(Shutdown::Read)));
    let link = Link { connection, stopping };
    let mut client = WebSocket::from_raw_socket(link, Role::Server, None);
    let error = loop {
        match client.read().and_then(|message| {
            if message.is_text() || message.is_binary() { client.send(message) } else { client.flush() }
        }) {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    if client.get_ref().stopping.is_cancelled() {
        let frame = CloseFrame { code: CloseCode::Away, reason: "the server is stopping".into() };
        println!("echo: good bye: {:?}", client.close(Some(frame)).and_then(|()| client.flush()));
    } else {
        println!("echo: {error}");
    }
}

/// The connection. After the stop has begun, an end of the read side comes from the server and not from the client.
struct Link {
    connection: Upgraded,
    stopping: Context,
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.connection.read(buffer)? {
            0 if self.stopping.is_cancelled() => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.connection.flush()
    }
}

fn connect(address: SocketAddr) -> Result<WebSocket<TcpStream>, Box<dyn Error>> {
    let stream = TcpStream::connect(address)?;
    Ok(tungstenite::client(format!("ws://{address}/echo"), stream)?.0)
}
