//! The messages of netlink(7) and sock_diag(7): questions as bytes, and answers from bytes.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr},
    ops::ControlFlow,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

/// The message type of a question, and of each answer.
pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// The length of a question: a netlink header (netlink(7)) and an `inet_diag_req_v2` (sock_diag(7)).
const LENGTH: u32 = 72;
const REQUEST: u16 = 0x1;
const DUMP: u16 = 0x300;
const IPPROTO_TCP: u8 = 6;
const SYN_RECEIVED: u32 = 1 << 3;
const ANY_STATE: u32 = u32::MAX;
/// `INET_DIAG_NOCOOKIE`: the addresses alone decide which socket is meant.
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// Asks the kernel. Returns the state of the first socket that the kernel found, if it found one.
pub(super) fn ask(question: &[u8]) -> io::Result<Option<u8>> {
    let mut answer = [0; 4096];
    let length = send(question)?.read(&mut answer)?;
    first_state(&answer[..length])
}

/// Asks the kernel. Returns the length of the send queue of the first socket that the kernel found, if it found one.
pub(super) fn ask_unacknowledged(question: &[u8]) -> io::Result<Option<u32>> {
    // The header has 16 bytes. An `inet_diag_msg` follows: four bytes of states, 48 of addresses, the timer, the receive queue,
    // the send queue. Bytes that were sent and are not acknowledged count as queued.
    const SEND_QUEUE: usize = 16 + 60;
    let mut answer = [0; 4096];
    let length = send(question)?.read(&mut answer)?;
    let answer = &answer[..length];
    match (first_state(answer), answer.get(SEND_QUEUE..SEND_QUEUE + 4)) {
        (Ok(Some(_)), Some(&[a, b, c, d])) => Ok(Some(u32::from_ne_bytes([a, b, c, d]))),
        (Err(error), _) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        (Err(error), _) => Err(error),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Asks the kernel, and calls `found` with the time to the next timer of each socket that it found.
pub(super) fn each(question: &[u8], mut found: impl FnMut(Duration)) -> io::Result<()> {
    let mut socket = send(question)?;
    // With each read the kernel fills one buffer of at most 32 KiB, and continues its walk.
    let mut answer = vec![0; 32 * 1024];
    loop {
        let length = socket.read(&mut answer)?;
        if each_timer(&answer[..length], &mut found)?.is_break() {
            return Ok(());
        }
    }
}

fn send(question: &[u8]) -> io::Result<Socket> {
    const AF_NETLINK: i32 = 16;
    const NETLINK_SOCK_DIAG: i32 = 4;
    let mut socket =
        Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(NETLINK_SOCK_DIAG)))?;
    // The answer is there as soon as the question has been sent, so no read has to wait.
    socket.set_nonblocking(true)?;
    socket.write_all(question)?;
    Ok(socket)
}

/// Asks for all sockets of a port that are in the state SYN_RECV.
pub(super) fn dump_half_open(listening: SocketAddr) -> Vec<u8> {
    let mut message = begin(listening, REQUEST | DUMP, SYN_RECEIVED);
    message.extend(listening.port().to_be_bytes());
    // Zeros mean any: the peer's port, both addresses, the interface, and the cookie.
    message.resize(LENGTH as usize, 0);
    message
}

/// Asks for the one socket with these two addresses.
pub(super) fn find_one(local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    // A link-local address belongs to one interface.
    let interface = match local {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(local) => local.scope_id(),
    };
    let mut message = begin(local, REQUEST, ANY_STATE);
    message.extend(local.port().to_be_bytes());
    message.extend(peer.port().to_be_bytes());
    message.extend(octets(local.ip()));
    message.extend(octets(peer.ip()));
    message.extend(interface.to_ne_bytes());
    message.extend(NO_COOKIE);
    message
}

fn begin(local: SocketAddr, flags: u16, states: u32) -> Vec<u8> {
    let family = if local.is_ipv4() { 2 } else { 10 };
    let mut message = Vec::with_capacity(LENGTH as usize);
    message.extend(LENGTH.to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Sequence number and sender. A netlink socket with one question needs neither.
    message.extend([0; 8]);
    message.extend([family, IPPROTO_TCP, 0, 0]);
    message.extend(states.to_ne_bytes());
    message
}

/// An address takes sixteen bytes in either family.
fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&address.octets());
            octets
        }
        IpAddr::V6(address) => address.octets(),
    }
}

/// Calls `found` with the timer of each socket in one part of a list. Breaks if the list ends with this part.
pub(super) fn each_timer(part: &[u8], mut found: impl FnMut(Duration)) -> io::Result<ControlFlow<()>> {
    const HEADER: usize = 16;
    // An `inet_diag_msg` begins with four bytes of states and 48 of addresses.
    const EXPIRES: usize = HEADER + 52;
    const ALIGNMENT: usize = 4;
    let number = |bytes: Option<&[u8]>| match bytes {
        Some(&[a, b, c, d]) => Ok(u32::from_ne_bytes([a, b, c, d])),
        _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
    };
    let mut rest = part;
    while !rest.is_empty() {
        match first_state(rest)? {
            None => return Ok(ControlFlow::Break(())),
            Some(_) => {
                let expires = number(rest.get(EXPIRES..EXPIRES + 4))?;
                found(Duration::from_millis(expires.into()));
            }
        }
        let length = number(rest.get(..4))? as usize;
        // At least a header, because a message of length 0 would be read for ever.
        let next = length.max(HEADER).next_multiple_of(ALIGNMENT);
        rest = rest.get(next..).unwrap_or_default();
    }
    Ok(ControlFlow::Continue(()))
}

/// The state in the answer's first message, if that message is about a socket. `None`: the list ends here.
pub(super) fn first_state(answer: &[u8]) -> io::Result<Option<u8>> {
    const ERROR: u16 = 2;
    const DONE: u16 = 3;
    const HEADER: usize = 16;
    match answer.get(4..6).map(|bytes| u16::from_ne_bytes([bytes[0], bytes[1]])) {
        // An `inet_diag_msg` begins with the family and the state.
        Some(SOCK_DIAG_BY_FAMILY) if answer.len() > HEADER + 1 => Ok(Some(answer[HEADER + 1])),
        Some(DONE) => Ok(None),
        Some(ERROR) => Err(match answer.get(HEADER..HEADER + 4) {
            Some(&[a, b, c, d]) => {
                io::Error::from_raw_os_error(i32::from_ne_bytes([a, b, c, d]).saturating_neg())
            }
            _ => io::ErrorKind::InvalidData.into(),
        }),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}
