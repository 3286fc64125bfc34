//! What a request and the connection that waits for its answer share: the head, the handler's context, and the
//! [`AnswerState`], which decides whether the handler, the time limit, the stop or a lost client ends the request. The states
//! are drawn in that type's file.

use std::{
    fmt,
    net::SocketAddr,
    ops::Range,
    sync::{Arc, OnceLock},
    time::Instant,
};

use crate::{
    app::{
        middleware::LogLine,
        router::{RouteId, Router},
    },
    http::Head,
    observe::ConnectionId,
    server::ServerHandle,
    stop::{Cause, Context, OnStop},
    sync::{Abandoned, AnswerState, Withdrawal},
};

/// What a request and the connection that waits for its answer share.
pub(crate) struct Exchange {
    pub(crate) head: Head,
    pub(crate) began: Instant,
    pub(super) peer: SocketAddr,
    pub(super) connection: ConnectionId,
    /// The request's number on the connection.
    pub(super) number: u64,
    /// The places of the values of the route's parameters in the path, in the order of the parameters' names.
    pub(crate) parameters: Vec<Range<usize>>,
    pub(crate) path_number: Option<usize>,
    /// None until the route is found, and for a request that no route matches.
    pub(crate) route: Option<RouteId>,
    pub(crate) router: Arc<Router>,
    pub(super) server: ServerHandle,
    pub(super) server_context: Context,
    /// What a stop means for the route.
    pub(crate) on_stop: OnStop,
    /// The handler's context. Made when the handler first asks for one.
    pub(super) context: OnceLock<Context>,
    pub(super) state: AnswerState,
}

impl Exchange {
    pub(crate) fn new(router: Arc<Router>, server: ServerHandle, server_context: Context) -> Exchange {
        Exchange {
            head: Head::default(),
            began: Instant::now(),
            peer: SocketAddr::from(([0, 0, 0, 0], 0)),
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
            state: AnswerState::new(),
        }
    }

    /// Makes the exchange ready for the next request. [`Request::begin`](super::Request::begin) sets the other fields.
    pub(super) fn reset(&mut self) {
        self.parameters.clear();
        self.path_number = None;
        self.route = None;
        self.context.take();
        self.state = AnswerState::new();
    }

    /// For a worker that has taken the request from the queue: whether to call the handler.
    pub(crate) fn begin(&self) -> bool {
        self.state.begin()
    }

    /// Takes the request back from the workers: no handler begins any more. A handler that has begun runs on. The caller
    /// counts the handler that was cancelled by this.
    pub(crate) fn withdraw(&self) -> Withdrawal {
        self.state.withdraw()
    }

    /// True for the first caller, which names the request in a report.
    pub(crate) fn name(&self) -> bool {
        self.state.name()
    }

    /// Notes that nobody waits for the answer any more, and ends the handler's context. A context that the handler makes
    /// later has ended from its beginning.
    pub(crate) fn abandon(&self, why: Abandoned) {
        self.state.abandon(why);
        if let Some(context) = self.context.get() {
            self.end_if_abandoned(context);
        }
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.state.is_abandoned()
    }

    /// Whether an access log may write what the handler has answered. Each access log around the handler may, unless the
    /// refusal of the request is in the log.
    pub(crate) fn may_log_the_handlers_answer(&self) -> bool {
        self.state.log_answer()
    }

    /// Has the refusal of the request in the log, unless the handler's answer is there already.
    pub(crate) fn log_the_refusal(&self) -> LogLine {
        if self.state.log_refusal() { LogLine::Owed } else { LogLine::Written }
    }

    fn end_if_abandoned(&self, context: &Context) {
        match self.state.abandonment() {
            None => {}
            Some(Abandoned::ClientGone) => _ = context.cancel(Cause::ClientGone),
            Some(Abandoned::TimedOut) => _ = context.cancel(Cause::DeadlineExceeded),
        }
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The connection and the request's number on it.
    pub(crate) fn id(&self) -> (ConnectionId, u64) {
        (self.connection, self.number)
    }

    /// Drops the callbacks that the handler has left with its context, if nobody else has that context. Otherwise the loop
    /// that reuses the request would drop the callbacks, and a loop must not block.
    pub(super) fn drop_callbacks(&self) {
        if let Some(context) = self.context.get() {
            context.drop_forgotten();
        }
    }

    pub(super) fn context(&self) -> &Context {
        let context = self.context.get_or_init(|| match self.on_stop {
            OnStop::Finish | OnStop::EndStream => self.server_context.child(),
            // A child of the server's hint ends when the drain begins.
            OnStop::Cancel => self.server_context.stopping().child(),
        });
        // After the context is made: see `AnswerState::abandon`.
        self.end_if_abandoned(context);
        context
    }
}

/// The method and the target, as logs and reports name a request.
impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.head.method_str(), self.head.target())
    }
}
