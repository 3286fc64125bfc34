//! Handlers that a test holds. The test learns when a handler was entered, and decides when it goes on.

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::HUNG;

/// The side of the handlers.
#[derive(Clone)]
pub(crate) struct Gate {
    entered: Sender<()>,
    go_on: Receiver<()>,
}

/// The side of the test. Its drop lets all handlers through.
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
    /// Tells the test that the handler was entered, and blocks until the test lets it go.
    pub(crate) fn pass(&self) {
        // Both calls fail only when the test is over.
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

    /// Whether no handler was entered apart from those that the test has waited for.
    pub(crate) fn nobody_entered(&self) -> bool {
        self.entered.is_empty()
    }

    /// Lets one handler through.
    pub(crate) fn let_one_go(&self) {
        self.go_on.send(()).expect("the server has the other end of the channel");
    }
}
