//! A pattern that finds an address or a port in a line of output: `listening on {address}`, `port={port}`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A text with at most one placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    before: String,
    after: String,
    wanted: Wanted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// `{address}`: host and port.
    Address,
    /// `{port}`
    Port,
    /// No placeholder: the text alone.
    Nothing,
}

/// The content of a line that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Address(SocketAddr),
    /// The line matches, and holds no address.
    Nothing,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Pattern {
        for (placeholder, wanted) in [("{address}", Wanted::Address), ("{port}", Wanted::Port)] {
            if let Some((before, after)) = text.split_once(placeholder) {
                return Pattern { before: before.to_owned(), after: after.to_owned(), wanted };
            }
        }
        Pattern { before: text.to_owned(), after: String::new(), wanted: Wanted::Nothing }
    }

    /// Whether a match tells where the server listens.
    pub(crate) fn tells_port(&self) -> bool {
        self.wanted != Wanted::Nothing
    }

    /// The content of a line, if the line matches.
    pub(crate) fn find(&self, line: &str) -> Option<Told> {
        let (_, rest) = line.split_once(&self.before)?;
        if self.wanted == Wanted::Nothing {
            return Some(Told::Nothing);
        }
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '/' | ',' | '"' | '\'' | ')'));
        let (value, _) = rest.split_at(end.unwrap_or(rest.len()));
        let value = if self.after.is_empty() { value } else { rest.split_once(&self.after)?.0 };
        let any = |ip: IpAddr| if ip.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip };
        let address = match self.wanted {
            Wanted::Port => SocketAddr::from((Ipv4Addr::LOCALHOST, value.trim().parse().ok()?)),
            _ => value.trim().replace("localhost", "127.0.0.1").parse().ok()?,
        };
        Some(Told::Address(SocketAddr::new(any(address.ip()), address.port())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_addresses_and_ports() {
        let told = |pattern: &str, line: &str| Pattern::parse(pattern).find(line);
        let address = |port: u16| Some(Told::Address(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
        assert_eq!(told("listening on {address}", "INFO listening on 127.0.0.1:81"), address(81));
        assert_eq!(told("http://{address}", "at http://localhost:82/ now"), address(82));
        assert_eq!(told("on {address}", "on 0.0.0.0:83"), address(83));
        assert_eq!(told("port={port};", "x port=84; y"), address(84));
        assert_eq!(told("port {port}", "port 85, twice"), address(85));
        assert_eq!(told("ready", "we are ready"), Some(Told::Nothing));
        assert_eq!(told("port {port}", "port none"), None);
        assert_eq!(told("ready", "no"), None);
    }
}
