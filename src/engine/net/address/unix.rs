//! The listen addresses of Unix-domain sockets:
//!
//! ```text
//!   unix:/run/app.sock                           a path; a relative one is relative to the working directory
//!   unix:/run/app.sock?mode=0660&group=www-data  with the permissions of the file, so that a proxy may connect
//!   unix:@app                                    an abstract name (Linux): no file, no permissions
//! ```

use std::{fs, io, path::PathBuf, path::absolute};

use crate::listen_address::ListenAddress;

/// The socket that a listen address means.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum UnixMeaning {
    Path(PathBuf, FileOptions),
    Abstract(String),
}

/// What the file of a socket is to be like. `None` leaves the choice to the system: the user's own, with the permissions that the
/// umask leaves. To connect, a client must be allowed to write.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct FileOptions {
    pub(in super::super) mode: Option<u32>,
    pub(in super::super) owner: Option<u32>,
    pub(in super::super) group: Option<u32>,
}

impl UnixMeaning {
    /// The address that clients connect to.
    pub(in super::super) fn address(&self) -> io::Result<ListenAddress> {
        Ok(match self {
            UnixMeaning::Path(path, _) => ListenAddress::of_path(absolute(path)?),
            UnixMeaning::Abstract(name) => ListenAddress::of_abstract_name(name.as_bytes()),
        })
    }
}

/// `text` is what follows `unix:`.
pub(super) fn parse(text: &str) -> io::Result<UnixMeaning> {
    let (place, options) = text.split_once('?').unwrap_or((text, ""));
    if text.contains('\0') {
        return Err(wrong("a path has no zero byte"));
    }
    match place.strip_prefix('@') {
        Some("") => Err(wrong("write unix:@NAME")),
        Some(_) if !cfg!(any(target_os = "linux", target_os = "android")) => {
            Err(wrong("only Linux has abstract names: write unix:/PATH"))
        }
        Some(_) if !options.is_empty() => {
            Err(wrong("an abstract name has no file, so it has no mode, owner or group"))
        }
        // `sun_path` has 108 bytes, and the first one is zero.
        Some(name) if name.len() > 107 => Err(wrong("an abstract name may have 107 bytes")),
        Some(name) => Ok(UnixMeaning::Abstract(name.to_owned())),
        None if place.is_empty() || place.ends_with('/') => Err(wrong("write unix:/PATH or unix:@NAME")),
        None => Ok(UnixMeaning::Path(place.into(), parse_options(options)?)),
    }
}

fn parse_options(text: &str) -> io::Result<FileOptions> {
    let mut options = FileOptions::default();
    for option in text.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("mode", mode)) => options.mode = Some(parse_mode(mode)?),
            Some(("owner", name)) => options.owner = Some(id_of(name, "user", "/etc/passwd")?),
            Some(("group", name)) => options.group = Some(id_of(name, "group", "/etc/group")?),
            _ => {
                let error = format!(
                    "{option:?} is no option: write ?mode=0660&owner=NAME&group=NAME, or a part of it"
                );
                return Err(wrong(&error));
            }
        }
    }
    Ok(options)
}

fn parse_mode(text: &str) -> io::Result<u32> {
    let is_octal =
        !text.is_empty() && text.len() <= 4 && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let mode = if is_octal { u32::from_str_radix(text, 8).ok() } else { None };
    mode.filter(|mode| *mode <= 0o777)
        .ok_or_else(|| wrong(&format!("the mode {text:?} is no octal number from 0 to 0777, such as 0660")))
}

/// The id that belongs to a name, or the number itself. Only the file is read: a name that a directory service knows has to be
/// given as a number.
fn id_of(name: &str, what: &str, file: &str) -> io::Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let known = fs::read_to_string(file).unwrap_or_default();
    let id = known.lines().find_map(|line| {
        // name:password:id:...
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    });
    id.ok_or_else(|| wrong(&format!("{file} has no {what} {name:?}: write the name of one, or a number")))
}

fn wrong(advice: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, advice.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_means_a_path_or_a_name() {
        let path = |path: &str, mode, owner, group| {
            UnixMeaning::Path(path.into(), FileOptions { mode, owner, group })
        };
        let rows = [
            ("/run/a.sock", path("/run/a.sock", None, None, None)),
            ("a", path("a", None, None, None)),
            ("/a?mode=0660", path("/a", Some(0o660), None, None)),
            ("/a?group=0&mode=600&owner=1", path("/a", Some(0o600), Some(1), Some(0))),
            ("/a?owner=root&group=root", path("/a", None, Some(0), Some(0))),
            ("/a?", path("/a", None, None, None)),
            ("@a/b", UnixMeaning::Abstract("a/b".into())),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        assert_eq!(parse("/run/a").unwrap().address().unwrap().to_string(), "unix:/run/a");
        assert!(parse("a").unwrap().address().unwrap().path().unwrap().is_absolute());
        assert_eq!(parse("@a").unwrap().address().unwrap().to_string(), "unix:@a");
    }

    #[test]
    fn what_is_wrong_is_refused_with_advice() {
        let rows = [
            ("", "write unix:/PATH"),
            ("@", "write unix:@NAME"),
            ("/run/", "write unix:/PATH"),
            ("?mode=0660", "write unix:/PATH"),
            ("@a?mode=0660", "no file"),
            ("/a?mode=0888", "octal"),
            ("/a?mode=1777", "0777"),
            ("/a?mode=", "octal"),
            ("/a?mode=+66", "octal"),
            ("/a?mod=0660", "no option"),
            ("/a?group=there-is-no-such-group", "/etc/group has no group"),
            ("/a?owner=", "/etc/passwd has no user"),
            ("/a\0", "zero byte"),
        ];
        for (text, advice) in rows {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{text}");
            assert!(error.to_string().contains(advice), "{text}: {error}");
        }
        assert!(parse(&format!("@{}", "a".repeat(107))).is_ok());
        assert!(parse(&format!("@{}", "a".repeat(108))).is_err());
    }
}
