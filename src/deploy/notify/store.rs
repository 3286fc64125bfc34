//! The supervisor's store of descriptors: systemd keeps descriptors while the service is restarted, and passes them to the next
//! process as inherited ones (`FileDescriptorStoreMax=`).

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::BorrowedFd,
};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr};

use super::Notify;

/// The most descriptors of one message: the limit of the kernel (`SCM_MAX_FD`).
const MOST: usize = 253;

impl Notify {
    /// `FDSTORE=1`: the supervisor keeps these descriptors under this name, also when this process has ended. The next process
    /// inherits them (`LISTEN_FDS`, with the name in `LISTEN_FDNAMES`).
    ///
    /// ```
    /// use softstop::deploy::Notify;
    /// use std::{net::TcpListener, os::fd::AsFd};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// if let Some(notify) = Notify::from_environment()? {
    ///     notify.store("web", &[listener.as_fd()])?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the name is not one of 1 to 255 printable ASCII characters without a colon, if there are more than 253 descriptors, or if
    /// the supervisor does not take the message. A supervisor that takes the message and has no room (`FileDescriptorStoreMax=`)
    /// does not say so.
    pub fn store(&self, name: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        check(name)?;
        if descriptors.is_empty() || descriptors.len() > MOST {
            let expected = format!("expected 1 to {MOST} descriptors");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, expected));
        }
        let address = match (self.address.as_pathname(), abstract_name(&self.address)) {
            (Some(path), _) => SocketAddrUnix::new(path)?,
            (None, Some(name)) => SocketAddrUnix::new_abstract_name(name)?,
            (None, None) => return Err(io::ErrorKind::AddrNotAvailable.into()),
        };
        let mut space = vec![MaybeUninit::uninit(); SendAncillaryMessage::ScmRights(descriptors).size()];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let has_room = control.push(SendAncillaryMessage::ScmRights(descriptors));
        debug_assert!(has_room, "the buffer has the size of the message");
        let message = format!("FDSTORE=1\nFDNAME={name}");
        let message = [IoSlice::new(message.as_bytes())];
        sendmsg_addr(&self.prompt, &address, &message, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// `FDSTOREREMOVE=1`: the supervisor closes the descriptors with this name.
    ///
    /// # Errors
    ///
    /// If the name cannot be that of a descriptor: see [`store`](Notify::store).
    pub fn remove_stored(&self, name: &str) -> io::Result<()> {
        check(name)?;
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), super::Waits::No);
        Ok(())
    }
}

fn check(name: &str) -> io::Result<()> {
    let is_allowed = |byte: u8| (byte.is_ascii_graphic() || byte == b' ') && byte != b':';
    if (1..=255).contains(&name.len()) && name.bytes().all(is_allowed) {
        return Ok(());
    }
    let expected = format!("{name:?}: expected 1 to 255 printable ASCII characters without a colon");
    Err(io::Error::new(io::ErrorKind::InvalidInput, expected))
}

#[cfg(target_os = "linux")]
fn abstract_name(address: &std::os::unix::net::SocketAddr) -> Option<&[u8]> {
    std::os::linux::net::SocketAddrExt::as_abstract_name(address)
}

#[cfg(not(target_os = "linux"))]
fn abstract_name(_: &std::os::unix::net::SocketAddr) -> Option<&[u8]> {
    None
}
