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
        let message = [&88_u32.to_ne_bytes()[..], &20_u16.to_ne_bytes(), &[0; 10], &[2, 3, 1, 0], &[0; 48]];
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

/// The window of a closing listener relies on this: the kernel repeats a SYN-ACK after one second.
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
