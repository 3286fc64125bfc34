//! Listening on a Unix-domain socket: unix(7).
//!
//! Two servers may be started on one path at the same moment, and a server that was killed leaves its file behind. So the socket
//! gets its path only when clients can be served:
//!
//! ```text
//!   bind .name -> mode, group, owner -> listen -> link path        the path appears at once and whole, and replaces nothing
//!                                                  |
//!                the path is there already:        +-- something else than a socket     an error; no such file is ever removed
//!                                                  +-- somebody answers a connect       AddrInUse
//!                                                  +-- ECONNREFUSED: the file is stale  moved away, asked again, removed
//! ```
//!
//! A file that was moved away in error (another server had just replaced the stale one) is put back.
//!
//! The kernel goes on telling the name that the socket was bound under: `ss -lx` shows it.

use std::{
    ffi::OsStr,
    fs,
    hash::{BuildHasher, Hasher, RandomState},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf, absolute},
};

use mio::net::UnixListener;
use socket2::{Domain, SockAddr, Socket, Type};

use super::{
    address::{FileOptions, UnixMeaning},
    given::GivenListener,
    holding::{Holder, Holding},
    listener::{Lacking, ListenOptions, Listener},
    socket::ListenSocket,
};
use crate::isolation::journal;

/// The longest path of a socket: `sun_path` of unix(7) has 108 bytes, and the last one is zero. (Other systems have 104.)
const LONGEST_PATH: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };
/// The length of a temporary name, with the slash before it.
const TEMPORARY: usize = "/.12345678".len();
/// How often a stale file is removed before another server is believed to be faster each time.
const TRIES: usize = 8;

/// Listens on this socket, or takes the listener among `given` that does.
///
/// # Errors
///
/// - [`io::ErrorKind::AddrInUse`] if somebody listens there;
/// - [`io::ErrorKind::AlreadyExists`] if the path is not a socket;
/// - [`io::ErrorKind::InvalidInput`] if the path is too long.
pub(super) fn bind(
    meaning: &UnixMeaning,
    listen_index: usize,
    options: ListenOptions,
    given: &mut Vec<GivenListener>,
) -> io::Result<Listener> {
    let address = meaning.address()?;
    if let Some(listener) = GivenListener::take(given, &address, listen_index, options)? {
        return Ok(listener);
    }
    let backlog = options.backlog;
    let holding = Holding::new(Holder::Alone);
    let (socket, file) = match meaning {
        UnixMeaning::Abstract(name) => {
            let name = [&b"\0"[..], name.as_bytes()].concat();
            (listen(Path::new(OsStr::from_bytes(&name)), backlog, |_| Ok(()))?, None)
        }
        UnixMeaning::Path(path, file) => {
            let path = absolute(path)?;
            let socket = listen_on_file(&path, file, backlog)?;
            (socket, SocketFile::of(path, holding.clone()))
        }
    };
    let socket = ListenSocket::Unix(UnixListener::from_std(socket.into()));
    Ok(Listener { socket, address, holding, listen_index, lacking: Lacking::default(), file })
}

fn listen(path: &Path, backlog: i32, prepare: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Nobody can connect before the next call, so nobody connects who must not.
    prepare(path).inspect_err(|_| remove(path))?;
    socket.listen(backlog).inspect_err(|_| remove(path))?;
    Ok(socket)
}

/// Listens on a socket that only this user and root may connect to. The caller removes the file: see [`FileIdentity::remove`].
///
/// # Errors
///
/// Those of [`bind`].
#[cfg(all(feature = "deploy", target_os = "linux"))]
pub(crate) fn listen_privately(path: &Path, backlog: i32) -> io::Result<Socket> {
    let path = absolute(path)?;
    let options = FileOptions { mode: Some(0o600), ..FileOptions::default() };
    listen_on_file(&path, &options, backlog)
}

fn listen_on_file(path: &Path, options: &FileOptions, backlog: i32) -> io::Result<Socket> {
    let (length, folder) = (path.as_os_str().len(), path.parent().unwrap_or(Path::new("/")));
    let needed = length.max(folder.as_os_str().len() + TEMPORARY);
    if needed > LONGEST_PATH {
        let excess = needed - LONGEST_PATH;
        let error = format!(
            "the path is too long by {excess} bytes: it may have {LONGEST_PATH}, and its folder {}",
            LONGEST_PATH - TEMPORARY
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
    }
    refuse_what_is_in_use(path)?;
    let temporary = temporary_name(folder);
    let socket = listen(&temporary, backlog, |temporary| {
        if options.owner.is_some() || options.group.is_some() {
            chown(temporary, options.owner, options.group)?;
        }
        match options.mode {
            Some(mode) => fs::set_permissions(temporary, fs::Permissions::from_mode(mode)),
            None => Ok(()),
        }
    })?;
    let published = publish(&temporary, path);
    remove(&temporary);
    published.map(|()| socket)
}

/// Gives the socket its path, if nobody has the path.
fn publish(temporary: &Path, path: &Path) -> io::Result<()> {
    for _ in 0..TRIES {
        match fs::hard_link(temporary, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                refuse_what_is_in_use(path)?;
                take_away(path, |moved| matches!(ask(moved), Occupant::Nobody))?;
            }
            outcome => return outcome,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// What a path is.
enum Occupant {
    Nothing,
    /// A socket that nobody listens on.
    Nobody,
    /// A socket that somebody listens on, or that we may not ask.
    Somebody,
    NoSocket(&'static str),
}

fn ask(path: &Path) -> Occupant {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Occupant::Nothing,
        // The bind says what is wrong.
        Err(_) => return Occupant::Nothing,
    };
    if !kind.is_socket() {
        return Occupant::NoSocket(match kind {
            kind if kind.is_file() => "a regular file",
            kind if kind.is_dir() => "a folder",
            kind if kind.is_symlink() => "a symbolic link",
            _ => "a device or a pipe",
        });
    }
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // A listener whose accept queue is full would block the call. It answers "would block" instead.
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    match connect() {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Occupant::Nobody,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Occupant::Nothing,
        _ => Occupant::Somebody,
    }
}

fn refuse_what_is_in_use(path: &Path) -> io::Result<()> {
    match ask(path) {
        Occupant::Nothing | Occupant::Nobody => Ok(()),
        Occupant::Somebody => Err(io::ErrorKind::AddrInUse.into()),
        Occupant::NoSocket(what) => {
            let error = format!("the path is {what}, and no socket");
            Err(io::Error::new(io::ErrorKind::AlreadyExists, error))
        }
    }
}

/// Removes the file at `path` if `is_meant` says so when the file has been moved away, where no other server replaces it.
/// Puts it back otherwise.
fn take_away(path: &Path, is_meant: impl FnOnce(&Path) -> bool) -> io::Result<()> {
    let moved = temporary_name(path.parent().unwrap_or(Path::new("/")));
    match fs::rename(path, &moved) {
        // Another server was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        outcome => outcome?,
    }
    if !is_meant(&moved)
        && let Err(error) = fs::hard_link(&moved, path)
    {
        journal::debug!("{} has a new owner already: {error}", path.display());
    }
    remove(&moved);
    Ok(())
}

fn remove(path: &Path) {
    // An abstract name has no file.
    if let Err(error) = fs::remove_file(path)
        && path.is_absolute()
    {
        journal::warn!("cannot remove {}: {error}", path.display());
    }
}

/// A random name, which no other start uses.
fn temporary_name(folder: &Path) -> PathBuf {
    // Random, because processes of several containers may share the folder, and their process ids are equal.
    let random = RandomState::new().build_hasher().finish() as u32;
    folder.join(format!(".{random:08x}"))
}

/// The file of a Unix listener of this process. Removed with the listener, if this process alone holds the listener then, and if
/// the file still is the listener's.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: FileIdentity,
    holding: Holding,
}

impl SocketFile {
    /// The file of a listener that has just been bound, or taken from another process.
    pub(super) fn of(path: PathBuf, holding: Holding) -> Option<SocketFile> {
        let identity = FileIdentity::at(&path).inspect_err(|error| {
            journal::debug!("{} will not be removed: {error}", path.display());
        });
        Some(SocketFile { identity: identity.ok()?, path, holding })
    }
}

/// Which file a path leads to: its device and its inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity(u64, u64);

impl FileIdentity {
    pub(crate) fn at(path: &Path) -> io::Result<FileIdentity> {
        fs::symlink_metadata(path).map(|metadata| FileIdentity(metadata.dev(), metadata.ino()))
    }

    /// Removes the file at `path`, if it still is this file. Another file that has just taken the path is put back.
    pub(crate) fn remove(self, path: &Path) -> io::Result<()> {
        let is_this = |path: &Path| FileIdentity::at(path).is_ok_and(|there| there == self);
        if is_this(path) { take_away(path, is_this) } else { Ok(()) }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.holding.holder() == Holder::Alone
            && let Err(error) = self.identity.remove(&self.path)
        {
            journal::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests;
