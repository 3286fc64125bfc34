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

use super::sock_diag;

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
pub(crate) fn is_half_open(listening: &[SocketAddr]) -> bool {
    listening.iter().any(|address| {
        sock_diag::is_any_half_open(*address).unwrap_or_else(|error| {
            log::debug!("cannot look for half-open handshakes with {address}: {error}");
            false
        })
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_whose_last_packet_is_missing_is_half_open() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let listener = crate::net::bind(local, 16, None).unwrap();
            let address = listener.local_addr().unwrap();
            let listener = TcpListener::from_std(listener);
            assert!(!sock_diag::is_any_half_open(address).unwrap());
            drop_packets(&listener, ACK).unwrap();
            let _client = std::net::TcpStream::connect(address).unwrap();
            assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            assert!(is_half_open(&[address]), "{local}");
        }
    }

    #[test]
    fn with_the_filter_what_is_queued_stays_and_what_is_new_is_not_heard() {
        use std::{io::Write, net::TcpStream, time::Duration};
        let listener = crate::net::bind("127.0.0.1:0", 16, None).unwrap();
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
        assert!(!sock_diag::is_any_half_open(address).unwrap(), "established, not half open");
    }

    fn blocking(stream: mio::net::TcpStream) -> std::net::TcpStream {
        let stream: std::net::TcpStream = stream.into();
        stream.set_nonblocking(false).unwrap();
        stream
    }
}
