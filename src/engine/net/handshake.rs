//! Half-open handshakes of a closing listener. `close` would reset these clients, and every connection in the accept queue. So
//! a closing listener first refuses new clients ([`refuse_new`]), then looks for half-open handshakes ([`look`]), accepts these
//! clients, and closes last. (docs/glossary.md explains the terms.)
//!
//! ```text
//!   client        SYN ------------>            <- refused from now on: answered RST, the client can go elsewhere
//!                 <------------ SYN-ACK        <- half open: SYN_RECV in the kernel's table; the kernel repeats the SYN-ACK
//!                 ACK ------------>            <- in the accept queue: accepted before the close
//! ```
//!
//! Only Linux offers both. On other systems a listener closes when its accept queue is empty, and the kernel resets the
//! handshakes of that moment.
//!
//! What remains: while the kernel uses SYN cookies (the backlog is full, or `tcp_syncookies` is 2), a handshake has no
//! half-open entry. Its last packet is answered RST once the listener is bound away. The filter lets that packet pass, so the
//! filter is preferred then, where it is allowed ([`Cookies`]).

use std::{
    fs, io,
    net::{Shutdown, SocketAddr},
    time::{Duration, Instant},
};

use socket2::SockRef;

use super::sock_diag;
use crate::{isolation::journal, stop::ListenerEnd};

/// How long the last packet of a handshake may travel: a round trip around the world.
const ROUND_TRIP: Duration = Duration::from_millis(500);
/// How long a closing listener waits for half-open handshakes at most. The kernel sends a SYN-ACK at once, and repeats it after
/// one second and after three (RFC 6298 section 2: the time doubles). A round trip follows. The listener waits for so long only
/// if a repetition is still to come: see [`look`].
const WINDOW: Duration = Duration::from_millis(3500);
/// How long a closing listener waits where the kernel does not tell which handshakes are half open. One repetition of a lost
/// SYN-ACK fits. The second does not, because every stop takes this time there.
const BLIND_WINDOW: Duration = Duration::from_millis(1500);

/// A way to keep new clients away from a listener.
type Way = (ListenerEnd, fn(&SockRef<'_>) -> io::Result<()>);
const REFUSE: Way = (ListenerEnd::Refused, bind_away);
const DROP: Way = (ListenerEnd::Dropped, drop_syns);

/// Has the kernel refuse new clients of a listener that this process holds alone. The accept queue and the half-open
/// handshakes stay as they are. Returns how new clients are refused.
///
/// Must not be called for a listener that is kept, or that other processes hold, too: a binding or a filter outlives this
/// process, and an ordinary user can remove neither.
pub(crate) fn refuse_new(listener: &SockRef<'_>, cookies: Cookies) -> ListenerEnd {
    let is_unix = listener.local_addr().is_ok_and(|address| address.is_unix());
    let ways: &[Way] = match cookies {
        // Connecting fails at once, and the queue stays. (On a TCP listener the same call discards the queue.)
        _ if is_unix => &[(ListenerEnd::Refused, |listener| listener.shutdown(Shutdown::Read))],
        Cookies::None => &[REFUSE, DROP],
        Cookies::Sent => &[DROP, REFUSE],
    };
    for (end, way) in ways {
        match way(listener) {
            Ok(()) => return *end,
            Err(error) => {
                journal::debug!("a closing listener tries another way to refuse new clients: {error}")
            }
        }
    }
    ListenerEnd::Emptied
}

/// Binds the listener to an interface that does not exist. Then a SYN finds no listener and is answered RST. Packets of half-open
/// handshakes and of connections still find their own entries in the kernel's table. Since 5.7 Linux allows this to every user,
/// unless the listener is bound to an interface already.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn bind_away(listener: &SockRef<'_>) -> io::Result<()> {
    // The kernel counts interfaces from 1 upwards, and no machine has so many.
    const NOWHERE: std::num::NonZeroU32 = std::num::NonZeroU32::new(i32::MAX as u32).expect("not zero");
    if listener.local_addr()?.is_ipv6() {
        listener.bind_device_by_index_v6(Some(NOWHERE))
    } else {
        listener.bind_device_by_index_v4(Some(NOWHERE))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bind_away(_: &SockRef<'_>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Drops the first packet of every new handshake, and lets packets of half-open handshakes and of connections pass. This is a
/// classic BPF filter on the listener; current kernels require CAP_NET_ADMIN for it. Accepted sockets inherit the filter without
/// any effect, because an established connection gets no bare SYN.
#[cfg(target_os = "linux")]
fn drop_syns(listener: &SockRef<'_>) -> io::Result<()> {
    drop_packets(listener, SYN)
}

#[cfg(not(target_os = "linux"))]
fn drop_syns(_: &SockRef<'_>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// RFC 9293 section 3.1: bits of byte 13 of the TCP header.
#[cfg(target_os = "linux")]
const SYN: u32 = 0x02;
#[cfg(target_os = "linux")]
const ACK: u32 = 0x10;

/// Drops packets to the listener in which exactly `flags` are set, of the two flags SYN and ACK.
#[cfg(target_os = "linux")]
fn drop_packets(listener: &SockRef<'_>, flags: u32) -> io::Result<()> {
    use socket2::SockFilter;
    // From linux/bpf_common.h: load a byte at a fixed offset, bitwise and with a constant, jump if equal, return.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    // The packet that a filter sees begins with the TCP header.
    const FLAGS: u32 = 13;
    listener.attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, flags),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

/// Whether the kernel has sent SYN cookies in this network namespace while the server listened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cookies {
    None,
    Sent,
}

impl Cookies {
    /// `before` is what [`cookies_sent`] returned when listening began.
    pub(crate) fn since(before: u64) -> Cookies {
        if cookies_sent() > before { Cookies::Sent } else { Cookies::None }
    }
}

/// How many SYN cookies the kernel has sent in this network namespace; 0 where the kernel does not tell.
pub(crate) fn cookies_sent() -> u64 {
    fs::read_to_string("/proc/self/net/netstat").map_or(0, |text| parse_cookies(&text).unwrap_or(0))
}

/// The text has two lines for each group of counters: the names, then the values.
fn parse_cookies(netstat: &str) -> Option<u64> {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let column = names.split_whitespace().position(|name| name == "SyncookiesSent")?;
    values.split_whitespace().nth(column)?.parse().ok()
}

/// What a closing listener waits for before it closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    /// When so many clients have been accepted, every half-open handshake is complete. Then the listener looks again.
    pub(crate) handshakes: HalfOpenCount,
    /// At this time the listener looks again. A client that has not come by then has lost a packet once more, or is gone.
    pub(crate) until: Instant,
}

/// How many handshakes are half open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HalfOpenCount {
    Known(u64),
    /// The kernel does not tell.
    Unknown,
}

impl HalfOpenCount {
    fn add(&mut self, more: u64) {
        if let HalfOpenCount::Known(count) = self {
            *count += more;
        }
    }
}

/// Looks for half-open handshakes with these listeners, which began to close at `began` in the way `end`. Returns what to wait
/// for; `None` if no further client can be expected.
///
/// ```text
///   the next SYN-ACK is due    within the window    wait for it, and a round trip for its answer
///                              later                only a round trip from `began`: its answer may be on the way
///   the kernel does not tell                        wait for BLIND_WINDOW from `began`
/// ```
///
/// There are few looks, because each one waits for the last repetition that can still be answered, and a handshake has two
/// repetitions in the window.
pub(crate) fn look(
    listening: &[SocketAddr],
    end: ListenerEnd,
    cookies: Cookies,
    (began, now): (Instant, Instant),
) -> Option<Wait> {
    let mut wait = Wait { handshakes: HalfOpenCount::Known(0), until: began };
    let left = (began + WINDOW).checked_duration_since(now + ROUND_TRIP).unwrap_or_default();
    for address in listening {
        match sock_diag::half_open(*address, left) {
            Ok(None) => {}
            Ok(Some(half_open)) => {
                wait.handshakes.add(half_open.count);
                let repeated = half_open.repetition.map_or(began, |repetition| now + repetition);
                wait.until = wait.until.max(repeated + ROUND_TRIP);
            }
            // No look helps: new clients are not refused, so the close resets the clients of whatever moment it has.
            Err(_) if end == ListenerEnd::Emptied => {}
            Err(error) => {
                if now < began + BLIND_WINDOW {
                    journal::info!(
                        "the listener on {address} closes in {BLIND_WINDOW:?}: the kernel does not tell which handshakes are half open: {error}"
                    );
                }
                let until = wait.until.max(began + BLIND_WINDOW);
                wait = Wait { handshakes: HalfOpenCount::Unknown, until };
            }
        }
    }
    if (end, cookies) == (ListenerEnd::Dropped, Cookies::Sent) {
        // Handshakes with a SYN cookie have no entry in the kernel's table.
        wait = Wait { handshakes: HalfOpenCount::Unknown, until: wait.until.max(began + ROUND_TRIP) };
    }
    (wait.until > now).then_some(wait)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::unix::net::{UnixListener, UnixStream},
    };

    use super::*;

    fn listen(address: &str) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// The queued connection is accepted and served. It is established, so it is not half open.
    fn assert_queue_stays(listener: &TcpListener, queued: TcpStream) {
        use std::io::Write;
        let (accepted, _) = listener.accept().unwrap();
        accepted.set_nonblocking(false).unwrap();
        (&queued).write_all(b"still here").unwrap();
        drop(queued);
        assert_eq!(io::read_to_string(accepted).unwrap(), "still here");
        let address = listener.local_addr().unwrap();
        assert_eq!(sock_diag::half_open(address, WINDOW).unwrap(), None);
    }

    #[test]
    fn new_clients_are_refused_at_once_and_what_is_queued_stays() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let (listener, address) = listen(local);
            let queued = TcpStream::connect(address).unwrap();
            assert_eq!(refuse_new(&SockRef::from(&listener), Cookies::None), ListenerEnd::Refused);
            assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
            assert_queue_stays(&listener, queued);
        }
    }

    #[test]
    fn with_the_filter_what_is_queued_stays_and_what_is_new_is_not_heard() {
        let (listener, address) = listen("127.0.0.1:0");
        let queued = TcpStream::connect(address).unwrap();
        // With cookies the filter comes first, because a bound listener does not take the last packet of such a handshake.
        assert_eq!(refuse_new(&SockRef::from(&listener), Cookies::Sent), ListenerEnd::Dropped);
        let unheard = TcpStream::connect_timeout(&address, Duration::from_millis(50)).unwrap_err();
        assert_eq!(unheard.kind(), io::ErrorKind::TimedOut, "a dropped SYN is not refused");
        assert_queue_stays(&listener, queued);
    }

    #[test]
    fn a_unix_listener_refuses_and_keeps_its_queue() {
        let path = std::env::temp_dir().join(format!("softstop-handshake-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let queued = UnixStream::connect(&path).unwrap();
        assert_eq!(refuse_new(&SockRef::from(&listener), Cookies::None), ListenerEnd::Refused);
        let refused = UnixStream::connect(&path);
        fs::remove_file(&path).unwrap();
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(
            listener.accept().unwrap().0.peer_addr().unwrap().is_unnamed(),
            queued.local_addr().unwrap().is_unnamed()
        );
    }

    /// The reason for `Holder`: no other holder of the socket gets a new client, although this descriptor of it is closed.
    #[test]
    fn what_is_done_to_a_listener_reaches_everybody_who_holds_it() {
        for cookies in [Cookies::None, Cookies::Sent] {
            let (listener, address) = listen("127.0.0.1:0");
            let other = listener.try_clone().unwrap();
            refuse_new(&SockRef::from(&listener), cookies);
            drop(listener);
            assert!(TcpStream::connect_timeout(&address, Duration::from_millis(50)).is_err(), "{cookies:?}");
            assert_eq!(other.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn a_handshake_whose_last_packet_is_missing_is_waited_for() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let (listener, address) = listen(local);
            let began = Instant::now();
            let look = |now| look(&[address], ListenerEnd::Refused, Cookies::None, (began, now));
            assert_eq!(look(began), None);
            drop_packets(&SockRef::from(&listener), ACK).unwrap();
            let _client = TcpStream::connect(address).unwrap();
            assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            let wait = look(began).unwrap();
            assert_eq!(wait.handshakes, HalfOpenCount::Known(1), "{local}");
            assert!(wait.until > began + ROUND_TRIP && wait.until <= began + WINDOW, "{local}: {wait:?}");
            assert_eq!(look(began + WINDOW), None, "no repetition is left in the window");
        }
    }

    #[test]
    fn cookies_that_were_sent_are_counted() {
        let text = "TcpExt: Other SyncookiesSent Last\nTcpExt: 1 23 4\nIpExt: A\nIpExt: 1\n";
        assert_eq!(parse_cookies(text), Some(23));
        assert_eq!(parse_cookies("IpExt: A\n"), None);
        assert!(
            fs::read_to_string("/proc/self/net/netstat").is_ok_and(|text| parse_cookies(&text).is_some())
        );
        assert_eq!(Cookies::since(u64::MAX), Cookies::None);
    }
}
