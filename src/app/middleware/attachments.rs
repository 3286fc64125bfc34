//! What wrappers want a handler to know about its request.

use std::{
    any::Any,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{isolation::contain::discard, sync::lock};

/// Values by their type. Empty, and without a heap of its own, unless somebody attaches something.
#[derive(Default)]
pub(crate) struct Attachments(Mutex<Vec<Arc<dyn Any + Send + Sync>>>);

impl Attachments {
    /// Attaches a value. An earlier one of its type is handed back, to be dropped where no lock is held.
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

    /// Drops the values, each with its panic caught, and keeps the room for the next ones.
    pub(crate) fn clear(&mut self) {
        self.values().drain(..).for_each(discard);
    }

    fn values(&mut self) -> &mut Vec<Arc<dyn Any + Send + Sync>> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wherever a request is dropped with its values.
impl Drop for Attachments {
    fn drop(&mut self) {
        self.clear();
    }
}
