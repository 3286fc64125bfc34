//! The server's ends of connections, as the kernel shows them to everybody.

use std::{fs, net::SocketAddr};

/// States of a connection whose client has not closed: ESTABLISHED.
const ESTABLISHED: &str = "01";

/// Whether the server has read everything that this client has sent. A connection in the accept queue is unread, too.
///
/// A connection that the kernel does not show counts as read.
pub(crate) fn is_read(server: SocketAddr, client_port: u16) -> bool {
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().all(|table| {
        let table = fs::read_to_string(table).unwrap_or_default();
        unread(&table, server.port(), client_port) == 0
    })
}

/// The bytes that the owner of the first port has not read of this connection.
fn unread(table: &str, server_port: u16, client_port: u16) -> u64 {
    let port = |address: &str| u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok();
    let rows = table.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, remote, state, queues) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let is_wanted =
            port(local) == Some(server_port) && port(remote) == Some(client_port) && state == ESTABLISHED;
        is_wanted.then(|| u64::from_str_radix(queues.split_once(':')?.1, 16).ok()).flatten()
    });
    rows.sum()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[test]
    fn the_queue_of_the_right_row_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr\n   \
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000002 00\n   \
             1: 0100007F:1F90 0100007F:C350 01 00000000:00000056 00\n   \
             2: 0100007F:C350 0100007F:1F90 01 00000010:00000007 00\n";
        assert_eq!(unread(table, 8080, 50_000), 0x56);
        assert_eq!(unread(table, 8080, 50_001), 0);
    }

    #[test]
    fn a_request_is_unread_until_the_server_has_read_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(server).unwrap();
        let port = client.local_addr().unwrap().port();
        client.write_all(b"GET").unwrap();
        assert!(!is_read(server, port), "the connection is in the accept queue");
        let (mut accepted, _) = listener.accept().unwrap();
        assert!(!is_read(server, port));
        accepted.read_exact(&mut [0; 3]).unwrap();
        assert!(is_read(server, port));
    }
}
