//! The request that a handler is given. The [`Exchange`] (head, context, state) is shared between the handler and the
//! connection that waits for its answer. The content belongs to the handler, which may keep it. The loop uses both again for
//! later requests, unless they are large or were kept, so that a warm server allocates nothing for a request.

mod exchange;
mod reuse;
mod upgrade;

use std::{borrow::Cow, fmt, io, net::SocketAddr, sync::Arc};

pub(crate) use exchange::Exchange;

use percent_encoding::percent_decode;

use crate::{
    app::{middleware::Attachments, response::Response, router::Router},
    body::pipe::Pipe,
    http::{Method, Version},
    server::ServerHandle,
    stop::Context,
};

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
    /// The source of the content, if the handler reads the content itself.
    pub(crate) pipe: Option<Arc<Pipe>>,
    /// Some on the way back from a worker. None if the system has no thread that could handle the request.
    pub(crate) answer: Option<Response>,
    attachments: Attachments,
}

/// Makes the requests of one run of a server, so that the engine need not know the server.
pub(crate) struct RequestFactory {
    router: Arc<Router>,
    server: ServerHandle,
    /// The parent of each request's context.
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

    /// The method. [`Request::method_str`] has the text of a method that is not standard.
    #[must_use]
    pub fn method(&self) -> Method {
        self.exchange.head.method()
    }

    /// The method as the client wrote it. Methods are case-sensitive (RFC 9110 section 9.1).
    #[must_use]
    pub fn method_str(&self) -> &str {
        self.exchange.head.method_str()
    }

    /// The path without the query, still percent-encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        self.exchange.head.path()
    }

    /// The protocol version that the client speaks.
    #[must_use]
    pub fn version(&self) -> Version {
        self.exchange.head.version()
    }

    /// The host that the client asks for: from an absolute-form target if there is one, otherwise from the Host field.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.exchange.head.host()
    }

    /// The value of a `{name}` segment of the route, percent-decoded. Bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        let exchange = &*self.exchange;
        let names = exchange.router.parameter_names(exchange.path_number?);
        let position = names.iter().position(|known| known == name)?;
        let value = self.path().get(exchange.parameters.get(position)?.clone())?;
        Some(percent_decode(value.as_bytes()).decode_utf8_lossy())
    }

    /// The first value of a query parameter, decoded as forms are: percent-decoded, with `+` for a space. Bytes that are not
    /// UTF-8 become U+FFFD. `None` if there is no such parameter; empty if the parameter has no value.
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

    /// The query without the `?`, still percent-encoded.
    #[must_use]
    pub fn query_string(&self) -> Option<&str> {
        self.exchange.head.query()
    }

    /// The first value of a field, if there is one and it is UTF-8. Names are not case-sensitive.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.exchange.head.header(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The `Last-Event-ID` field: the id of the last event that an `EventSource` saw before it reconnected.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&str> {
        self.header("Last-Event-ID").filter(|id| !id.is_empty())
    }

    /// All fields, in the order in which the client sent them.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.exchange.head.headers()
    }

    /// The whole content, without its transfer coding. Empty if there is none. Empty for a
    /// [streamed](crate::routing::Route::streamed) route too: there, use [`Request::reader`].
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The same content, to keep beyond the request, or to send back, without a copy.
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

    /// Reads the content.
    ///
    /// - For a [streamed](crate::routing::Route::streamed) route, a read waits for the bytes that the client has yet to send. All readers of
    ///   a request share one position.
    /// - For other routes, a reader reads [`Request::body`] from its beginning.
    ///
    /// # Errors
    ///
    /// A read of a streamed content fails with
    ///
    /// - `ConnectionReset` if the client is gone before the end of the content,
    /// - `InvalidData` if the client breaks the protocol,
    /// - `TimedOut` if the client is too slow, or the route's time is over,
    /// - `ConnectionAborted` if the server is stopping and the grace period is over.
    ///
    /// The bytes that were read before the error are not the whole content.
    pub fn reader(&self) -> impl io::Read + '_ {
        match &self.pipe {
            None => ContentReader::Whole(&self.body),
            Some(pipe) => ContentReader::Piped(pipe),
        }
    }

    /// The address at the other end of the connection.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.exchange.peer
    }

    /// The server that serves this request. A handler may ask it to stop, or ask whether it is ready.
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

    /// The context of this request. The first call makes the context. The context ends
    ///
    /// - when the client goes away while the handler runs,
    /// - when the route's [time](crate::routing::Route::timeout) is over,
    /// - when the server's stop cancels the handler.
    ///
    /// While a handler runs [inline](crate::routing::Route::inline), its loop cannot see the client go. The context of such a handler ends
    /// only with the server's.
    #[must_use]
    pub fn context(&self) -> &Context {
        self.exchange.context()
    }
}

/// Reads the content of a request, whether it is here or still to come.
enum ContentReader<'a> {
    Whole(&'a [u8]),
    Piped(&'a Pipe),
}

impl io::Read for ContentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            ContentReader::Whole(bytes) => bytes.read(buffer),
            ContentReader::Piped(pipe) => pipe.read(buffer),
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
    use super::decode_form;

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
