//! The listening end of the control socket.
//!
//! ```text
//!   bound here, or adopted ──> answered ──> left:   another process answers there now, so the path stays
//!                                      └──> closed: the path is removed, if it is still ours
//! ```

use std::{
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            fs::FileTypeExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::{engine::net::FileIdentity, handover::channel::Bell};

/// The length of the accept queue.
const BACKLOG: i32 = 64;

/// The control socket of this process.
#[derive(Debug)]
pub(crate) struct ControlListener {
    socket: UnixListener,
    path: PathBuf,
    /// The file that was at the path when the socket was bound.
    file: Option<FileIdentity>,
    /// Rung when this process does not answer any more.
    bell: Bell,
    /// Whether the path is removed at the end: not before the process that handed the socket over has said `yours`.
    is_ours: AtomicBool,
}

impl ControlListener {
    /// Binds the control socket. Nobody but this user and root can ever connect, because the mode of the socket is set
    /// before the socket has a path.
    ///
    /// # Errors
    ///
    /// - `AddrInUse` if a process answers at the path.
    /// - `AlreadyExists` if the path is not a socket. Such a file is never removed.
    /// - What the system says: the folder does not exist, the path is too long (108 bytes).
    pub(crate) fn bind(path: PathBuf) -> io::Result<ControlListener> {
        let address = SockAddr::unix(&path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // Linux takes the mode of the file from the socket, less the umask.
        fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        match socket.bind(&address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_stale(&path)?;
                socket.bind(&address)?;
            }
            outcome => outcome?,
        }
        socket.listen(BACKLOG)?;
        let file = FileIdentity::at(&path).ok();
        let listener = ControlListener::adopt(path, file, OwnedFd::from(socket))?;
        listener.own();
        Ok(listener)
    }

    /// The control socket of the process that hands over. Until [`own`](ControlListener::own) it is that process's.
    pub(crate) fn adopt(
        path: PathBuf,
        file: Option<FileIdentity>,
        socket: OwnedFd,
    ) -> io::Result<ControlListener> {
        let socket = UnixListener::from(socket);
        socket.set_nonblocking(true)?;
        Ok(ControlListener { socket, path, file, bell: Bell::new()?, is_ours: AtomicBool::new(false) })
    }

    /// The path is removed at the end of this process.
    pub(crate) fn own(&self) {
        self.is_ours.store(true, Ordering::Release);
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the socket, for a process that takes the socket over.
    pub(crate) fn file(&self) -> Option<FileIdentity> {
        self.file
    }

    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// A client. `None` if it has gone, or another process that has the socket was faster.
    pub(super) fn accept(&self) -> io::Result<Option<UnixStream>> {
        match self.socket.accept() {
            Ok((stream, _)) => Ok(Some(stream)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {
                    Ok(None)
                }
                _ => Err(error),
            },
        }
    }

    /// Leaves the socket to another process.
    pub(crate) fn leave(&self) {
        self.bell.ring();
    }

    /// Ends the control socket: removes its path, if the path still leads to it.
    pub(crate) fn close(&self) {
        self.bell.ring();
        let is_ours = self.is_ours.load(Ordering::Acquire);
        if is_ours && self.file.is_some_and(|file| file.is_at(&self.path)) {
            // If the path cannot be removed, the next start finds that nobody answers there.
            _ = fs::remove_file(&self.path);
        }
    }
}

impl AsFd for ControlListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether two paths lead to one file: a path can be written in several ways.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> bool {
    matches!((FileIdentity::at(one), FileIdentity::at(other)), (Ok(one), Ok(other)) if one == other)
}

/// Removes the socket of a process that has ended without removing it.
fn remove_stale(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file exists, and is not a socket"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process answers there: stop it, replace it (reload), or take over from it (--takeover)",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("softstop-control-{name}-{}", std::process::id()));
        _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn the_socket_is_ours_alone_and_its_path_goes_with_it() {
        let path = folder("mode").join("control");
        let listener = ControlListener::bind(path.clone()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(ControlListener::bind(path.clone()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        listener.close();
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_another_file_is_not() {
        let path = folder("stale").join("control");
        drop(ControlListener::bind(path.clone()).unwrap());
        assert!(path.exists(), "as after kill -9");
        let listener = ControlListener::bind(path.clone()).unwrap();
        listener.leave();
        assert!(path.exists(), "left to another process");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        assert_eq!(ControlListener::bind(path.clone()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        listener.close();
        assert_eq!(fs::read(&path).unwrap(), b"mine", "the path leads to another file now");
    }

    #[test]
    fn a_path_that_is_too_long_is_an_error() {
        assert!(ControlListener::bind(PathBuf::from(format!("/tmp/{}", "x".repeat(108)))).is_err());
    }
}
