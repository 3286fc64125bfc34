//! What a listener owes to clients whose handshake is under way: `close` would reset them, as it resets every connection
//! that waits in the accept queue. So a listener that is about to close takes no new handshakes
//! ([`refuse_new`]), and looks whether one is half open ([`is_half_open`]) before it closes.
//!
//! ```text
//!   client        SYN ------------>            <- dropped from now on: the client tries again, elsewhere or later
//!                 <------------ SYN-ACK        <- half open: seen in /proc/net/tcp as SYN_RECV
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
    use socket2::{SockFilter, SockRef};
    // From linux/bpf_common.h: load a byte at a fixed offset, and with a constant, jump if equal, return.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    // RFC 9293 section 3.1: the flags are byte 13 of the TCP header, where the filter's packet begins.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn refuse_new(_: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether a handshake with one of these addresses is half open. Costs a walk through the kernel's table of connections,
/// a millisecond or two, so it is not to be asked without need.
pub(crate) fn is_half_open(listening: &[SocketAddr]) -> bool {
    let table = |path| std::fs::read_to_string(path).unwrap_or_default();
    let half_open = |path, is_wanted: fn(&SocketAddr) -> bool| {
        let ports: Vec<u16> =
            listening.iter().filter(|address| is_wanted(address)).map(SocketAddr::port).collect();
        !ports.is_empty() && has_half_open(&table(path), &ports)
    };
    half_open("/proc/net/tcp", SocketAddr::is_ipv4) || half_open("/proc/net/tcp6", SocketAddr::is_ipv6)
}

/// Whether a table as /proc/net/tcp has it (proc(5)) shows a handshake with one of the ports.
fn has_half_open(table: &str, ports: &[u16]) -> bool {
    const SYN_RECV: &str = "03";
    table.lines().any(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let (local, state) = (columns.next().unwrap_or(""), columns.nth(1));
        let port = local.rsplit(':').next().and_then(|port| u16::from_str_radix(port, 16).ok());
        state == Some(SYN_RECV) && port.is_some_and(|port| ports.contains(&port))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_open_handshake_is_found_by_port_and_state() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0100007F:1F90 0100007F:C350 03 00000000:00000000 01:00000064 00000000     0        0 0
   2: 0100007F:2328 0100007F:C351 01 00000000:00000000 00:00000000 00000000     0        0 2\n";
        assert!(has_half_open(table, &[8080]));
        assert!(has_half_open(table, &[9000, 8080]));
        assert!(!has_half_open(table, &[9000]), "established");
        assert!(!has_half_open(table, &[50000]), "the other side's port");
        assert!(!has_half_open("", &[8080]) && !has_half_open("nonsense\n\n 1: 2 3\n", &[8080]));
    }

    #[cfg(target_os = "linux")]
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
        assert!(!is_half_open(&[address]));
    }

    #[cfg(target_os = "linux")]
    fn blocking(stream: mio::net::TcpStream) -> std::net::TcpStream {
        let stream: std::net::TcpStream = stream.into();
        stream.set_nonblocking(false).unwrap();
        stream
    }
}
