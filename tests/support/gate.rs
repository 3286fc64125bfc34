//! Handlers that the test holds: it learns when one has been entered, and says when it may go on.

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::HUNG;

/// The handler's side.
#[derive(Clone)]
pub(crate) struct Gate {
    entered: Sender<()>,
    go_on: Receiver<()>,
}

/// The test's side. Dropped, it lets everybody through.
pub(crate) struct Held {
    entered: Receiver<()>,
    go_on: Sender<()>,
}

pub(crate) fn gate() -> (Gate, Held) {
    let (entered, test_entered) = unbounded();
    let (test_go_on, go_on) = unbounded();
    (Gate { entered, go_on }, Held { entered: test_entered, go_on: test_go_on })
}

impl Gate {
    /// Says that the handler has been entered, and holds it.
    pub(crate) fn pass(&self) {
        // Both fail only when the test is over.
        if self.entered.send(()).is_ok() {
            _ = self.go_on.recv();
        }
    }
}

impl Held {
    /// Waits until one more handler has been entered.
    #[track_caller]
    pub(crate) fn wait_entered(&self) {
        self.entered.recv_timeout(HUNG).expect("a handler is entered");
    }

    /// Whether no handler has been entered beyond those that were waited for.
    pub(crate) fn nobody_entered(&self) -> bool {
        self.entered.is_empty()
    }

    /// Lets one handler through.
    pub(crate) fn let_one_go(&self) {
        self.go_on.send(()).expect("the server has the other end");
    }
}
