//! An `Arc` whose reference counts loom can see, with a `Weak`. (Loom's own `Arc` has no `Weak`.)
//!
//! Two things are races: an upgrade against the drop of a handle, and which of two drops is the last. So both also write to an
//! atomic of loom, and loom tries them in every order.

use std::{ops::Deref, sync, thread};

use super::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(crate) struct Arc<T> {
    /// `None` only after `into_inner`.
    value: Option<sync::Arc<T>>,
    changes: Changes,
}

#[derive(Debug)]
pub(crate) struct Weak<T> {
    value: sync::Weak<T>,
    changes: Changes,
}

/// The changes of the number of handles. The atomic is not within the value, because an upgrade also counts if it fails.
#[derive(Debug, Clone)]
struct Changes(sync::Arc<AtomicUsize>);

impl Changes {
    fn note(&self) {
        // A model that has failed is being unwound, and must not call loom any more.
        if !thread::panicking() {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl<T> Arc<T> {
    pub(crate) fn new(value: T) -> Arc<T> {
        Arc { value: Some(sync::Arc::new(value)), changes: Changes(sync::Arc::new(AtomicUsize::new(0))) }
    }

    pub(crate) fn downgrade(this: &Arc<T>) -> Weak<T> {
        Weak { value: sync::Arc::downgrade(this.value()), changes: this.changes.clone() }
    }

    pub(crate) fn ptr_eq(this: &Arc<T>, other: &Arc<T>) -> bool {
        sync::Arc::ptr_eq(this.value(), other.value())
    }

    pub(crate) fn into_inner(mut this: Arc<T>) -> Option<T> {
        this.changes.note();
        sync::Arc::into_inner(this.value.take()?)
    }

    fn value(&self) -> &sync::Arc<T> {
        self.value.as_ref().expect("into_inner takes the whole handle")
    }
}

impl<T> Weak<T> {
    pub(crate) fn upgrade(&self) -> Option<Arc<T>> {
        self.changes.note();
        Some(Arc { value: Some(self.value.upgrade()?), changes: self.changes.clone() })
    }
}

impl<T: Default> Default for Arc<T> {
    fn default() -> Arc<T> {
        Arc::new(T::default())
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Arc<T> {
        Arc { value: Some(sync::Arc::clone(self.value())), changes: self.changes.clone() }
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value()
    }
}

impl<T> Drop for Arc<T> {
    fn drop(&mut self) {
        if self.value.is_some() {
            self.changes.note();
        }
    }
}
