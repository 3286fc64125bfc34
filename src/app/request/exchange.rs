//! What a request and the connection that waits for its answer share: the head, the handler's context, and who of the two
//! has done with it.

use std::{
    fmt,
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, Ordering, fence},
    },
    time::Instant,
};

use crate::{
    app::{
        middleware::LogLine,
        router::{RouteId, Router},
    },
    http::Head,
    observe::ConnectionId,
    peer::Peer,
    server::ServerHandle,
    stop::{Cause, Context, OnStop},
};

/// What a request and the connection that waits for its answer share.
pub(crate) struct Exchange {
    pub(crate) head: Head,
    pub(crate) began: Instant,
    pub(super) peer: Peer,
    pub(super) connection: ConnectionId,
    /// Its number on the connection.
    pub(super) number: u64,
    /// Where in the path the values of the route's parameters are, in the order of their names.
    pub(crate) parameters: Vec<Range<usize>>,
    pub(crate) path_number: Option<usize>,
    /// Its route, if it has one.
    pub(crate) route: Option<RouteId>,
    pub(super) router: Arc<Router>,
    pub(super) server: ServerHandle,
    pub(super) server_context: Context,
    /// Of its route.
    pub(crate) on_stop: OnStop,
    /// Made when the handler first asks for it.
    pub(super) context: OnceLock<Context>,
    /// Whether, and why, the connection does not wait for the answer any more: [`WAITED_FOR`], [`GONE`] or [`TIMED_OUT`].
    pub(super) abandoned: AtomicU8,
    /// Who writes the line of the access log: [`NO_LINE`], [`HANDLERS_LINE`] or [`REFUSALS_LINE`].
    pub(super) line: AtomicU8,
    /// Whether a worker has begun with it, or the loop has answered before one could.
    pub(super) claimed: AtomicBool,
    /// Whether it has been counted as cancelled already.
    pub(super) cancelled: AtomicBool,
    /// Whether a report has it as a straggler already.
    pub(super) named: AtomicBool,
}

pub(super) const WAITED_FOR: u8 = 0;
const GONE: u8 = 1;
const TIMED_OUT: u8 = 2;

/// Nobody has written a line yet.
pub(super) const NO_LINE: u8 = 0;
/// The handler has returned first: its answer is in the log.
const HANDLERS_LINE: u8 = 1;
/// The loop has answered first: the refusal is in the log.
const REFUSALS_LINE: u8 = 2;

impl Exchange {
    pub(crate) fn new(router: Arc<Router>, server: ServerHandle, server_context: Context) -> Exchange {
        Exchange {
            head: Head::default(),
            began: Instant::now(),
            peer: SocketAddr::from(([0, 0, 0, 0], 0)).into(),
            connection: ConnectionId { loop_number: 0, token: 0 },
            number: 0,
            parameters: Vec::new(),
            path_number: None,
            route: None,
            router,
            server,
            server_context,
            on_stop: OnStop::default(),
            context: OnceLock::new(),
            abandoned: AtomicU8::new(WAITED_FOR),
            line: AtomicU8::new(NO_LINE),
            claimed: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            named: AtomicBool::new(false),
        }
    }

    /// For whoever counts the cancelled ones: true for the first one.
    pub(crate) fn cancel_once(&self) -> bool {
        !self.cancelled.swap(true, Ordering::Relaxed)
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

    /// The route's time is over, and the client is sent something else instead. Ends the handler's context.
    pub(crate) fn time_out(&self) {
        self.abandon(TIMED_OUT);
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed) != WAITED_FOR
    }

    /// Whether an access log may write what the handler has answered. Every access log around the handler may, unless the
    /// refusal of the request is in the log.
    pub(crate) fn may_log_the_handlers_answer(&self) -> bool {
        self.claim_line(HANDLERS_LINE) != REFUSALS_LINE
    }

    /// Has the refusal of the request in the log, unless the handler's answer is there already.
    pub(crate) fn log_the_refusal(&self) -> LogLine {
        if self.claim_line(REFUSALS_LINE) == HANDLERS_LINE { LogLine::Written } else { LogLine::Owed }
    }

    /// Who writes the line, now that `who` wants to.
    fn claim_line(&self, who: u8) -> u8 {
        match self.line.compare_exchange(NO_LINE, who, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => who,
            Err(earlier) => earlier,
        }
    }

    fn abandon(&self, why: u8) {
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

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The connection and the request's number on it.
    pub(crate) fn id(&self) -> (ConnectionId, u64) {
        (self.connection, self.number)
    }

    /// Drops the callbacks that the handler has left to its context, if nobody else has that context. Otherwise they would be
    /// dropped by the loop that uses the request again.
    pub(super) fn drop_callbacks(&self) {
        if let Some(context) = self.context.get() {
            context.drop_forgotten();
        }
    }

    pub(super) fn context(&self) -> &Context {
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
