//! What a callback on the end of a context is called off by.

use std::fmt;

use super::node::Node;
use crate::sync::Arc;

/// A callback that [`Context::on_cancel`](crate::Context::on_cancel) has registered. Dropping it before the context ends calls the callback
/// off; it keeps the context, but does not keep a callback back that is about to run or running in another thread.
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
#[must_use = "dropping the registration calls the callback off; `forget` it to keep it"]
pub struct OnCancel {
    /// Where to call it off, if it is to be.
    registered: Option<(Arc<Node>, usize)>,
}

impl OnCancel {
    pub(super) fn registered(node: Arc<Node>, place: usize) -> OnCancel {
        OnCancel { registered: Some((node, place)) }
    }

    /// The context has ended before: there is nothing left to call off.
    pub(super) fn over() -> OnCancel {
        OnCancel { registered: None }
    }

    /// Leaves the callback to the context: it runs when that ends, and goes with it if it never does.
    pub fn forget(mut self) {
        if let Some((node, _)) = self.registered.take() {
            node.note_forgotten();
        }
    }
}

impl Drop for OnCancel {
    fn drop(&mut self) {
        if let Some((node, place)) = self.registered.take() {
            node.unwatch(place);
        }
    }
}

impl fmt::Debug for OnCancel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OnCancel").finish_non_exhaustive()
    }
}
