//! The relay: reads packets from one TUN device, loses some, and writes the others to the other device after a delay.
//!
//! ```text
//!   device --> reader: lost? due when? --> queue (bounded) --> writer: sleeps until due --> other device
//! ```
//!
//! Each direction has two threads. Packets that are due at the same instant keep their order, so without jitter no
//! packet is reordered.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    fmt,
    io::{self, ErrorKind, PipeReader, PipeWriter},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};
use tun_rs::SyncDevice;

use super::{
    Conditions, Ports,
    namespace::{Device, MTU},
    packet::Segment,
};

/// The most packets under way in one direction: 24 MiB of full packets. 32 clients have far fewer packets in flight.
const UNDER_WAY: usize = 16 * 1024;

/// The destination of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// The outcomes of the packets of one direction.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub forwarded: u64,
    /// Packets that the relay lost because the conditions ask for a loss.
    pub lost: u64,
    /// Packets of clients that have vanished.
    pub silenced: u64,
    /// Packets that the relay had no room for, or that the kernel dropped before the relay read them. A run is valid
    /// only if this count is zero.
    pub overflowed: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { forwarded, lost, silenced, overflowed } = self;
        write!(f, "{forwarded} forwarded, {lost} lost, {silenced} silenced, {overflowed} overflowed")
    }
}

#[derive(Debug, Default)]
struct Tally {
    forwarded: AtomicU64,
    lost: AtomicU64,
    silenced: AtomicU64,
    overflowed: AtomicU64,
    under_way: AtomicUsize,
}

impl Tally {
    fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Acquire);
        Counts {
            forwarded: of(&self.forwarded),
            lost: of(&self.lost),
            silenced: of(&self.silenced),
            overflowed: of(&self.overflowed),
        }
    }
}

/// The relay of both directions. Dropping the relay ends the threads and waits for them.
#[derive(Debug)]
pub(super) struct Relay {
    tallies: [Arc<Tally>; 2],
    threads: Vec<JoinHandle<()>>,
    /// The writing end of a pipe whose reading end both readers poll.
    end: Option<PipeWriter>,
}

impl Relay {
    pub(super) fn start(
        client: Device,
        server: Device,
        conditions: Conditions,
        seed: u64,
        ports: &Arc<Ports>,
    ) -> io::Result<Relay> {
        let (client, server) = (Arc::new(client.0), Arc::new(server.0));
        let (ended, end) = io::pipe()?;
        let mut relay = Relay { tallies: Default::default(), threads: Vec::new(), end: Some(end) };
        let ways = [(Direction::ToServer, &client, &server), (Direction::ToClient, &server, &client)];
        for ((direction, from, to), tally) in ways.into_iter().zip(&relay.tallies) {
            let (packets, arriving) = mpsc::channel();
            let reader = Reader {
                direction,
                device: Arc::clone(from),
                ended: ended.try_clone()?,
                // Each direction has a seed of its own, so that the losses differ.
                fate: Fate::new(conditions, seed.wrapping_add(direction as u64)),
                ports: Arc::clone(ports),
                tally: Arc::clone(tally),
                packets,
            };
            let writer = Writer { device: Arc::clone(to), tally: Arc::clone(tally), arriving };
            relay.threads.push(thread::Builder::new().name("relay-read".to_owned()).spawn(|| reader.run())?);
            relay.threads.push(thread::Builder::new().name("relay-write".to_owned()).spawn(|| writer.run())?);
        }
        Ok(relay)
    }

    pub(super) fn counts(&self) -> [Counts; 2] {
        [self.tallies[0].counts(), self.tallies[1].counts()]
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The readers see a hang-up of their pipe. The writers see the end of their channels.
        drop(self.end.take());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A packet that waits until it is due. The number keeps the order of packets that are due at the same instant.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    due: Instant,
    number: u64,
    bytes: Vec<u8>,
}

/// Decides the fate of each packet in turn. The same seed gives the same fates.
#[derive(Debug)]
pub(super) struct Fate {
    conditions: Conditions,
    random: fastrand::Rng,
}

impl Fate {
    pub(super) fn new(conditions: Conditions, seed: u64) -> Fate {
        Fate { conditions, random: fastrand::Rng::with_seed(seed) }
    }

    /// The delay of the next packet. Returns `None` if the packet is lost.
    pub(super) fn next(&mut self) -> Option<Duration> {
        let Conditions { delay, jitter, loss } = self.conditions;
        if loss > 0.0 && self.random.f64() < loss {
            return None;
        }
        // The sum is a random value from `delay - jitter` to `delay + jitter`.
        let jittered = jitter.mul_f64(2.0 * self.random.f64());
        Some(delay.saturating_sub(jitter) + jittered)
    }
}

struct Reader {
    direction: Direction,
    device: Arc<SyncDevice>,
    ended: PipeReader,
    fate: Fate,
    ports: Arc<Ports>,
    tally: Arc<Tally>,
    packets: mpsc::Sender<Packet>,
}

impl Reader {
    fn run(mut self) {
        let mut buffer = [0; MTU as usize];
        let mut number = 0;
        while self.wait() {
            let length = match self.device.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    continue;
                }
                // The device is gone.
                Err(_) => return,
            };
            let Some(due) = self.due(&buffer[..length]) else { continue };
            number += 1;
            if self.packets.send(Packet { due, number, bytes: buffer[..length].to_vec() }).is_err() {
                return;
            }
        }
    }

    /// Waits for a packet. Returns false once the relay should end.
    fn wait(&self) -> bool {
        let mut watched =
            [PollFd::new(&*self.device, PollFlags::IN), PollFd::new(&self.ended, PollFlags::IN)];
        loop {
            match poll(&mut watched, None) {
                Ok(_) => return watched[1].revents().is_empty(),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// The instant at which the packet is due. Returns `None` if the packet is dropped.
    fn due(&mut self, packet: &[u8]) -> Option<Instant> {
        let now = Instant::now();
        let passes = match (Segment::of(packet), self.direction) {
            (None, _) => true,
            (Some(segment), Direction::ToServer) => self.ports.lets_out(segment),
            (Some(segment), Direction::ToClient) => self.ports.lets_in(segment),
        };
        let Tally { lost, silenced, overflowed, under_way, .. } = &*self.tally;
        let count = |of: &AtomicU64| {
            of.fetch_add(1, Ordering::AcqRel);
            None
        };
        if !passes {
            return count(silenced);
        }
        let Some(delay) = self.fate.next() else { return count(lost) };
        if under_way.fetch_add(1, Ordering::AcqRel) >= UNDER_WAY {
            under_way.fetch_sub(1, Ordering::AcqRel);
            return count(overflowed);
        }
        Some(now + delay)
    }
}

struct Writer {
    device: Arc<SyncDevice>,
    tally: Arc<Tally>,
    arriving: mpsc::Receiver<Packet>,
}

impl Writer {
    fn run(self) {
        let mut waiting: BinaryHeap<Reverse<Packet>> = BinaryHeap::new();
        loop {
            let arrived = match waiting.peek_mut() {
                None => self.arriving.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(next) => match next.0.due.saturating_duration_since(Instant::now()) {
                    Duration::ZERO => {
                        self.write(&PeekMut::pop(next).0);
                        continue;
                    }
                    until_due => self.arriving.recv_timeout(until_due),
                },
            };
            match arrived {
                Ok(packet) => waiting.push(Reverse(packet)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn write(&self, packet: &Packet) {
        // An error means that the device is down, or that its namespace has no room. The conditions ask for neither
        // loss.
        let count = match self.device.send(&packet.bytes) {
            Ok(_) => &self.tally.forwarded,
            Err(_) => &self.tally.overflowed,
        };
        count.fetch_add(1, Ordering::AcqRel);
        self.tally.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}
