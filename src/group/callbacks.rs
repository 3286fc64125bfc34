//! Callbacks for the two turning points of a group: everything serves, a stop has begun.

use std::{fmt, sync::Arc};

use super::{Group, GroupHandle, aside};
use crate::isolation::journal;

/// Callbacks of one turning point. Each is called on a thread of its own.
#[derive(Default)]
pub(super) struct Callbacks(Vec<Callback>);

type Callback = Box<dyn FnOnce(&GroupHandle) + Send>;

impl Group {
    /// Calls `callback` once all servers serve and all tasks have been started: to tell a service manager, or to write a file.
    ///
    /// - The callback runs on a thread of its own, so it may block. Neither the servers nor a stop wait for it. A panic is caught
    ///   and logged.
    /// - If the group cannot start, the callback is dropped.
    ///
    /// Not guaranteed: that the callback has run before a stop begins. A stop that was asked for early begins at once.
    ///
    /// ```
    /// use softstop::{Group, Router, Server, StopPolicy};
    ///
    /// # fn main() -> Result<(), softstop::group::GroupError> {
    /// let server = Server::builder().name("hello").listen("127.0.0.1:0").routes(Router::new()).build();
    /// let (tell, serving) = std::sync::mpsc::channel();
    /// let group = Group::new()
    ///     .server(server)
    ///     .when_serving(move |group| {
    ///         _ = tell.send("serving");
    ///         group.request_stop(StopPolicy::default());
    ///     })
    ///     .when_stopping(|group| println!("{}", group.progress()));
    /// group.run()?;
    /// assert_eq!(serving.recv(), Ok("serving"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn when_serving(mut self, callback: impl FnOnce(&GroupHandle) + Send + 'static) -> Self {
        self.when_serving.0.push(Box::new(callback));
        self
    }

    /// Calls `callback` once a stop has begun, whatever the reason, in the same way as [`when_serving`](Group::when_serving).
    #[must_use]
    pub fn when_stopping(mut self, callback: impl FnOnce(&GroupHandle) + Send + 'static) -> Self {
        self.when_stopping.0.push(Box::new(callback));
        self
    }
}

impl Callbacks {
    /// Calls each callback on a thread of its own.
    pub(super) fn call(&mut self, name: &str, group: &GroupHandle) {
        for callback in std::mem::take(&mut self.0) {
            let group = GroupHandle { lifecycle: Arc::clone(&group.lifecycle) };
            if let Err(error) = aside::run(name, move || callback(&group)) {
                journal::warn!(
                    "a callback of the group ({name}) is not called: no thread to be had: {error}"
                );
            }
        }
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} callbacks", self.0.len())
    }
}
