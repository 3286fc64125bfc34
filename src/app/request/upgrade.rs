//! Requests whose client asks for another protocol (RFC 9110 section 7.8).

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
    /// Switches the connection to another protocol, if the client asks for that. The response is 101. Once it is written,
    /// `handler` has the connection to itself, on a thread of its own.
    ///
    /// If the client does not ask for that protocol, the response is 426, which names the protocol. To answer such clients in
    /// another way, ask [`Request::wants_upgrade`] first.
    ///
    /// `protocol` is the name in the Upgrade field, such as `websocket`. Add further fields that the protocol needs with
    /// [`Response::header`].
    ///
    /// # At a stop
    ///
    /// The handler's context hints when the drain begins ([`Context::stopping`]), and ends with the grace period. Then the
    /// socket is shut down, so that a read returns. The stop waits for the handler, and names one that does not return.
    ///
    /// As many upgraded connections may be open as the server may have workers. Beyond that, the response is 503.
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
    /// If `protocol` is not a token (RFC 9110 section 5.6.2), or a token with a version behind a slash.
    #[must_use]
    #[track_caller]
    pub fn upgrade(
        &self,
        protocol: &str,
        handler: impl FnOnce(Upgraded, &Context) + Send + 'static,
    ) -> Response {
        if !self.wants_upgrade(protocol) {
            return Response::switching(StatusCode::UPGRADE_REQUIRED, protocol, Body::Empty);
        }
        let upgrade = Upgrade::new(handler, self.context().clone());
        Response::switching(StatusCode::SWITCHING_PROTOCOLS, protocol, Body::Upgrade(upgrade))
    }

    /// Whether the client asks for that protocol, by its name in Upgrade, and by `upgrade` in Connection. An HTTP/1.0 client
    /// cannot ask. A client whose content has not come yet has to send the content first.
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
