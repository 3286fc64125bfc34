//! Stands in the file of the program, so that the old process starts this one as its successor. It puts the relay of the test
//! between old and new, and then becomes the real program: with the same process id, arguments and environment.
//!
//! ```text
//!   old <── standard input of this process ──> relay <── socket pair ──> the real program
//! ```

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    use std::{
        env,
        io::{IoSlice, IoSliceMut},
        mem::MaybeUninit,
        os::unix::{net::UnixStream, process::CommandExt},
        path,
        process::Command,
    };

    use rustix::{
        cmsg_space,
        net::{
            RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
            SendFlags, recvmsg, sendmsg,
        },
        stdio::{dup2_stdin, stdin},
    };

    let mut arguments = env::args_os();
    // A link to this program, in the folder of the cell.
    let own = path::absolute(arguments.next().expect("the old process gives a path"))?;
    let relay = UnixStream::connect(own.with_file_name("relay"))?;

    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [stdin()];
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)), "there is room for one");
    sendmsg(&relay, &[IoSlice::new(b"!")], &mut ancillary, SendFlags::empty())?;

    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(&relay, &mut [IoSliceMut::new(&mut [0])], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            descriptors.into_iter().try_for_each(dup2_stdin)?;
        }
    }
    Err(Command::new(own.with_file_name("real")).args(arguments).exec())
}

#[cfg(not(target_os = "linux"))]
fn main() {}
