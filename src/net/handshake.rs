//! What a listener owes to clients whose handshake is under way: `close` would reset them, as it resets every connection
//! that waits in the accept queue. So a listener that is about to close takes no new handshakes
//! ([`refuse_new`]), and looks whether one is half open ([`is_half_open`]) before it closes.
//!
//! ```text
//!   client        SYN ------------>            <- dropped from now on: the client tries again, elsewhere or later
//!                 <------------ SYN-ACK        <- half open: the kernel has it as SYN_RECV
//!                 ACK ------------>            <- in the accept queue: accepted before the close
//! ```
//!
//! Both are Linux's; elsewhere a listener closes after its accept queue is empty, and the few handshakes of that moment
//! are reset.

use std::{io, net::SocketAddr};

use mio::net::TcpListener;

/// Drops the first packet of every new handshake, and lets everything else pass: packets of handshakes under way, and of
/// connections. A classic BPF filter on the listener; accepted sockets inherit it, to no effect, as a connection that is
/// there gets no bare SYN.
#[cfg(target_os = "linux")]
pub(crate) fn refuse_new(listener: &TcpListener) -> io::Result<()> {
    drop_packets(listener, SYN)
}

/// RFC 9293 section 3.1: bits of byte 13 of the TCP header.
#[cfg(target_os = "linux")]
const SYN: u32 = 0x02;
#[cfg(target_os = "linux")]
const ACK: u32 = 0x10;

/// Drops what comes to the listener with exactly these of the two flags.
#[cfg(target_os = "linux")]
fn drop_packets(listener: &TcpListener, flags: u32) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};
    // From linux/bpf_common.h: load a byte at a fixed offset, and with a constant, jump if equal, return.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    // The packet that a filter sees begins with the TCP header.
    const FLAGS: u32 = 13;
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, flags),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn refuse_new(_: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether a handshake with one of these addresses is half open. The kernel walks through its table of connections to
/// answer that, which takes a millisecond or so, so it is not to be asked without need.
#[cfg(target_os = "linux")]
pub(crate) fn is_half_open(listening: &[SocketAddr]) -> bool {
    listening.iter().any(|address| {
        ask_kernel(*address).unwrap_or_else(|error| {
            log::debug!("cannot look for half-open handshakes with {address}: {error}");
            false
        })
    })
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_half_open(_: &[SocketAddr]) -> bool {
    false
}

/// Asks by sock_diag(7): a dump of all sockets of a port that are in the state SYN_RECV. (/proc/net/tcp has them too, but
/// it also writes out every other connection of the machine.)
#[cfg(target_os = "linux")]
fn ask_kernel(address: SocketAddr) -> io::Result<bool> {
    use socket2::{Domain, Protocol, Socket, Type};
    use std::io::{Read, Write};
    const AF_NETLINK: i32 = 16;
    const NETLINK_SOCK_DIAG: i32 = 4;
    let mut socket =
        Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(NETLINK_SOCK_DIAG)))?;
    // The answer is there when the question has been sent.
    socket.set_nonblocking(true)?;
    socket.write_all(&question(address))?;
    let mut answer = [0; 4096];
    let length = socket.read(&mut answer)?;
    is_any_found(&answer[..length])
}

/// A netlink header (netlink(7)) and an `inet_diag_req_v2` (sock_diag(7)).
#[cfg(target_os = "linux")]
fn question(address: SocketAddr) -> Vec<u8> {
    const LENGTH: u32 = 72;
    const REQUEST_DUMP: u16 = 0x301;
    const IPPROTO_TCP: u8 = 6;
    const SYN_RECV: u32 = 1 << 3;
    let family = if address.is_ipv4() { 2 } else { 10 };
    let mut message = Vec::with_capacity(LENGTH as usize);
    message.extend(LENGTH.to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(REQUEST_DUMP.to_ne_bytes());
    // Sequence number and sender: one question a socket needs neither.
    message.extend([0; 8]);
    message.extend([family, IPPROTO_TCP, 0, 0]);
    message.extend(SYN_RECV.to_ne_bytes());
    message.extend(address.port().to_be_bytes());
    // Peer's port, both addresses, interface and cookie: any.
    message.resize(LENGTH as usize, 0);
    message
}

/// Type of the question, and of each answer to it.
#[cfg(target_os = "linux")]
const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// Whether the first message of the answer is a socket, and not the end of the list.
#[cfg(target_os = "linux")]
fn is_any_found(answer: &[u8]) -> io::Result<bool> {
    const DONE: u16 = 3;
    match answer.get(4..6).map(|bytes| u16::from_ne_bytes([bytes[0], bytes[1]])) {
        Some(SOCK_DIAG_BY_FAMILY) => Ok(true),
        Some(DONE) => Ok(false),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_of_the_kernels_form() {
        let message = question("127.0.0.1:8080".parse().unwrap());
        assert_eq!(message.len(), 72);
        assert_eq!((&message[16..18], &message[24..26]), (&[2, 6][..], &[0x1f, 0x90][..]));
        assert_eq!(question("[::1]:80".parse().unwrap())[16], 10);
    }

    #[test]
    fn an_answer_begins_with_a_socket_or_the_end_of_the_list() {
        let answer = |kind: u16| [&[0; 4][..], &kind.to_ne_bytes(), &[0; 10]].concat();
        assert!(is_any_found(&answer(20)).unwrap());
        assert!(!is_any_found(&answer(3)).unwrap());
        assert!(is_any_found(&answer(2)).is_err() && is_any_found(&[]).is_err());
    }

    #[test]
    fn a_handshake_whose_last_packet_is_missing_is_half_open() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let listener = crate::net::bind(local, 16).unwrap();
            let address = listener.local_addr().unwrap();
            let listener = TcpListener::from_std(listener);
            assert!(!ask_kernel(address).unwrap());
            drop_packets(&listener, ACK).unwrap();
            let _client = std::net::TcpStream::connect(address).unwrap();
            assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            assert!(is_half_open(&[address]), "{local}");
        }
    }

    #[test]
    fn with_the_filter_what_is_queued_stays_and_what_is_new_is_not_heard() {
        use std::{io::Write, net::TcpStream, time::Duration};
        let listener = crate::net::bind("127.0.0.1:0", 16).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = TcpStream::connect(address).unwrap();
        let listener = TcpListener::from_std(listener);
        refuse_new(&listener).unwrap();
        // A SYN that is not heard is not refused either: this would be ConnectionRefused otherwise.
        let unheard = TcpStream::connect_timeout(&address, Duration::from_millis(50)).unwrap_err();
        assert_eq!(unheard.kind(), io::ErrorKind::TimedOut);
        let (accepted, _) = listener.accept().unwrap();
        queued.write_all(b"still here").unwrap();
        drop(queued);
        assert_eq!(io::read_to_string(blocking(accepted)).unwrap(), "still here");
        assert!(!ask_kernel(address).unwrap(), "established, not half open");
    }

    fn blocking(stream: mio::net::TcpStream) -> std::net::TcpStream {
        let stream: std::net::TcpStream = stream.into();
        stream.set_nonblocking(false).unwrap();
        stream
    }
}
