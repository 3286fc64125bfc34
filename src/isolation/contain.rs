//! Catches the panics of foreign code, so that they do not end a thread of this crate.
//!
//! [`catch`] calls foreign code. [`discard`] and [`Contained`] drop foreign values. The payload of a panic is a foreign value
//! too: its `Drop` may panic again, with another payload. So `catch_unwind` stands only in this file (`tests/architecture`
//! checks this).

use std::{
    any::Any,
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::isolation::journal;

/// How many payloads in a row may panic when they are dropped. The next payload is leaked, because payloads that always make
/// another one would hold the thread for ever.
const MOST_PAYLOADS: usize = 8;

type Payload = Box<dyn Any + Send>;

/// Calls foreign code and catches its panic.
///
/// The caller is responsible for unwind safety. State that the code may have left half changed is dropped next, or belongs to
/// the user.
pub(crate) fn catch<T>(code: impl FnOnce() -> T) -> Result<T, Caught> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| Caught(Contained::new(payload)))
}

/// Drops a foreign value on this thread. A panic of its `Drop` is caught and logged.
pub(crate) fn discard<T>(value: T) {
    let Err(mut payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) else { return };
    journal::error!("the drop of a value panicked: {}", text(&*payload));
    for _ in 0..MOST_PAYLOADS {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    mem::forget(payload);
}

/// A panic that was caught. The drop of a `Caught` drops the payload, and catches the payload's panics.
pub(crate) struct Caught(Contained<Payload>);

impl Caught {
    /// The message of the panic, if the payload is a text.
    pub(crate) fn text(&self) -> &str {
        self.0.get().map_or("", |payload| text(&**payload))
    }

    pub(crate) fn into_payload(self) -> Payload {
        self.0.into_inner()
    }
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A foreign value whose `Drop` may panic. When the `Contained` is dropped, the panic is caught and logged.
pub(crate) struct Contained<T>(Option<T>);

impl<T> Contained<T> {
    pub(crate) fn new(value: T) -> Contained<T> {
        Contained(Some(value))
    }

    /// The value. `None` only while the `Contained` is being dropped.
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }

    /// Gives the value back. The caller has to catch its panics.
    pub(crate) fn into_inner(mut self) -> T {
        self.0.take().expect("only `into_inner` and `drop` take the value, and both consume the `Contained`")
    }
}

impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            discard(value);
        }
    }
}

fn text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        panic::panic_any,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    /// Panics when it is dropped, with another `Grenade` as the payload, `left` times in a row.
    struct Grenade {
        left: usize,
        exploded: Arc<AtomicUsize>,
    }

    impl Drop for Grenade {
        fn drop(&mut self) {
            if self.left > 0 {
                self.exploded.fetch_add(1, Ordering::Relaxed);
                panic_any(Grenade { left: self.left - 1, exploded: Arc::clone(&self.exploded) });
            }
        }
    }

    fn grenade(left: usize) -> (Grenade, Arc<AtomicUsize>) {
        let exploded = Arc::new(AtomicUsize::new(0));
        (Grenade { left, exploded: Arc::clone(&exploded) }, exploded)
    }

    #[test]
    fn a_value_and_its_payloads_may_panic_when_they_are_dropped() {
        let (value, exploded) = grenade(3);
        discard(value);
        assert_eq!(exploded.load(Ordering::Relaxed), 3);
        let (value, exploded) = grenade(3);
        drop(Contained::new(value));
        assert_eq!(exploded.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_payload_that_never_ends_is_leaked() {
        let (value, exploded) = grenade(1_000_000);
        discard(value);
        assert_eq!(exploded.load(Ordering::Relaxed), 1 + MOST_PAYLOADS);
    }

    #[test]
    fn a_caught_panic_has_its_message_and_drops_its_payload_safely() {
        let caught = catch(|| panic!("said {}", 1)).map_err(|caught| caught.to_string());
        assert_eq!(caught, Err::<(), _>("said 1".to_owned()));
        let (payload, exploded) = grenade(2);
        drop(catch(|| panic_any(payload)));
        assert_eq!(exploded.load(Ordering::Relaxed), 2);
        assert!(matches!(catch(|| 1), Ok(1)));
    }
}
