//! The server's ends of connections, as the kernel shows them to everybody.

use std::{fs, net::SocketAddr};

/// States of a connection whose client has not closed: ESTABLISHED.
const ESTABLISHED: &str = "01";

/// Whether the server has read everything that the clients on these ports have sent. A connection in the accept queue is
/// unread, too.
///
/// A connection that the kernel does not show counts as read.
pub(crate) fn are_read(server: SocketAddr, clients: &[u16]) -> bool {
    // A listener for both versions of IP has its IPv4 connections in the second table. On a machine with many connections
    // a table takes milliseconds, so the second one is read only if the first one has no row of the server.
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let table = fs::read_to_string(table).unwrap_or_default();
        let unread = unread(&table, server.port(), clients);
        if !unread.is_empty() {
            return unread.iter().all(|bytes| *bytes == 0);
        }
    }
    true
}

/// The bytes that the owner of the first port has not read, for each connection with one of these clients.
fn unread(table: &str, server_port: u16, clients: &[u16]) -> Vec<u64> {
    let local_port = format!(":{server_port:04X} ");
    let rows = table.lines().filter(|line| line.contains(&local_port)).filter_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, remote, state, queues) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let client = u16::from_str_radix(remote.rsplit_once(':')?.1, 16).ok()?;
        let is_wanted =
            local.ends_with(local_port.trim_end()) && state == ESTABLISHED && clients.contains(&client);
        is_wanted.then(|| u64::from_str_radix(queues.split_once(':')?.1, 16).ok()).flatten()
    });
    rows.collect()
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
        assert_eq!(unread(table, 8080, &[50_000]), [0x56]);
        assert_eq!(unread(table, 8080, &[50_001]), []);
    }

    #[test]
    fn a_request_is_unread_until_the_server_has_read_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(server).unwrap();
        let port = client.local_addr().unwrap().port();
        client.write_all(b"GET").unwrap();
        assert!(!are_read(server, &[port]), "the connection is in the accept queue");
        let (mut accepted, _) = listener.accept().unwrap();
        assert!(!are_read(server, &[port]));
        accepted.read_exact(&mut [0; 3]).unwrap();
        assert!(are_read(server, &[port]));
    }
}
