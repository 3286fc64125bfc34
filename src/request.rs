//! What a handler is given. The head and the context are shared between the handler and the connection that waits for
//! its answer (that is the [`Exchange`]); the content is the handler's alone. Both are used again for later requests,
//! so that serving allocates nothing once it is warm.

use std::{
    borrow::Cow,
    fmt, io,
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU16, Ordering, fence},
    },
    time::Instant,
};

use percent_encoding::percent_decode;

use crate::{
    handler::OnStop,
    http::{Head, Method, StatusCode, Version},
    middleware::Attachments,
    observe::ConnectionId,
    pipe::Pipe,
    router::{Found, Router},
    server::Handle,
    stop::{Cause, Context},
};

/// Capacity of a content buffer that is worth keeping for the next request.
const KEPT_BODY: usize = 64 * 1024;

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
    pub(crate) body: Vec<u8>,
    /// Where the content comes from, if the handler reads it itself.
    pub(crate) pipe: Option<Arc<Pipe>>,
    attachments: Attachments,
}

/// What a request and the connection that waits for its answer share.
pub(crate) struct Exchange {
    pub(crate) head: Head,
    pub(crate) began: Instant,
    peer: SocketAddr,
    connection: ConnectionId,
    /// Its number on the connection.
    number: u64,
    /// Where in the path the values of the route's parameters are, in the order of their names.
    pub(crate) parameters: Vec<Range<usize>>,
    pub(crate) path_number: Option<usize>,
    router: Arc<Router>,
    server: Handle,
    server_context: Context,
    /// Of its route.
    pub(crate) on_stop: OnStop,
    /// Made when the handler first asks for it.
    context: OnceLock<Context>,
    /// Whether, and why, the connection does not wait for the answer any more: [`WAITED_FOR`], [`GONE`], or the status of
    /// what its client was sent when the route's time was over.
    abandoned: AtomicU16,
    /// Whether a worker has begun with it, or the loop has answered before one could.
    claimed: AtomicBool,
    /// Whether a report has it as a straggler already.
    named: AtomicBool,
}

const WAITED_FOR: u16 = 0;
const GONE: u16 = 1;

impl Exchange {
    pub(crate) fn new(router: Arc<Router>, server: Handle, server_context: Context) -> Exchange {
        Exchange {
            head: Head::default(),
            began: Instant::now(),
            peer: SocketAddr::from(([0, 0, 0, 0], 0)),
            connection: ConnectionId { loop_number: 0, token: 0 },
            number: 0,
            parameters: Vec::new(),
            path_number: None,
            router,
            server,
            server_context,
            on_stop: OnStop::default(),
            context: OnceLock::new(),
            abandoned: AtomicU16::new(WAITED_FOR),
            claimed: AtomicBool::new(false),
            named: AtomicBool::new(false),
        }
    }

    /// For whoever names it in a report: true for the first one.
    pub(crate) fn name_once(&self) -> bool {
        !self.named.swap(true, Ordering::Relaxed)
    }

    /// Whoever comes first has it: a worker to call the handler, or the loop to answer in its stead.
    pub(crate) fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }

    /// Nobody reads the answer any more. Ends the handler's context, whether it has been made yet or not.
    pub(crate) fn client_gone(&self) {
        self.abandon(GONE);
    }

    /// The route's time is over, and the client is sent something of that status instead. Ends the handler's context.
    pub(crate) fn time_out(&self, status: StatusCode) {
        self.abandon(status.as_u16());
    }

    /// What the client was sent when the route's time was over, if it was.
    pub(crate) fn timed_out(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.abandoned.load(Ordering::Relaxed))
    }

    fn abandon(&self, why: u16) {
        // Note, then context; `context()` makes the context, then reads the note. One of the two sees the other.
        self.abandoned.store(why, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if let Some(context) = self.context.get() {
            self.end_if_abandoned(context);
        }
    }

    fn end_if_abandoned(&self, context: &Context) {
        match self.abandoned.load(Ordering::Relaxed) {
            WAITED_FOR => {}
            GONE => _ = context.cancel(Cause::ClientGone),
            _ => _ = context.cancel(Cause::DeadlineExceeded),
        }
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The connection and the request's number on it.
    pub(crate) fn id(&self) -> (ConnectionId, u64) {
        (self.connection, self.number)
    }

    fn context(&self) -> &Context {
        let context = self.context.get_or_init(|| match self.on_stop {
            OnStop::Finish | OnStop::EndStream => self.server_context.child(),
            // Below the server's hint, it ends when the drain begins.
            OnStop::Cancel => self.server_context.stopping().child(),
        });
        fence(Ordering::SeqCst);
        self.end_if_abandoned(context);
        context
    }
}

/// The method and the target, as a log has them.
impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.head.method_str(), self.head.target())
    }
}

impl Request {
    pub(crate) fn new(exchange: Exchange) -> Request {
        Request {
            exchange: Arc::new(exchange),
            body: Vec::new(),
            pipe: None,
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
            Some(Exchange { head, parameters, path_number, on_stop, .. }) => {
                let found = router.find(head, parameters, path_number);
                if let Found::Route(route) = &found {
                    *on_stop = router.get_route(*route).on_stop;
                }
                found
            }
            // Only a request that is being handled is shared, and that has its route.
            None => router.find(&self.exchange.head, &mut Vec::new(), &mut None),
        }
    }

    /// Makes an answered request ready for the next one; false if somebody still looks at it.
    pub(crate) fn recycle(&mut self) -> bool {
        self.body.clear();
        self.body.shrink_to(KEPT_BODY);
        self.pipe = None;
        self.attachments.clear();
        let Some(exchange) = Arc::get_mut(&mut self.exchange) else { return false };
        exchange.parameters.clear();
        exchange.path_number = None;
        exchange.context.take();
        *exchange.abandoned.get_mut() = WAITED_FOR;
        *exchange.claimed.get_mut() = false;
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

    /// All fields in the order they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.exchange.head.headers()
    }

    /// The content, whole, without its transfer coding; empty if there is none, and for a
    /// [`streamed`](crate::streamed) route, which has [`Request::reader`].
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Reads the content. For a [`streamed`](crate::streamed) route, a read waits for what the client has yet to send;
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
    pub fn server(&self) -> &Handle {
        &self.exchange.server
    }

    /// Attaches a value, for the handler and those around it to find: see [`Wrap`](crate::Wrap). It replaces an earlier
    /// one of the same type, so use a type of your own.
    pub fn attach<T: Send + Sync + 'static>(&self, value: T) {
        drop(self.attachments.set(value));
    }

    /// The value of that type that was [attached](Request::attach), if one was.
    #[must_use]
    pub fn attached<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.attachments.get()
    }

    /// The context of this request: it ends when the client goes away while the handler runs, when the route's
    /// [time](crate::timeout) is over, and when the server's stop reaches the handler. It is made when it is first asked
    /// for.
    ///
    /// A handler that runs [`inline`](crate::inline) has the loop to itself, so nobody can see its client go; its
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
