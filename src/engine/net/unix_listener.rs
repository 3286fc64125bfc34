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
//!                                                  +-- ECONNREFUSED: the file is stale  claimed, moved away, asked again, removed
//! ```
//!
//! Of several servers that find a stale file, one has the claim to remove it: link .claim (see `remove_stale`).
//! A file that was moved away in error (another server had just replaced the stale one) is put back.
//!
//! The kernel goes on telling the name that the socket was bound under: `ss -lx` shows it.

use std::{
    ffi::OsStr,
    fs,
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf, absolute},
};

use mio::net::UnixListener;
use socket2::{Domain, SockAddr, Socket, Type};

use super::{
    address::{FileOptions, UnixMeaning},
    file_identity::FileIdentity,
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
        if let (UnixMeaning::Path(_, options), Some(file)) = (meaning, &listener.file) {
            file.set(options)?;
        }
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
    let socket = listen(&temporary, backlog, |temporary| set_options(temporary, options))?;
    let published = publish(&temporary, path);
    remove(&temporary);
    published.map(|()| socket)
}

fn set_options(path: &Path, options: &FileOptions) -> io::Result<()> {
    if options.owner.is_some() || options.group.is_some() {
        chown(path, options.owner, options.group)?;
    }
    match options.mode {
        Some(mode) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
        None => Ok(()),
    }
}

/// Gives the socket its path, if nobody has the path.
fn publish(temporary: &Path, path: &Path) -> io::Result<()> {
    for _ in 0..TRIES {
        match fs::hard_link(temporary, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                refuse_what_is_in_use(path)?;
                remove_stale(temporary, path)?;
            }
            outcome => return outcome,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Removes a stale file. One server at a time may: otherwise a server could move away the file of another one that has just
/// replaced the stale file, and a third one could take the path before the file is put back. The claim is a further path of the
/// server's own socket, so that the claim of a server that was killed is known for a stale one.
fn remove_stale(temporary: &Path, path: &Path) -> io::Result<()> {
    let claim = claim_name(path);
    match fs::hard_link(temporary, &claim) {
        Ok(()) => {
            let removed = remove_if_stale(path);
            remove(&claim);
            removed
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // A server that has the claim will listen, unless yet another one is faster.
            refuse_what_is_in_use(&claim)?;
            remove_if_stale(&claim)
        }
        Err(error) => Err(error),
    }
}

fn remove_if_stale(path: &Path) -> io::Result<()> {
    let is_stale = |path: &Path| matches!(ask(path), Occupant::Nobody);
    if is_stale(path) { take_away(path, is_stale) } else { Ok(()) }
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

/// The name of the claim to a stale file: the same in each process. A hash, because the folder's length leaves no room for more.
fn claim_name(path: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    path.file_name().hash(&mut hasher);
    path.with_file_name(format!(".{:08x}", hasher.finish() as u32))
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
    /// The file of a listener that has just been bound.
    fn of(path: PathBuf, holding: Holding) -> Option<SocketFile> {
        let identity = FileIdentity::at(&path).inspect_err(|error| {
            journal::debug!("{} will not be removed: {error}", path.display());
        });
        Some(SocketFile { identity: identity.ok()?, path, holding })
    }

    /// The file of a listener of another process, which has told the identity. At the path there may be another file by now.
    pub(super) fn given(path: PathBuf, identity: FileIdentity, holding: Holding) -> SocketFile {
        SocketFile { path, identity, holding }
    }

    pub(crate) fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// Gives a file that exists already the permissions that the new process wants.
    fn set(&self, options: &FileOptions) -> io::Result<()> {
        if self.identity.is_at(&self.path) {
            set_options(&self.path, options)
        } else {
            journal::warn!(
                "{} is the file of another process: clients cannot reach this one",
                self.path.display()
            );
            Ok(())
        }
    }
}

impl FileIdentity {
    /// Removes the file at `path`, if it still is this file. Another file that has just taken the path is put back.
    pub(crate) fn remove(self, path: &Path) -> io::Result<()> {
        let is_this = |path: &Path| self.is_at(path);
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
