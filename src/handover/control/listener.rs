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
            fs::{MetadataExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::process::geteuid;

use crate::{
    engine::net::{FileIdentity, listen_privately},
    handover::channel::Bell,
};

/// The length of the accept queue.
const BACKLOG: i32 = 64;

/// Which users the kernel lets connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Privacy {
    /// Nobody but this user and root.
    Private,
    /// Perhaps others, because somebody has changed the file or its mode.
    Open,
}

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
    /// Binds the control socket, as the servers bind a Unix socket: see `engine/net/unix_listener.rs`. Nobody but this user and
    /// root can ever connect, because the socket has its mode before it listens.
    ///
    /// # Errors
    ///
    /// - `AddrInUse` if a process answers at the path.
    /// - `AlreadyExists` if the path is not a socket. Such a file is never removed.
    /// - What the system says: the folder does not exist, the path is too long (107 bytes).
    pub(crate) fn bind(path: PathBuf) -> io::Result<ControlListener> {
        let socket = listen_privately(&path, BACKLOG).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => io::Error::new(
                io::ErrorKind::AddrInUse,
                "another process answers there: stop it, replace it (reload), or take over from it (--takeover)",
            ),
            _ => error,
        })?;
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

    pub(super) fn accept(&self) -> io::Result<UnixStream> {
        self.socket.accept().map(|(stream, _)| stream)
    }

    /// The mode of the file says so: connect(2) needs the permission to write.
    pub(super) fn privacy(&self) -> Privacy {
        let is_ours = self.file.is_some() && FileIdentity::at(&self.path).ok() == self.file;
        let metadata = fs::symlink_metadata(&self.path);
        let is_private =
            |file: fs::Metadata| file.uid() == geteuid().as_raw() && file.permissions().mode() & 0o022 == 0;
        if is_ours && metadata.is_ok_and(is_private) { Privacy::Private } else { Privacy::Open }
    }

    /// Leaves the socket to another process.
    pub(crate) fn leave(&self) {
        self.bell.ring();
    }

    /// Ends the control socket: removes its path, if the path still leads to it.
    pub(crate) fn close(&self) {
        self.bell.ring();
        if let Some(file) = self.file
            && self.is_ours.load(Ordering::Acquire)
        {
            // If the path cannot be removed, the next start finds that nobody answers there.
            _ = file.remove(&self.path);
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

#[cfg(test)]
mod tests {
    use std::thread;

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

    /// Of the processes that start at one path at the same moment, each time with a stale file in the way, one answers there.
    #[test]
    fn of_processes_that_start_at_once_one_answers() {
        const PROCESSES: usize = 4;
        let path = folder("race").join("control");
        for _ in 0..50 {
            drop(ControlListener::bind(path.clone()).unwrap());
            let barrier = std::sync::Barrier::new(PROCESSES);
            let outcomes: Vec<_> = thread::scope(|scope| {
                let start = || {
                    barrier.wait();
                    ControlListener::bind(path.clone())
                };
                let starts: Vec<_> = (0..PROCESSES).map(|_| scope.spawn(start)).collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            let (bound, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
            assert_eq!((bound.len(), refused.len()), (1, PROCESSES - 1));
            let listener = bound.into_iter().next().unwrap().unwrap();
            let _client = UnixStream::connect(&path).unwrap();
            listener.accept().unwrap();
            listener.close();
            assert!(!path.exists());
        }
    }

    #[test]
    fn the_mode_says_whether_others_may_connect() {
        let path = folder("private").join("control");
        let listener = ControlListener::bind(path.clone()).unwrap();
        assert_eq!(listener.privacy(), Privacy::Private);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
        assert_eq!(listener.privacy(), Privacy::Open);
    }

    #[test]
    fn a_path_that_is_too_long_is_an_error() {
        assert!(ControlListener::bind(PathBuf::from(format!("/tmp/{}", "x".repeat(108)))).is_err());
    }
}
