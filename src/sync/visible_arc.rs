//! An `Arc` whose counting loom can see, with a `Weak`, which loom's own has not.
//!
//! Whether an upgrade comes before or after the drop of another handle, and which of two drops is the last, are
//! races like any other. So both also write to an atomic of loom's, which puts them in every order.

use std::{ops::Deref, sync};

use super::{AtomicUsize, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Arc<T> {
    /// `None` only in one that `into_inner` has taken apart.
    shared: Option<sync::Arc<Shared<T>>>,
}

#[derive(Debug)]
pub(crate) struct Weak<T> {
    shared: sync::Weak<Shared<T>>,
}

#[derive(Debug, Default)]
struct Shared<T> {
    changes: AtomicUsize,
    value: T,
}

impl<T> Arc<T> {
    pub(crate) fn new(value: T) -> Arc<T> {
        Arc { shared: Some(sync::Arc::new(Shared { changes: AtomicUsize::new(0), value })) }
    }

    pub(crate) fn downgrade(this: &Arc<T>) -> Weak<T> {
        Weak { shared: sync::Arc::downgrade(this.shared()) }
    }

    pub(crate) fn ptr_eq(this: &Arc<T>, other: &Arc<T>) -> bool {
        sync::Arc::ptr_eq(this.shared(), other.shared())
    }

    pub(crate) fn into_inner(mut this: Arc<T>) -> Option<T> {
        this.shared().change();
        sync::Arc::into_inner(this.shared.take()?).map(|shared| shared.value)
    }

    fn shared(&self) -> &sync::Arc<Shared<T>> {
        self.shared.as_ref().expect("into_inner takes the whole handle")
    }
}

impl<T> Weak<T> {
    pub(crate) fn upgrade(&self) -> Option<Arc<T>> {
        let shared = self.shared.upgrade()?;
        shared.change();
        Some(Arc { shared: Some(shared) })
    }
}

impl<T> Shared<T> {
    fn change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Arc<T> {
        Arc { shared: Some(sync::Arc::clone(self.shared())) }
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.shared().value
    }
}

impl<T> Drop for Arc<T> {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.change();
        }
    }
}
