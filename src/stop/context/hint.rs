//! The hint that a stop has begun, which a context gets before it ends.
//!
//! ```text
//!   root_with_hint:   context ── owns ──> hint             the context ends the hint (weakly, as it ends a child)
//!                        ▲                  ▲
//!   child:               └──── child ───────┘              the child refers to both
//!                                │
//!   child.stopping():            └──> a new context below the child and the hint: it ends with either
//! ```

use super::{
    Context,
    node::{Node, Watcher},
};
use crate::sync::Arc;

/// The node that hints at a stop: see [`Context::stopping`](Context::stopping).
pub(super) enum Hint {
    /// No node above gives hints.
    None,
    /// A hint of this node, which ends with the node or before it.
    Own(Arc<Node>),
    /// The hint of a node above, which may outlive this node.
    Inherited(Arc<Node>),
}

impl Context {
    /// The hint that a stop has begun: a context that ends with [`Cause::Stopping`](crate::Cause::Stopping) when the drain begins. This context itself
    /// lives on until the grace period is over.
    ///
    /// Work that can end early should wait on the hint. Other work may ignore the hint, and use the grace period.
    ///
    /// The hint ends at the latest when this context ends. If no server and no [`root_with_hint`](Context::root_with_hint) is
    /// above this context, the hint is this context itself.
    ///
    /// Call this once and keep the result, because most calls make a new context. In a loop,
    /// [`is_stopping`](Context::is_stopping) costs less.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use softstop::{Cause, Context};
    ///
    /// /// Waits for news for a minute, but answers at once when the server begins to stop.
    /// fn long_poll(context: &Context) -> &'static str {
    ///     match context.stopping().sleep(Duration::from_secs(60)) {
    ///         Ok(()) => "nothing new",
    ///         Err(Cause::Stopping) => "come again",
    ///         Err(_) => "nobody reads this",
    ///     }
    /// }
    ///
    /// let (hard, soft) = Context::root_with_hint(None);
    /// soft.cancel(Cause::Stopping);
    /// assert_eq!(long_poll(&hard.child()), "come again");
    /// assert!(!hard.is_cancelled());
    /// ```
    pub fn stopping(&self) -> Context {
        match self.node.hint() {
            Hint::None => self.clone(),
            Hint::Own(hint) => Context { node: Arc::clone(hint) },
            Hint::Inherited(hint) => {
                Context { node: Node::new([Some(&self.node), Some(hint)], Hint::None, None) }
            }
        }
    }

    /// Whether a stop has begun, or the context has ended. The same as `stopping().is_cancelled()`, but makes no context.
    pub fn is_stopping(&self) -> bool {
        self.is_cancelled() || self.node.hint().node().is_some_and(|hint| hint.has_ended())
    }

    /// Makes a context with a hint of its own, as a server does for its handlers. Returns the context and the hint.
    ///
    /// - Ending the hint with [`Cause::Stopping`](crate::Cause::Stopping) announces a stop to the context and all contexts below it.
    /// - Ending the context ends the hint too.
    /// - With a parent, both end when the parent ends. The hint ends when the hint of the parent ends.
    ///
    /// A server makes its contexts itself. This function is for tests of handlers, and for work that is stopped like a server
    /// but serves no requests.
    pub fn root_with_hint(parent: Option<&Context>) -> (Context, Context) {
        // The context owns the hint. The hint's parents are the parent and the parent's hint, never the context: no cycle of
        // strong references. The context ends the hint through a weak reference.
        let above = parent.map(Context::stopping);
        let hint = Node::new([above.as_ref().map(|above| &above.node), None], Hint::None, None);
        let node = Node::new([parent.map(|parent| &parent.node), None], Hint::Own(Arc::clone(&hint)), None);
        if let Err((_, cause)) = node.watch(Watcher::Child(Arc::downgrade(&hint))) {
            hint.end(cause);
        }
        (Context { node }, Context { node: hint })
    }
}

impl Hint {
    pub(super) fn node(&self) -> Option<&Arc<Node>> {
        match self {
            Hint::None => None,
            Hint::Own(node) | Hint::Inherited(node) => Some(node),
        }
    }

    /// The hint of a child of a node with this hint.
    pub(super) fn inherit(&self) -> Hint {
        self.node().map_or(Hint::None, |node| Hint::Inherited(Arc::clone(node)))
    }

    /// The hint of a child of two nodes, with this hint and another one.
    pub(super) fn merge(&self, other: &Hint) -> Hint {
        match (self.node(), other.node()) {
            (Some(one), Some(two)) if !Arc::ptr_eq(one, two) => {
                Hint::Inherited(Node::new([Some(one), Some(two)], Hint::None, None))
            }
            (Some(_), _) => self.inherit(),
            (None, _) => other.inherit(),
        }
    }
}
