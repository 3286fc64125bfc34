//! `NOTIFY_SOCKET` as an address.

use std::{
    ffi::OsStr,
    io,
    os::unix::{ffi::OsStrExt, net::SocketAddr},
};

const EXPECTED: &str =
    "expected the absolute path of a Unix socket, or `@` and the name of an abstract one (Linux)";

pub(super) fn parse(value: &OsStr) -> io::Result<SocketAddr> {
    let unexpected = || io::Error::new(io::ErrorKind::InvalidInput, EXPECTED);
    match value.as_bytes() {
        [b'/', _, ..] => SocketAddr::from_pathname(value),
        [b'@', name @ ..] if !name.is_empty() => abstract_name(name),
        // A virtual machine has `vsock:`. The standard library has no such sockets.
        _ => Err(unexpected()),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn abstract_name(name: &[u8]) -> io::Result<SocketAddr> {
    #[cfg(target_os = "android")]
    use std::os::android::net::SocketAddrExt;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;

    SocketAddr::from_abstract_name(name)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_name(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux has abstract names"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{os::linux::net::SocketAddrExt, path::Path};

    use super::*;

    #[test]
    fn a_path_and_an_abstract_name_are_addresses() {
        let path = parse("/run/systemd/notify".as_ref()).unwrap();
        assert_eq!(path.as_pathname(), Some(Path::new("/run/systemd/notify")));
        assert_eq!(parse("@here".as_ref()).unwrap().as_abstract_name(), Some(&b"here"[..]));
        assert_eq!(
            parse(OsStr::from_bytes(b"/\xff")).unwrap().as_pathname(),
            Some(Path::new(OsStr::from_bytes(b"/\xff")))
        );
    }

    #[test]
    fn anything_else_is_refused_with_what_was_expected() {
        for wrong in ["/", "@", "run/notify", "vsock:2:1", "unix:/run/notify", " /run/notify", "1"] {
            let error = parse(wrong.as_ref()).unwrap_err();
            assert_eq!(error.to_string(), EXPECTED, "{wrong}");
        }
        assert!(parse(format!("/{}", "x".repeat(108)).as_ref()).is_err());
        assert!(parse(OsStr::from_bytes(b"/a\0b")).is_err());
    }
}
