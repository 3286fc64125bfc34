//! Values that wrappers and handlers keep with a request: the wrapper that has checked a token leaves the user's name
//! here, and the handler finds it by its type.

use std::{
    any::Any,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{isolation::contain::discard, sync::lock};

/// Values that belong to one request, at most one of each type: see [`Request::extensions`](crate::Request::extensions).
///
/// The values are shared, because a wrapper and a handler see the request at the same time.
// The mutex is never held while a value is made or dropped, because both are a user's code.
#[derive(Default)]
pub struct Extensions(Mutex<Vec<Arc<dyn Any + Send + Sync>>>);

impl Extensions {
    /// Keeps a value with the request, in place of an earlier one of the same type, which is returned. Use a type of your
    /// own, so that no other wrapper replaces the value.
    ///
    /// The server drops the value when the handler has returned:
    ///
    /// - after a handler on the pool, a worker drops it before the response is sent, and the drop may block;
    /// - after an [inline](crate::routing::Route::inline) handler, the event loop drops it, and the drop must not block.
    ///
    /// A panic in the drop is caught.
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) -> Option<Arc<T>> {
        let value = Arc::new(value);
        let mut values = lock(&self.0);
        let earlier = match values.iter_mut().find(|known| known.is::<T>()) {
            Some(known) => Some(std::mem::replace(known, value)),
            None => {
                values.push(value);
                None
            }
        };
        drop(values);
        earlier.and_then(|earlier| earlier.downcast().ok())
    }

    /// The value of that type, if there is one.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let found = lock(&self.0).iter().find(|known| known.is::<T>()).map(Arc::clone);
        found.and_then(|value| value.downcast().ok())
    }

    pub(crate) fn is_empty(&mut self) -> bool {
        self.values().is_empty()
    }

    /// Drops the values, each with its panic caught, and keeps the memory for the next request.
    pub(crate) fn clear(&mut self) {
        self.values().drain(..).for_each(discard);
    }

    fn values(&mut self) -> &mut Vec<Arc<dyn Any + Send + Sync>> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops the values of a request that is not used again.
impl Drop for Extensions {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extensions").field("count", &lock(&self.0).len()).finish_non_exhaustive()
    }
}
