//! The supervisor's end of sd_notify(3): a datagram socket that the test reads.

use std::{
    fs, io,
    os::unix::net::{SocketAddr, UnixDatagram},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::support::HUNG;

pub(crate) struct Receiver {
    pub(crate) socket: UnixDatagram,
    pub(crate) path: PathBuf,
}

impl Receiver {
    pub(crate) fn new() -> Receiver {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("softstop-notify-{}-{number}", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(HUNG)).unwrap();
        Receiver { socket, path }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from_pathname(&self.path).unwrap()
    }

    /// The next message.
    #[track_caller]
    pub(crate) fn message(&self) -> String {
        receive(&self.socket).expect("a message comes")
    }

    /// The first message from now on that has this assignment, or begins with it.
    #[track_caller]
    pub(crate) fn wait_for(&self, assignment: &str) -> String {
        loop {
            let message = self.message();
            if message.lines().any(|line| line.starts_with(assignment)) {
                return message;
            }
        }
    }

    /// Whether nothing comes for this long.
    pub(crate) fn is_silent_for(&self, time: Duration) -> bool {
        self.socket.set_read_timeout(Some(time)).unwrap();
        let received = receive(&self.socket);
        self.socket.set_read_timeout(Some(HUNG)).unwrap();
        received.is_err()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // The test may have removed it.
        _ = fs::remove_file(&self.path);
    }
}

pub(crate) fn receive(socket: &UnixDatagram) -> io::Result<String> {
    let mut bytes = vec![0; 8192];
    let length = socket.recv(&mut bytes)?;
    Ok(String::from_utf8(bytes[..length].to_vec()).unwrap())
}
