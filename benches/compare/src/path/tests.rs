//! The relay over real TUN devices.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpListener, UdpSocket},
    process::Command,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use super::{Conditions, Family, Path, Silence, relay::Fate};

/// A limit that only a hang reaches.
const HUNG: Duration = Duration::from_secs(20);
/// How late a busy machine may be in the best of many trials.
const NOISE: Duration = Duration::from_millis(30);

fn path(conditions: &str) -> Path {
    Path::make(conditions.parse().unwrap(), 7).unwrap()
}

/// A UDP socket in each namespace, connected to the other.
fn sockets(path: &Path, family: Family) -> (UdpSocket, UdpSocket) {
    let bind = |address: &str| {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(HUNG)).unwrap();
        socket
    };
    let (client, server) = match family {
        Family::V4 => ("198.18.0.1:0", "198.18.0.2:0"),
        Family::V6 => ("[fd53::1]:0", "[fd53::2]:0"),
    };
    let client = path.client().within(|| bind(client)).unwrap();
    let server = path.server().within(|| bind(server)).unwrap();
    client.connect(server.local_addr().unwrap()).unwrap();
    server.connect(client.local_addr().unwrap()).unwrap();
    (client, server)
}

#[test]
fn fate_follows_the_conditions_and_the_seed() {
    let conditions: Conditions = "25ms,jitter=5ms,loss=1%".parse().unwrap();
    let fate = |seed| {
        let mut fate = Fate::new(conditions, seed);
        (0..200_000).map(|_| fate.next()).collect::<Vec<_>>()
    };
    let packets = fate(1);
    assert_eq!(packets, fate(1));
    assert_ne!(packets, fate(2));
    let lost = packets.iter().filter(|delay| delay.is_none()).count();
    assert!((1_800..2_200).contains(&lost), "{lost} of 200,000 lost");
    let delays: BTreeSet<Duration> = packets.into_iter().flatten().collect();
    let (least, most) = (*delays.first().unwrap(), *delays.last().unwrap());
    assert!(least >= Duration::from_millis(20) && most <= Duration::from_millis(30), "{least:?} to {most:?}");
    assert!(most - least > Duration::from_millis(9), "{least:?} to {most:?}");
    let mut clean = Fate::new("25ms".parse().unwrap(), 1);
    assert!((0..1000).all(|_| clean.next() == Some(Duration::from_millis(25))));
}

#[test]
#[ignore = "needs root and ip"]
fn a_round_trip_takes_twice_the_delay() {
    let path = path("20ms");
    for family in [Family::V4, Family::V6] {
        let (client, server) = sockets(&path, family);
        let round_trips = (0..20).map(|_| {
            let since = Instant::now();
            client.send(b"there").unwrap();
            server.recv(&mut [0; 8]).unwrap();
            server.send(b"back").unwrap();
            client.recv(&mut [0; 8]).unwrap();
            since.elapsed()
        });
        let best = round_trips.min().unwrap();
        let expected = Duration::from_millis(40);
        assert!(best >= expected && best < expected + NOISE, "{family:?}: {best:?}");
    }
}

#[test]
#[ignore = "needs root and ip"]
fn without_jitter_and_loss_every_packet_arrives_in_order() {
    let path = path("5ms");
    let (client, server) = sockets(&path, Family::V4);
    let mut received = 0_u32;
    // Send batches that fit into the receive buffer of a socket.
    for batch in 0..100_u32 {
        let sent = (batch + 1) * 100;
        for number in received..sent {
            client.send(&number.to_be_bytes()).unwrap();
        }
        while received < sent {
            let mut bytes = [0; 4];
            server.recv(&mut bytes).unwrap();
            assert_eq!(u32::from_be_bytes(bytes), received);
            received += 1;
        }
    }
    for counts in path.counts().unwrap() {
        assert_eq!((counts.lost, counts.silenced, counts.overflowed), (0, 0, 0), "{counts}");
    }
}

#[test]
#[ignore = "needs root and ip"]
fn as_many_packets_are_lost_as_asked_and_no_more() {
    let path = path("1ms,loss=2%");
    let (client, server) = sockets(&path, Family::V4);
    let (mut sent, mut received) = (0_u64, 0_u64);
    let lost = || path.relay.counts()[0].lost;
    for _ in 0..200 {
        for _ in 0..100 {
            client.send(b"packet").unwrap();
            sent += 1;
        }
        // Every packet that the relay has not lost must arrive. Otherwise the loop runs until the time-out fails the
        // test.
        server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let since = Instant::now();
        while received + lost() < sent {
            assert!(since.elapsed() < HUNG, "{received} of {sent} received, {} lost", lost());
            match server.recv(&mut [0; 8]) {
                Ok(_) => received += 1,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    }
    // 400 are expected, with a standard deviation of 20.
    assert!((300..500).contains(&(sent - received)), "{} of {sent} lost", sent - received);
    for counts in path.counts().unwrap() {
        assert_eq!(counts.overflowed, 0, "{counts}");
    }
}

#[test]
#[ignore = "needs root and ip"]
fn a_silenced_client_leaves_a_half_open_handshake() {
    let path = path("1ms");
    let (listener, address) = path
        .server()
        .within(|| {
            let listener = TcpListener::bind("198.18.0.2:0").unwrap();
            let address = listener.local_addr().unwrap();
            (listener, address)
        })
        .unwrap();
    listener.set_nonblocking(true).unwrap();
    let socket = path.client().within(|| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()).unwrap();
    socket.bind(&"198.18.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    path.ports().silence(port, Silence::AfterSyn);
    assert!(socket.connect(&address.into()).is_err(), "it is under way");
    let since = Instant::now();
    // The server's SYN-ACK shows that the SYN has arrived.
    while path.counts().unwrap()[1].silenced == 0 {
        assert!(since.elapsed() < HUNG);
    }
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    let half_open = path
        .server()
        .within(|| Command::new("ss").args(["-Htn", "state", "syn-recv"]).output().unwrap())
        .unwrap();
    assert_eq!(String::from_utf8(half_open.stdout).unwrap().lines().count(), 1);
}

#[test]
#[ignore = "needs root and ip"]
fn paths_exist_side_by_side_and_leave_nothing() {
    let seen = || {
        let names = Command::new("ip").args(["netns", "list"]).output().unwrap().stdout;
        (names, fs::read_to_string("/proc/net/dev").unwrap().lines().count())
    };
    let before = seen();
    {
        let (one, other) = (path("1ms"), path("2ms"));
        for path in [&one, &other] {
            let (client, server) = sockets(path, Family::V4);
            client.send(b"x").unwrap();
            assert_eq!(server.recv(&mut [0; 8]).unwrap(), 1);
        }
    }
    assert_eq!(before, seen());
}
