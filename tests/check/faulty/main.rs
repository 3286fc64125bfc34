//! A small server that stops well, except for one deliberate fault. `softstop check` must find this fault.
//!
//! This server shares no code with softstop. A thread serves each connection, because this design is the simplest.
//! Usage: `faulty PORT FAULT`.

mod connection;
mod fault;

use std::{
    env,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    process::{self, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use fault::Fault;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2},
    iterator::Signals,
};
use socket2::{Domain, SockFilter, SockRef, Socket, Type};

/// How long the server goes on accepting after the signal.
const LAME_DUCK: Duration = Duration::from_millis(300);
/// How long the whole stop takes at most.
const DEADLINE: Duration = Duration::from_secs(3);
/// How long nobody listens while a server with this fault is replaced.
const GAP: Duration = Duration::from_millis(100);
/// Signals within this time count as one.
const SAME: Duration = Duration::from_millis(500);
const TURN: Duration = Duration::from_millis(1);

/// The state that all threads share.
struct Shared {
    fault: Fault,
    stopping: Arc<AtomicBool>,
    replacing: Arc<AtomicBool>,
    connections: AtomicUsize,
    /// The number of these connections that the fault makes the server wait for, also beyond its deadline.
    held: AtomicUsize,
    /// Held by the connection that is being closed, if connections are closed one by one.
    turn: Mutex<()>,
}

/// Counts a connection among those that hold the stop, if the server has this fault.
struct Held<'a>(Option<&'a Shared>);

impl Held<'_> {
    fn is_held(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.0 {
            shared.held.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Shared {
    fn hold(&self, fault: Fault) -> Held<'_> {
        if self.fault != fault {
            return Held(None);
        }
        self.held.fetch_add(1, Ordering::AcqRel);
        Held(Some(self))
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let [_, port, fault] = &arguments[..] else { panic!("usage: faulty PORT FAULT") };
    let fault = Fault::parse(fault);
    let shared = Arc::new(Shared {
        fault,
        stopping: Arc::new(AtomicBool::new(false)),
        replacing: Arc::new(AtomicBool::new(false)),
        connections: AtomicUsize::new(0),
        held: AtomicUsize::new(0),
        turn: Mutex::new(()),
    });
    let address = SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port")));
    if fault == Fault::ReadyTooEarly {
        println!("listening on {address}");
        thread::sleep(Duration::from_millis(200));
    }
    let mut listener = match listen(address, fault) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("{address}: {error}");
            if fault == Fault::IgnoresPort {
                loop {
                    thread::park();
                }
            }
            process::exit(1);
        }
    };
    watch_signals(&shared);
    if fault != Fault::ReadyTooEarly {
        println!("listening on {address}");
    }
    if fault == Fault::LeaksChild {
        // The child has a session of its own, so that no signal to the group reaches it.
        let child = Command::new("setsid").args(["sleep", "60"]).stdin(Stdio::null()).spawn();
        drop(child.expect("a child"));
    }
    while !shared.is_stopping() {
        accept_all(&listener, &shared);
        thread::sleep(TURN);
        // The server that is replaced well keeps its listener, so a replacement has nothing else to do here.
        if shared.replacing.swap(false, Ordering::AcqRel) && fault == Fault::ReplacedWithGap {
            drop(listener);
            thread::sleep(GAP);
            listener = listen(address, fault).expect("the port of this server");
        }
    }
    let since = Instant::now();
    if fault == Fault::FullQueue {
        thread::sleep(Duration::from_millis(200));
    } else {
        accept_during_lame_duck(&listener, &shared, since);
    }
    drop(listener);
    loop {
        let connections = shared.connections.load(Ordering::Acquire);
        let is_held = shared.held.load(Ordering::Acquire) > 0;
        if connections == 0 || since.elapsed() > DEADLINE && !is_held {
            break;
        }
        thread::sleep(TURN);
    }
    process::exit(i32::from(fault == Fault::ExitsOne));
}

/// Listens with a backlog of 1024, so that the clients of a load are not refused before the stop.
fn listen(address: SocketAddr, fault: Fault) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(fault != Fault::NoReuse)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn watch_signals(shared: &Arc<Shared>) {
    if shared.fault == Fault::DiesAtOnce {
        return;
    }
    if !matches!(shared.fault, Fault::NeverDies | Fault::NeedsTwoSignals) {
        // The signal's handler itself sets the flag, so that a server that was suspended sees the stop before it runs
        // on.
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&shared.stopping)).expect("a handler");
        }
    }
    signal_hook::flag::register(SIGUSR2, Arc::clone(&shared.replacing)).expect("a handler");
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).expect("signals");
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        let mut first = None;
        for signal in signals.forever() {
            if signal == SIGHUP || shared.fault == Fault::NeverDies {
                continue;
            }
            let is_first = first.is_none();
            let since = *first.get_or_insert_with(Instant::now);
            if shared.fault == Fault::NeedsTwoSignals && !is_first {
                shared.stopping.store(true, Ordering::Release);
            }
            if since.elapsed() > SAME && shared.fault != Fault::IgnoresSecond {
                process::exit(3);
            }
        }
    });
}

/// Goes on accepting, then drops new handshakes and empties the queue, so that the close resets no client.
fn accept_during_lame_duck(listener: &TcpListener, shared: &Arc<Shared>, since: Instant) {
    while since.elapsed() < LAME_DUCK {
        accept_all(listener, shared);
        thread::sleep(TURN);
    }
    // Drops packets with SYN set in the 14th byte of the TCP header, and lets all others pass (BPF: ldb [13], jset,
    // ret, ret).
    let drop_syn = [
        SockFilter::new(0x30, 0, 0, 13),
        SockFilter::new(0x45, 0, 1, 0x02),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ];
    SockRef::from(listener).attach_filter(&drop_syn).expect("a filter");
    // Handshakes that are under way complete in this time.
    thread::sleep(TURN * 100);
    accept_all(listener, shared);
}

fn accept_all(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                shared.connections.fetch_add(1, Ordering::AcqRel);
                let shared = Arc::clone(shared);
                let thread = thread::Builder::new().stack_size(128 * 1024);
                thread.spawn(move || connection::serve(stream, &shared)).expect("a thread");
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
