//! Listen addresses: what a user writes, and the socket addresses that are meant by it. One text may mean several
//! listeners, because a listener of softstop has one family.
//!
//! ```text
//!   127.0.0.1:8080   [::1]:8080   one address
//!   0.0.0.0:8080                  every IPv4 address of the machine
//!   [::]:8080                     every IPv6 address, and no IPv4 one (IPV6_V6ONLY)
//!   :8080                         both of the former
//!   localhost:8080                127.0.0.1 and ::1, without asking a resolver (RFC 6761 section 6.3)
//!   name:8080                     every address that the system's resolver knows
//!   unix:/run/app.sock            a Unix-domain socket: see `unix`
//!   systemd   fd:NAME             listeners that a supervisor has opened: see `inherited`
//! ```

mod unix;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
};

use super::inherited::Wanted;

pub(super) use unix::{FileOptions, UnixMeaning};

/// The listeners that a listen address means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// One TCP listener on each of these addresses.
    Tcp(Vec<SocketAddr>),
    Unix(UnixMeaning),
    /// Listeners that a supervisor has opened.
    Inherited(Wanted),
}

/// What `spec` means.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] with advice if it is no address of these kinds; what the resolver says if it does not know the name.
pub(super) fn resolve(spec: &str) -> io::Result<Meaning> {
    if let Some(wanted) = Wanted::parse(spec) {
        return wanted.map(Meaning::Inherited);
    }
    match spec.strip_prefix("unix:") {
        Some(socket) => unix::parse(socket).map(Meaning::Unix),
        None => resolve_tcp(spec).map(Meaning::Tcp),
    }
}

/// Whether `spec` can be understood. Binds nothing.
///
/// # Errors
///
/// As [`resolve`].
pub(crate) fn check_address(spec: &str) -> io::Result<()> {
    resolve(spec).map(drop)
}

fn resolve_tcp(spec: &str) -> io::Result<Vec<SocketAddr>> {
    let (host, port) = spec.rsplit_once(':').ok_or_else(advice)?;
    let port = port.parse().map_err(|_| advice())?;
    let both = |v4: Ipv4Addr, v6: Ipv6Addr| [IpAddr::V4(v4), IpAddr::V6(v6)];
    let with_port = |addresses: [IpAddr; 2]| addresses.map(|address| SocketAddr::new(address, port)).to_vec();
    if host.is_empty() {
        return Ok(with_port(both(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED)));
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(with_port(both(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST)));
    }
    // A name has no colon: this is an IPv6 address whose end cannot be told from a port.
    if host.contains(':') && !host.starts_with('[') {
        return Err(advice());
    }
    let mut addresses: Vec<SocketAddr> = spec.to_socket_addrs()?.collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

fn advice() -> io::Error {
    let advice = "write host:port, such as 127.0.0.1:8080, [::1]:8080, localhost:8080, or :8080 for every address; or unix:/PATH, fd:NAME, systemd";
    io::Error::new(io::ErrorKind::InvalidInput, advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_means_one_address_or_one_of_each_family() {
        let cases = [
            ("127.0.0.1:80", vec!["127.0.0.1:80"]),
            ("0.0.0.0:0", vec!["0.0.0.0:0"]),
            ("[::1]:80", vec!["[::1]:80"]),
            ("[::]:80", vec!["[::]:80"]),
            (":8080", vec!["0.0.0.0:8080", "[::]:8080"]),
            ("localhost:8080", vec!["127.0.0.1:8080", "[::1]:8080"]),
            ("LOCALHOST:0", vec!["127.0.0.1:0", "[::1]:0"]),
        ];
        for (spec, expected) in cases {
            let expected: Vec<SocketAddr> = expected.iter().map(|address| address.parse().unwrap()).collect();
            assert_eq!(resolve(spec).unwrap(), Meaning::Tcp(expected), "{spec}");
        }
    }

    #[test]
    fn what_is_no_host_and_port_is_refused_with_advice() {
        for spec in ["", "8080", "localhost", "127.0.0.1", "localhost:", "localhost:http", ":65536", "::1:80"]
        {
            let error = resolve(spec).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{spec}");
            assert!(error.to_string().contains("write host:port"), "{spec}: {error}");
        }
    }
}
