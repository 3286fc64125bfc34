//! Requests that ask for another protocol (RFC 9110 section 7.8).

use super::Request;
use crate::{
    app::response::Response,
    body::{
        Body,
        upgrade::{Upgrade, Upgraded},
    },
    http::{StatusCode, Version},
    stop::Context,
};

impl Request {
    /// Switches the connection to another protocol, if the client asked for that: the response is 101, and once it is
    /// written, `handler` has the connection to itself, on a thread of its own. If the client did not ask for it, the
    /// response is 426, which names the protocol; a handler that has something to say to such clients looks at
    /// [`Request::wants_upgrade`] first.
    ///
    /// `protocol` is the name as it stands in the Upgrade field, such as `websocket`. What else the protocol wants in the
    /// response is added to it with [`Response::header`].
    ///
    /// # At a stop
    ///
    /// The context that the handler is given hints when the drain begins, and ends with the grace period; then the socket
    /// is shut down, so that a read returns. The stop waits for the handler, and names one that does not return.
    ///
    /// ```
    /// use softstop::{Request, Router, body::Upgraded};
    /// use std::io::{Read, Write};
    ///
    /// let shout = |request: &Request| {
    ///     request.upgrade("shout", |mut connection: Upgraded, _context| {
    ///         let mut buffer = [0; 1024];
    ///         while let Ok(count @ 1..) = connection.read(&mut buffer) {
    ///             buffer[..count].make_ascii_uppercase();
    ///             if connection.write_all(&buffer[..count]).is_err() {
    ///                 break;
    ///             }
    ///         }
    ///     })
    /// };
    /// let router = Router::new().get("/shout", shout);
    /// # let _ = router;
    /// ```
    ///
    /// # Panics
    ///
    /// If `protocol` is no token (RFC 9110 section 5.6.2), with a version behind a slash if need be.
    #[must_use]
    #[track_caller]
    pub fn upgrade(
        &self,
        protocol: &str,
        handler: impl FnOnce(Upgraded, &Context) + Send + 'static,
    ) -> Response {
        if !self.wants_upgrade(protocol) {
            return Response::switching(StatusCode::UPGRADE_REQUIRED, protocol, Body::empty());
        }
        let upgrade = Upgrade::new(handler, self.context().clone());
        Response::switching(StatusCode::SWITCHING_PROTOCOLS, protocol, upgrade.into())
    }

    /// Whether the client asks for that protocol: by its name in Upgrade, and `upgrade` in Connection. HTTP/1.0 cannot, and
    /// one that has not sent its content yet has to do so first.
    #[must_use]
    pub fn wants_upgrade(&self, protocol: &str) -> bool {
        let lists = |field: &str, wanted: &str| {
            let values = self.headers().filter(|(name, _)| name.eq_ignore_ascii_case(field));
            let mut members = values.flat_map(|(_, value)| value.split(|&byte| byte == b','));
            members.any(|member| member.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
        };
        let is_whole = self.pipe.is_none();
        is_whole
            && self.version() == Version::Http11
            && lists("Connection", "upgrade")
            && lists("Upgrade", protocol)
    }
}
