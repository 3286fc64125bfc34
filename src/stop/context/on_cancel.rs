//! The registration of a callback on the end of a context. Dropping it calls the callback off.

use std::fmt;

use super::node::Node;
use crate::sync::Arc;

/// The registration of a callback: see [`Context::on_cancel`](crate::Context::on_cancel).
///
/// Dropping the registration before the context ends calls the callback off. Dropping it while another thread ends the context
/// does not stop a callback that is about to run or running, and does not wait for it. A registration keeps its context in
/// memory.
///
/// # Examples
///
/// ```
/// use softstop::Context;
///
/// let context = Context::new();
/// let (sender, receiver) = std::sync::mpsc::channel();
/// let dropped = context.on_cancel({
///     let sender = sender.clone();
///     move |_| sender.send("dropped").unwrap()
/// });
/// drop(dropped);
/// context.on_cancel(move |_| sender.send("kept").unwrap()).forget();
/// context.cancel("over");
/// assert_eq!(receiver.iter().collect::<Vec<_>>(), ["kept"]);
/// ```
#[must_use = "dropping the registration calls the callback off; `forget` keeps the callback"]
pub struct OnCancel {
    /// The context's node and the callback's slot in it. `None`: there is nothing to call off.
    registered: Option<(Arc<Node>, usize)>,
}

impl OnCancel {
    pub(super) fn registered(node: Arc<Node>, slot: usize) -> OnCancel {
        OnCancel { registered: Some((node, slot)) }
    }

    /// For a context that had ended before: the callback has run.
    pub(super) fn over() -> OnCancel {
        OnCancel { registered: None }
    }

    /// Gives up the right to call the callback off. The callback runs when the context ends. If the context is freed without
    /// having ended, the callback is dropped.
    pub fn forget(mut self) {
        if let Some((node, _)) = self.registered.take() {
            node.note_forgotten();
        }
    }
}

impl Drop for OnCancel {
    fn drop(&mut self) {
        if let Some((node, slot)) = self.registered.take() {
            node.unwatch(slot);
        }
    }
}

impl fmt::Debug for OnCancel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OnCancel").finish_non_exhaustive()
    }
}
