//! The values that wrappers and handlers attach to a request.

use std::{
    any::Any,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{isolation::contain::discard, sync::lock};

/// Values by their type. Without any value it owns no heap memory.
#[derive(Default)]
pub(crate) struct Attachments(Mutex<Vec<Arc<dyn Any + Send + Sync>>>);

impl Attachments {
    /// Attaches a value, and returns an earlier one of its type, so that the caller drops it after unlocking.
    pub(crate) fn set<T: Send + Sync + 'static>(&self, value: T) -> Option<Arc<dyn Any + Send + Sync>> {
        let value = Arc::new(value);
        let mut values = lock(&self.0);
        match values.iter_mut().find(|known| known.is::<T>()) {
            Some(known) => Some(std::mem::replace(known, value)),
            None => {
                values.push(value);
                None
            }
        }
    }

    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let found = lock(&self.0).iter().find(|known| known.is::<T>()).map(Arc::clone);
        found.and_then(|value| value.downcast().ok())
    }

    pub(crate) fn is_empty(&mut self) -> bool {
        self.values().is_empty()
    }

    /// Drops the values, catches the panic of each, and keeps the memory for the next values.
    pub(crate) fn clear(&mut self) {
        self.values().drain(..).for_each(discard);
    }

    fn values(&mut self) -> &mut Vec<Arc<dyn Any + Send + Sync>> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request may be dropped anywhere with its values: their panics are caught here too.
impl Drop for Attachments {
    fn drop(&mut self) {
        self.clear();
    }
}
