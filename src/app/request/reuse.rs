//! A request as its loop and its worker see it: made once, filled, routed, and used again for later requests.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use super::{Exchange, Request};
use crate::{
    app::{
        response::Response,
        router::{Found, Router},
    },
    body::Body,
    http::Framing,
    observe::ConnectionId,
};

/// The largest capacity of a content buffer that is kept for the next request. A larger buffer is freed, because allocating
/// one is cheap beside filling it.
const KEPT_BODY: usize = 8 * 1024;
/// The largest capacity of a head that is kept for the next request. Browsers with large cookies send this much.
const KEPT_HEAD: usize = 8 * 1024;
/// A content that declares its length is given room for this many times the bytes that have come.
const ROOM: usize = 64;

impl Request {
    /// Takes the request into use for a head that has just been parsed into it.
    pub(crate) fn begin(&mut self, began: Instant, peer: SocketAddr, connection: ConnectionId, number: u64) {
        if let Some(exchange) = Arc::get_mut(&mut self.exchange) {
            exchange.began = began;
            exchange.peer = peer;
            exchange.connection = connection;
            exchange.number = number;
        }
    }

    /// Finds the route, and keeps the places of its parameters and the meaning of a stop for it.
    pub(crate) fn route(&mut self, router: &Router) -> Found {
        match Arc::get_mut(&mut self.exchange) {
            Some(Exchange { head, parameters, path_number, route: own, on_stop, .. }) => {
                let found = router.find(head, parameters, path_number);
                if let Found::Route(route) = &found {
                    *own = Some(*route);
                    *on_stop = router.get_route(*route).on_stop;
                }
                found
            }
            // Only a request that is being handled is shared, and that has its route.
            None => router.find(&self.exchange.head, &mut Vec::new(), &mut None),
        }
    }

    /// Adds bytes to the content. The buffer has room for the declared length, but for no more than a multiple of the bytes
    /// that have come. A buffer that grows in small steps copies its bytes each time, and a client may declare a length that
    /// it never sends.
    pub(crate) fn add_to_body(&mut self, bytes: &[u8]) {
        let body = Arc::make_mut(&mut self.body);
        if let Framing::Length(declared) = self.exchange.head.framing()
            && body.capacity() - body.len() < bytes.len()
        {
            // If the allocator refuses this much, the buffer grows below as far as it has to.
            _ = body.try_reserve_exact(room(body.len() + bytes.len(), declared) - body.len());
        }
        body.extend_from_slice(bytes);
    }

    pub(crate) fn has_attachments(&mut self) -> bool {
        !self.attachments.is_empty()
    }

    /// Drops the values that handlers and wrappers have attached. These are a user's values, whose `Drop` may block. A panic
    /// of one is caught.
    pub(crate) fn drop_attachments(&mut self) {
        self.attachments.clear();
    }

    /// For a worker whose handler has returned: drops here, where it may block, what the handler has left with the request.
    pub(crate) fn let_go(&mut self, response: &Response) {
        self.drop_attachments();
        // A stream or an upgrade may still need the context: a client that goes ends it.
        if !matches!(response.body(), Body::Stream(_) | Body::Upgrade(_)) {
            self.exchange.drop_callbacks();
        }
    }

    /// Makes an answered request ready for the next one. False if another thread still holds a part of it, or if it is
    /// too large to be kept.
    pub(crate) fn recycle(&mut self) -> bool {
        match Arc::get_mut(&mut self.body) {
            Some(body) if body.capacity() <= KEPT_BODY => body.clear(),
            _ => self.body = Arc::default(),
        }
        self.pipe = None;
        self.drop_attachments();
        let Some(exchange) = Arc::get_mut(&mut self.exchange) else { return false };
        if exchange.head.capacity() > KEPT_HEAD {
            return false;
        }
        exchange.reset();
        true
    }
}

/// The room that a content is given when so many bytes are there and so many are declared.
fn room(there: usize, declared: u64) -> usize {
    let declared = usize::try_from(declared).unwrap_or(usize::MAX);
    declared.min(there.saturating_mul(ROOM)).max(there)
}

#[cfg(test)]
mod tests {
    use super::room;

    #[test]
    fn room_is_made_for_what_is_declared_but_not_for_a_claim() {
        assert_eq!(room(60_000, 1 << 20), 1 << 20, "the usual upload: at once");
        assert_eq!(room(100, 1 << 40), 6_400);
        assert_eq!(room(100, 100), 100);
    }
}
