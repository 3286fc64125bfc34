//! What a handler is given. The head and the context are shared between the handler and the connection that waits for
//! its answer (that is the [`Exchange`]); the content is the handler's, who may keep it. Both are used again
//! for later requests, unless they are large or were kept, so that serving allocates nothing once it is warm.

mod exchange;
mod upgrade;

use std::{borrow::Cow, fmt, io, net::SocketAddr, sync::Arc, time::Instant};

pub(crate) use exchange::Exchange;
use exchange::{NO_LINE, WAITED_FOR};

use percent_encoding::percent_decode;

use crate::{
    app::{
        middleware::Attachments,
        response::Response,
        router::{Found, Router},
    },
    body::{Body, pipe::Pipe},
    http::{Framing, Method, Version},
    observe::ConnectionId,
    server::ServerHandle,
    stop::Context,
};

/// Capacity of a content buffer that is kept for the next request. Larger ones come and go: to allocate them is cheap beside
/// what it takes to fill them.
const KEPT_BODY: usize = 8 * 1024;
/// Capacity of a head that is kept for the next request: what browsers send, with large cookies.
const KEPT_HEAD: usize = 8 * 1024;
/// How many times as much room is made for a declared content as has come of it.
const ROOM: usize = 64;

/// One request, whole: head and content.
///
/// ```
/// use softstop::Request;
///
/// fn greet(request: &Request) -> String {
///     format!("Hello, {}!", request.query("name").unwrap_or_default())
/// }
/// # let _ = greet;
/// ```
pub struct Request {
    pub(crate) exchange: Arc<Exchange>,
    body: Arc<Vec<u8>>,
    /// Where the content comes from, if the handler reads it itself.
    pub(crate) pipe: Option<Arc<Pipe>>,
    /// On its way back from a worker; still none, if there is no thread to be had that could handle it.
    pub(crate) answer: Option<Response>,
    attachments: Attachments,
}

/// Makes the requests of one run of a server, so that the engine need not know the server.
pub(crate) struct RequestFactory {
    router: Arc<Router>,
    server: ServerHandle,
    /// Of which the context of each request is a child.
    context: Context,
}

impl RequestFactory {
    pub(crate) fn new(router: Arc<Router>, server: ServerHandle, context: Context) -> RequestFactory {
        RequestFactory { router, server, context }
    }

    pub(crate) fn make(&self) -> Box<Request> {
        let (router, server) = (Arc::clone(&self.router), self.server.clone());
        Box::new(Request::new(Exchange::new(router, server, self.context.clone())))
    }
}

impl Request {
    pub(crate) fn new(exchange: Exchange) -> Request {
        Request {
            exchange: Arc::new(exchange),
            body: Arc::default(),
            pipe: None,
            answer: None,
            attachments: Attachments::default(),
        }
    }

    /// Takes the request into use for a head that has just been parsed into it.
    pub(crate) fn begin(&mut self, began: Instant, peer: SocketAddr, connection: ConnectionId, number: u64) {
        if let Some(exchange) = Arc::get_mut(&mut self.exchange) {
            exchange.began = began;
            exchange.peer = peer;
            exchange.connection = connection;
            exchange.number = number;
        }
    }

    /// Looks up the route, and keeps where its parameters are, and what a stop means for it.
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

    /// Adds what has come of the content. Room is made for what the head has declared, but for no more than a multiple of
    /// what is there: to make it bit by bit moves the bytes, and to make it for a mere claim invites claims.
    pub(crate) fn add_to_body(&mut self, bytes: &[u8]) {
        let body = Arc::make_mut(&mut self.body);
        if let Framing::Length(declared) = self.exchange.head.framing()
            && body.capacity() - body.len() < bytes.len()
        {
            // Where there is not as much to be had, it grows as far as it has to.
            _ = body.try_reserve_exact(room(body.len() + bytes.len(), declared) - body.len());
        }
        body.extend_from_slice(bytes);
    }

    pub(crate) fn has_attachments(&mut self) -> bool {
        !self.attachments.is_empty()
    }

    /// Drops what handlers and wrappers have attached: a user's values, which may block. A panic of one is caught.
    pub(crate) fn drop_attachments(&mut self) {
        self.attachments.clear();
    }

    /// For a worker whose handler has returned: drops here, where it may block, what the handler has left with the request.
    pub(crate) fn let_go(&mut self, response: &Response) {
        self.drop_attachments();
        // What comes after the head may need the context: a client that goes ends it.
        if !matches!(response.body(), Body::Stream(_) | Body::Upgrade(_)) {
            self.exchange.drop_callbacks();
        }
    }

    /// Makes an answered request ready for the next one; false if somebody still looks at it.
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
        exchange.parameters.clear();
        exchange.path_number = None;
        exchange.route = None;
        exchange.context.take();
        *exchange.abandoned.get_mut() = WAITED_FOR;
        *exchange.line.get_mut() = NO_LINE;
        *exchange.claimed.get_mut() = false;
        *exchange.cancelled.get_mut() = false;
        *exchange.named.get_mut() = false;
        true
    }

    /// The method. [`Request::method_str`] has the text of one that is not standard.
    #[must_use]
    pub fn method(&self) -> Method {
        self.exchange.head.method()
    }

    /// The method as the client wrote it; methods have case (RFC 9110 section 9.1).
    #[must_use]
    pub fn method_str(&self) -> &str {
        self.exchange.head.method_str()
    }

    /// The path, still percent-encoded, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.exchange.head.path()
    }

    /// The protocol version the client speaks.
    #[must_use]
    pub fn version(&self) -> Version {
        self.exchange.head.version()
    }

    /// The host that the client wants: of an absolute-form target, otherwise of the Host field.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.exchange.head.host()
    }

    /// The value of a `{name}` segment of the route, percent-decoded; bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        let exchange = &*self.exchange;
        let names = exchange.router.parameter_names(exchange.path_number?);
        let position = names.iter().position(|known| known == name)?;
        let value = self.path().get(exchange.parameters.get(position)?.clone())?;
        Some(percent_decode(value.as_bytes()).decode_utf8_lossy())
    }

    /// The first value of a query parameter, percent-decoded, `+` read as a space (as in a form); bytes that are not
    /// UTF-8 become U+FFFD. `None` if there is no such parameter, empty if it has no value.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// All query parameters in order, decoded as in [`Request::query`].
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.query_string().unwrap_or("").split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_form(name), decode_form(value))
        })
    }

    /// The query as it came, still percent-encoded, without the `?`.
    #[must_use]
    pub fn query_string(&self) -> Option<&str> {
        self.exchange.head.query()
    }

    /// The first value of a field, if it is there and UTF-8; names have no case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.exchange.head.header(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The id of the last event that a reconnecting `EventSource` has seen: the `Last-Event-ID` field.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&str> {
        self.header("Last-Event-ID").filter(|id| !id.is_empty())
    }

    /// All fields in the order they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.exchange.head.headers()
    }

    /// The content, whole, without its transfer coding; empty if there is none, and for a
    /// [streamed](crate::routing::Route::streamed) route, which has [`Request::reader`].
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The same content, to be kept beyond the request, or sent back, without a copy.
    ///
    /// ```
    /// use softstop::{Request, Router};
    ///
    /// let router = Router::new().post("/echo", |request: &Request| request.shared_body());
    /// # let _ = router;
    /// ```
    #[must_use]
    pub fn shared_body(&self) -> Arc<Vec<u8>> {
        Arc::clone(&self.body)
    }

    /// Reads the content. For a [streamed](crate::routing::Route::streamed) route, a read waits for what the client has yet to send;
    /// all readers of a request share one position. Otherwise it reads [`Request::body`] from its beginning.
    ///
    /// # Errors
    ///
    /// A read of a streamed content fails with `ConnectionReset` if the client is gone before its end, `InvalidData` if
    /// the client breaks the protocol, `TimedOut` if it is too slow, `ConnectionAborted` if the server's stop has run out
    /// of time. What was read before is no whole message then.
    pub fn reader(&self) -> impl io::Read + '_ {
        match &self.pipe {
            None => Reader::Whole(&self.body),
            Some(pipe) => Reader::Piped(pipe),
        }
    }

    /// The address at the other end of the connection.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.exchange.peer
    }

    /// The server that serves this request: to stop it from inside a handler, or to ask whether it is ready.
    #[must_use]
    pub fn server(&self) -> &ServerHandle {
        &self.exchange.server
    }

    /// Attaches a value, for the handler and those around it to find: see [`Wrap`](crate::middleware::Wrap). It replaces an earlier
    /// one of the same type, so use a type of your own.
    ///
    /// The value is dropped when the handler has returned: by the worker, which it may block, before the response is sent; or
    /// by the event loop, if the handler runs [inline](crate::routing::Route::inline), and then it must not block. A panic is caught.
    pub fn attach<T: Send + Sync + 'static>(&self, value: T) {
        drop(self.attachments.set(value));
    }

    /// The value of that type that was [attached](Request::attach), if one was.
    #[must_use]
    pub fn attached<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.attachments.get()
    }

    /// The context of this request: it ends when the client goes away while the handler runs, when the route's
    /// [time](crate::routing::Route::timeout) is over, and when the server's stop reaches the handler. It is made when it is first asked
    /// for.
    ///
    /// A handler that runs [inline](crate::routing::Route::inline) has the loop to itself, so nobody can see its client go; its
    /// context ends with the server's only.
    #[must_use]
    pub fn context(&self) -> &Context {
        self.exchange.context()
    }
}

/// The content of a request, wherever it is.
enum Reader<'a> {
    Whole(&'a [u8]),
    Piped(&'a Pipe),
}

impl io::Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Reader::Whole(bytes) => bytes.read(buffer),
            Reader::Piped(pipe) => pipe.read(buffer),
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method_str())
            .field("target", &self.exchange.head.target())
            .field("peer", &self.peer())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// How much room is made for a content of which so much is there.
fn room(there: usize, declared: u64) -> usize {
    let declared = usize::try_from(declared).unwrap_or(usize::MAX);
    declared.min(there.saturating_mul(ROOM)).max(there)
}

fn decode_form(text: &str) -> Cow<'_, str> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        Cow::Owned(percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned())
    } else {
        percent_decode(text.as_bytes()).decode_utf8_lossy()
    }
}

#[cfg(test)]
mod tests {
    use super::{decode_form, room};

    #[test]
    fn room_is_made_for_what_is_declared_but_not_for_a_claim() {
        assert_eq!(room(60_000, 1 << 20), 1 << 20, "the usual upload: at once");
        assert_eq!(room(100, 1 << 40), 6_400);
        assert_eq!(room(100, 100), 100);
    }

    #[test]
    fn form_decoding() {
        let rows = [
            ("Alex", "Alex"),
            ("a+b%2Bc", "a b+c"),
            ("J%C3%BCrgen", "Jürgen"),
            ("100%", "100%"),
            ("%zz", "%zz"),
            ("%ff", "\u{fffd}"),
            ("%2525", "%25"),
            ("", ""),
        ];
        for (encoded, decoded) in rows {
            assert_eq!(decode_form(encoded), decoded, "{encoded}");
        }
    }
}
