//! Questions to the kernel about TCP sockets, by sock_diag(7): whether a handshake with a listener is half open, and which
//! state one connection is in. Both work without any privilege. (`/proc/net/tcp` tells the same, but writes out every
//! socket of the machine for it.)
//!
//! Linux has this; elsewhere every question fails with [`io::ErrorKind::Unsupported`].

use std::{io, net::SocketAddr, time::Duration};

/// The state of a connection: the numbers of `include/net/tcp_states.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum TcpState {
    Established = 1,
    SynReceived = 3,
    /// Our FIN was sent, and the peer has not acknowledged it yet.
    FinWait1 = 4,
    /// The peer has acknowledged our FIN, and with it every byte before.
    FinWait2 = 5,
    /// Any other state.
    Other = 0,
}

/// The half-open handshakes of one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HalfOpen {
    pub(crate) count: u64,
    /// The time to the last of their next SYN-ACKs, of those that the kernel repeats within the window that was asked for.
    pub(crate) repetition: Option<Duration>,
}

/// The half-open handshakes with this listening address, if there are any. `window` is how long their repetitions are of
/// interest.
///
/// The kernel walks through its whole table of connections to answer, which all network namespaces share, and sockets in
/// TIME_WAIT are in it. With room for 262,144 a question took 0.3 ms without any socket in TIME_WAIT, 0.6 ms with 10,000
/// and 3.5 ms with 28,000 (medians of 200 on two cores that were busy with other work; 1.2 ms with 24,000 in a quieter
/// minute). The number of half-open handshakes is bounded by the listener's backlog.
///
/// # Errors
///
/// If netlink sockets are forbidden here, or the kernel has no `sock_diag`.
pub(crate) fn half_open(listening: SocketAddr, window: Duration) -> io::Result<Option<HalfOpen>> {
    #[cfg(target_os = "linux")]
    {
        let mut found = HalfOpen { count: 0, repetition: None };
        linux::each(&linux::dump_half_open(listening), |repeated_in| {
            found.count += 1;
            if repeated_in <= window {
                found.repetition = found.repetition.max(Some(repeated_in));
            }
        })?;
        Ok((found.count > 0).then_some(found))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (listening, window);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The state of the connection between these two addresses; `None` if the kernel knows none (any more). The kernel looks
/// up one entry of its table, so this costs a few system calls and no walk.
///
/// # Errors
///
/// If netlink sockets are forbidden here, or the kernel has no `sock_diag`.
pub(crate) fn state_of(local: SocketAddr, peer: SocketAddr) -> io::Result<Option<TcpState>> {
    #[cfg(target_os = "linux")]
    {
        let answer = match linux::ask(&linux::find_one(local, peer)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            answer => answer?,
        };
        Ok(answer.map(|state| match state {
            1 => TcpState::Established,
            3 => TcpState::SynReceived,
            4 => TcpState::FinWait1,
            5 => TcpState::FinWait2,
            _ => TcpState::Other,
        }))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (local, peer);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// How many bytes this side of a connection has written and the peer has not acknowledged; `None` as for [`state_of`].
///
/// # Errors
///
/// Those of [`state_of`].
pub(crate) fn unacknowledged(local: SocketAddr, peer: SocketAddr) -> io::Result<Option<u32>> {
    #[cfg(target_os = "linux")]
    {
        linux::ask_unacknowledged(&linux::find_one(local, peer))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (local, peer);
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        io::{self, Read, Write},
        net::{IpAddr, SocketAddr},
        ops::ControlFlow,
        time::Duration,
    };

    use socket2::{Domain, Protocol, Socket, Type};

    /// Type of the question, and of each answer to it.
    pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;
    /// A netlink header (netlink(7)) and an `inet_diag_req_v2` (sock_diag(7)).
    const LENGTH: u32 = 72;
    const REQUEST: u16 = 0x1;
    const DUMP: u16 = 0x300;
    const IPPROTO_TCP: u8 = 6;
    const SYN_RECEIVED: u32 = 1 << 3;
    const ANY_STATE: u32 = u32::MAX;
    /// `INET_DIAG_NOCOOKIE`: the addresses alone decide which socket is meant.
    const NO_COOKIE: [u8; 8] = [0xff; 8];

    /// Asks the kernel; the state of the first socket that it found, if it found one.
    pub(super) fn ask(question: &[u8]) -> io::Result<Option<u8>> {
        let mut answer = [0; 4096];
        let length = send(question)?.read(&mut answer)?;
        first_state(&answer[..length])
    }

    /// Asks the kernel; the length of the send queue of the first socket that it found, if it found one.
    pub(super) fn ask_unacknowledged(question: &[u8]) -> io::Result<Option<u32>> {
        // After the header of 16 bytes, in an `inet_diag_msg`: four bytes of states, 48 of addresses, the timer and the
        // receive queue. What was sent and is not acknowledged counts as queued.
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
        // The kernel fills one buffer a read, of at most 32 KiB, and goes on with its walk at the next one.
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
        // The answer is there when the question has been sent.
        socket.set_nonblocking(true)?;
        socket.write_all(question)?;
        Ok(socket)
    }

    /// Asks for all sockets of a port that are in the state SYN_RECV.
    pub(super) fn dump_half_open(listening: SocketAddr) -> Vec<u8> {
        let mut message = begin(listening, REQUEST | DUMP, SYN_RECEIVED);
        message.extend(listening.port().to_be_bytes());
        // Peer's port, both addresses, interface and cookie: any.
        message.resize(LENGTH as usize, 0);
        message
    }

    /// Asks for the one socket with these two addresses.
    pub(super) fn find_one(local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
        // A link-local address means a socket of one interface.
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
        // Sequence number and sender: one question a socket needs neither.
        message.extend([0; 8]);
        message.extend([family, IPPROTO_TCP, 0, 0]);
        message.extend(states.to_ne_bytes());
        message
    }

    /// An address fills sixteen bytes, whatever its family.
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

    /// The timer of each socket in a part of a list; break if the list ends with this part.
    pub(super) fn each_timer(part: &[u8], mut found: impl FnMut(Duration)) -> io::Result<ControlFlow<()>> {
        const HEADER: usize = 16;
        // In an `inet_diag_msg`: four bytes of states, 48 of addresses.
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
            // A message of no length would never end.
            let next = length.max(HEADER).next_multiple_of(ALIGNMENT);
            rest = rest.get(next..).unwrap_or_default();
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The state in the answer's first message, if that is a socket, and not the end of the list.
    pub(super) fn first_state(answer: &[u8]) -> io::Result<Option<u8>> {
        const ERROR: u16 = 2;
        const DONE: u16 = 3;
        const HEADER: usize = 16;
        match answer.get(4..6).map(|bytes| u16::from_ne_bytes([bytes[0], bytes[1]])) {
            // An `inet_diag_msg`: the family, then the state.
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
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{Shutdown, TcpListener, TcpStream};

    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn the_questions_are_of_the_kernels_form() {
        let local = "127.0.0.1:8080".parse().unwrap();
        let message = linux::dump_half_open(local);
        assert_eq!(message.len(), 72);
        assert_eq!((&message[16..18], &message[24..26]), (&[2, 6][..], &[0x1f, 0x90][..]));
        assert_eq!(linux::dump_half_open("[::1]:80".parse().unwrap())[16], 10);
        let message = linux::find_one(local, "127.0.0.2:80".parse().unwrap());
        assert_eq!(message.len(), 72);
        assert_eq!((&message[28..32], &message[44..48]), (&[127, 0, 0, 1][..], &[127, 0, 0, 2][..]));
    }

    #[test]
    fn an_answer_begins_with_a_socket_an_error_or_the_end_of_the_list() {
        let answer = |kind: u16| [&[0; 4][..], &kind.to_ne_bytes(), &[0; 10], &[2, 5, 0, 0]].concat();
        assert_eq!(linux::first_state(&answer(20)).unwrap(), Some(5));
        assert_eq!(linux::first_state(&answer(3)).unwrap(), None);
        assert!(linux::first_state(&answer(2)).is_err() && linux::first_state(&[]).is_err());
    }

    #[test]
    fn the_timers_of_a_list_are_read_part_by_part() {
        let socket = |milliseconds: u32| {
            let message =
                [&88_u32.to_ne_bytes()[..], &20_u16.to_ne_bytes(), &[0; 10], &[2, 3, 1, 0], &[0; 48]];
            [&message.concat()[..], &milliseconds.to_ne_bytes(), &[0; 16]].concat()
        };
        let end = [&20_u32.to_ne_bytes()[..], &3_u16.to_ne_bytes(), &[0; 14]].concat();
        let mut timers = Vec::new();
        let mut read = |part: &[u8]| linux::each_timer(part, |timer| timers.push(timer.as_millis()));
        assert!(read(&[socket(700), socket(1)].concat()).unwrap().is_continue());
        assert!(read(&[socket(3), end].concat()).unwrap().is_break());
        assert!(read(&socket(3)[..60]).is_err());
        assert_eq!(timers, [700, 1, 3]);
    }

    /// Holds what the window of a closing listener relies on: the kernel repeats a SYN-ACK after one second.
    #[test]
    fn a_half_open_handshake_says_when_its_syn_ack_is_repeated() {
        use socket2::{SockFilter, SockRef};
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(local).unwrap();
            let address = listener.local_addr().unwrap();
            assert_eq!(half_open(address, Duration::MAX).unwrap(), None);
            let client = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
            // Drops every packet, so that the client never sees the SYN-ACK.
            SockRef::from(&client).attach_filter(&[SockFilter::new(0x06, 0, 0, 0)]).unwrap();
            client.set_nonblocking(true).unwrap();
            assert!(client.connect(&address.into()).is_err());
            let found = half_open(address, Duration::MAX).unwrap().unwrap();
            assert_eq!(found.count, 1);
            // The client repeats its SYN after a second too, and each repetition doubles the kernel's time.
            assert!(found.repetition.is_some_and(|left| left <= Duration::from_secs(64)), "{found:?}");
            assert_eq!(half_open(address, Duration::ZERO).unwrap().unwrap().repetition, None);
        }
    }

    #[test]
    fn a_connection_is_followed_from_its_fin_to_the_acknowledgement() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(local).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, peer) = listener.accept().unwrap();
            let local = server.local_addr().unwrap();
            assert_eq!(state_of(local, peer).unwrap(), Some(TcpState::Established));
            server.shutdown(Shutdown::Write).unwrap();
            // On loopback a client that has never written confirms the FIN at once; a delayed confirmation takes 40 ms.
            let began = std::time::Instant::now();
            loop {
                match state_of(local, peer).unwrap() {
                    Some(TcpState::FinWait2) => break,
                    Some(TcpState::FinWait1) => assert!(began.elapsed().as_secs() < 30, "hung"),
                    other => panic!("{other:?}"),
                }
            }
            drop((client, server));
        }
        let (nobody, nowhere) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        assert_eq!(state_of(nobody, nowhere).unwrap(), None);
    }
}
