//! The target of a load: an `http://` URL, and the request for it.

use std::{
    fmt, io,
    net::{TcpStream, ToSocketAddrs},
    str::FromStr,
    time::Duration,
};

/// How long to try each address of a host. A load over a slower path would measure the path and not the server.
const PATIENCE: Duration = Duration::from_secs(2);

/// `http://host[:port][/path][?query]`, without the fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// `host:port`, which is resolved when the load connects.
    endpoint: String,
    /// The value of the Host field, as in the URL.
    host: String,
    /// The path and the query.
    path: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) => return Err(format!("only http:// is supported, not {scheme}://")),
            None => return Err(format!("write it like http://127.0.0.1:7000/, not {text}")),
        };
        // RFC 3986 allows no such character, and a space or a line break would end the request line early.
        if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(format!("{odd:?} must be percent-encoded in a URL"));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if host.contains('@') {
            return Err("user names in URLs are not supported: leave the user name out".to_owned());
        }
        let port_at = host.rfind(':').filter(|&position| !host[position..].contains(']'));
        let (name, port) = match port_at {
            Some(position) => (&host[..position], &host[position + 1..]),
            None => (host, ""),
        };
        if name.is_empty() {
            return Err("the URL names no host".to_owned());
        }
        let port = match port {
            "" => 80,
            port => port.parse::<u16>().map_err(|error| format!("port {port}: {error}"))?,
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Target {
            endpoint: format!("{name}:{port}"),
            host: host.to_owned(),
            path: format!("{slash}{path}"),
        })
    }
}

impl Target {
    /// Connects to the first address of the host that accepts. On many systems `localhost` has two addresses, and most
    /// servers listen on one of them.
    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        let mut failure = "has no address".to_owned();
        let addresses = self.endpoint.to_socket_addrs();
        for address in addresses.map_err(|error| io::Error::other(format!("{}: {error}", self.endpoint)))? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Err(error) => failure = format!("{address}: {error}"),
                made => return made,
            }
        }
        Err(io::Error::other(format!("{self}: no connection: {failure}")))
    }

    /// The bytes of a request with this much content.
    pub(crate) fn request(&self, method: &str, content: usize) -> Vec<u8> {
        let Target { host, path, .. } = self;
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
        // Methods that usually have content say so if there is none (RFC 9110 section 8.6).
        if content > 0 || matches!(method, "POST" | "PUT" | "PATCH") {
            request += &format!("Content-Length: {content}\r\n");
        }
        request += "\r\n";
        let mut request = request.into_bytes();
        request.resize(request.len() + content, b'x');
        request
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.host, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_url_falls_into_its_parts() {
        for (text, endpoint, host, path) in [
            ("http://localhost", "localhost:80", "localhost", "/"),
            ("HTTP://a.example:8080/b/c?d=e#f", "a.example:8080", "a.example:8080", "/b/c?d=e"),
            ("http://[::1]:7000?x", "[::1]:7000", "[::1]:7000", "/?x"),
            ("http://[::1]/", "[::1]:80", "[::1]", "/"),
            ("http://a:/x", "a:80", "a:", "/x"),
        ] {
            let target: Target = text.parse().unwrap();
            let parts = (&*target.endpoint, &*target.host, &*target.path);
            assert_eq!(parts, (endpoint, host, path), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for text in [
            "",
            "localhost:7000",
            "https://localhost/",
            "ftp://localhost/",
            "http://",
            "http:///path",
            "http://:80/",
            "http://a:65536/",
            "http://a:x/",
            "http://user@a/",
            "http://a/b c",
            "http://a/\r\n",
            "http://a/ü",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text:?}");
        }
        let https = "https://localhost/".parse::<Target>().unwrap_err();
        assert!(https.contains("only http://"), "{https}");
    }

    #[test]
    fn a_request_is_whole() {
        let target: Target = "http://a:1/b?c".parse().unwrap();
        assert_eq!(target.request("GET", 0), b"GET /b?c HTTP/1.1\r\nHost: a:1\r\n\r\n");
        let post = b"POST /b?c HTTP/1.1\r\nHost: a:1\r\nContent-Length: 3\r\n\r\nxxx";
        assert_eq!(target.request("POST", 3), post);
        assert!(target.request("PUT", 0).ends_with(b"Content-Length: 0\r\n\r\n"));
    }

    #[test]
    fn the_address_that_accepts_is_used_and_an_error_names_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // The name may have several addresses. Only one of them has a listener.
        let target: Target = format!("http://localhost:{}/a", address.port()).parse().unwrap();
        assert_eq!(target.connect().unwrap().peer_addr().unwrap(), address);
        drop(listener);
        let error = target.connect().unwrap_err().to_string();
        let where_to = format!("127.0.0.1:{}", address.port());
        assert!(error.contains(&target.to_string()) && error.contains(&where_to), "{error}");
    }
}
