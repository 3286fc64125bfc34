//! Two accept loops next to each other: a waker closes the first at once, and the second reads a flag at each deadline.
//!
//! What goes wrong elsewhere: a thread inside a blocking `accept` cannot be told to stop. Programs therefore give
//! `accept` a deadline, and read a stop flag after each deadline (Go's `SetDeadline`, `SO_RCVTIMEO`). There is no good
//! deadline. A long deadline delays every stop, by half of the deadline on average. A short deadline wakes an idle
//! process for nothing, all day long. Other programs connect to themselves to wake the thread. That connect fails just
//! when the accept queue is full or no descriptor is left.
//!
//! Here the loop waits for connections and for a `Waker` in one system call, without a time-out. A stop is one more
//! event, so the loop reacts as fast as to any other event, and an idle loop never wakes. (A listener that closes like
//! this still resets the connections in its accept queue. `src/engine/net/` shows how softstop avoids these resets.)
//!
//! Try: `cargo run --example accept_strategies`, then with other deadlines, `... 10` and `... 3000` (milliseconds).
//! `softstop bench accept` measures these two loops and three others.

use std::{
    env,
    error::Error,
    io::{self, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, Waker};
use socket2::SockRef;
use softstop::Context;

const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);

/// Waits for connections and for the waker, without a time-out. Returns how often the loop woke and found no event.
fn waker_loop(mut poll: Poll, listener: TcpListener) -> io::Result<u32> {
    listener.set_nonblocking(true)?;
    let mut listener = mio::net::TcpListener::from_std(listener);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut events, mut in_vain) = (Events::with_capacity(16), 0);
    loop {
        poll.poll(&mut events, None)?; // None: no time-out
        in_vain += u32::from(events.is_empty());
        if events.iter().any(|event| event.token() == WAKER) {
            return Ok(in_vain); // the listener closes here
        }
        // Accept until the queue is empty, because mio reports only the next arrival.
        while let Ok((stream, _)) = listener.accept() {
            let stream = TcpStream::from(stream);
            stream.set_nonblocking(false)?; // one client at a time will do for a lesson
            greet(stream)?;
        }
    }
}

/// Waits until the deadline, reads the flag, and waits again. Returns how often the deadline passed.
fn deadline_loop(deadline: Duration, listener: TcpListener, stopped: &AtomicBool) -> io::Result<u32> {
    SockRef::from(&listener).set_read_timeout(Some(deadline))?;
    let mut in_vain = 0;
    while !stopped.load(Ordering::Acquire) {
        match listener.accept() {
            Ok((stream, _)) => greet(stream)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => in_vain += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(in_vain)
}

fn greet(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(b"hello")
}

/// Runs a loop through one client, 750 ms without clients, and a stop.
fn show(
    name: &str,
    address: SocketAddr,
    run: impl FnOnce() -> io::Result<u32> + Send + 'static,
    stop: impl FnOnce() -> io::Result<()>,
) -> Result<(), Box<dyn Error>> {
    let running = thread::spawn(run);
    let greeting = io::read_to_string(TcpStream::connect(address)?)?;
    _ = Context::new().sleep(Duration::from_millis(750));
    let told = Instant::now();
    stop()?;
    let in_vain = running.join().map_err(|_| "the loop has panicked")??;
    let took = told.elapsed();
    println!(
        "{name} loop: says {greeting}; wakes for nothing: {in_vain}; closed {took:.1?} after it was told"
    );
    match TcpStream::connect(address) {
        Err(_) => Ok(()),
        Ok(_) => Err("somebody still listens".into()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let deadline = Duration::from_millis(env::args().nth(1).map_or(Ok(500), |ms| ms.parse())?.max(1));
    println!("two loops, each with one client and 750 ms of nothing; the deadline is {deadline:?}");
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (address, poll) = (listener.local_addr()?, Poll::new()?);
    let waker = Waker::new(poll.registry(), WAKER)?;
    show("waker", address, move || waker_loop(poll, listener), || waker.wake())?;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (address, stopped) = (listener.local_addr()?, Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&stopped);
    show(
        "deadline",
        address,
        move || deadline_loop(deadline, listener, &flag),
        || {
            stopped.store(true, Ordering::Release); // the store wakes no thread
            Ok(())
        },
    )?;
    println!("both are closed");
    Ok(())
}
