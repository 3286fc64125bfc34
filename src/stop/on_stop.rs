//! How a stop treats the requests of one route.

/// How a stop treats the requests of a route: see [`Route::on_stop`](crate::routing::Route::on_stop).
///
/// With each setting, a handler is told about the stop by its [`Context`](crate::Context). No setting can end a handler from
/// outside: a handler has to look at its context, and return. (For hints see [`Context::stopping`](crate::Context::stopping).)
///
/// | setting | when the drain begins | when the grace period is over |
/// | --- | --- | --- |
/// | [`Finish`](OnStop::Finish) | the context hints | waiting requests are answered 503, contexts are cancelled |
/// | [`Cancel`](OnStop::Cancel) | waiting requests are answered 503, contexts are cancelled | |
/// | [`EndStream`](OnStop::EndStream) | as `Finish`; streamed bodies are ended | as `Finish` |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnStop {
    /// Requests run on. When the grace period is over, the contexts of the remaining requests are cancelled.
    Finish,
    /// The contexts of the requests are cancelled as soon as the drain begins. A request that no worker has begun by then is
    /// answered 503. Use this setting for work that a client can ask for again elsewhere.
    Cancel,
    /// As [`OnStop::Finish`], but a streamed response is ended soon after the drain begins. The senders of the body are told,
    /// and have a second for their final flush. Then the server ends the body, so that the client gets a complete message. (A
    /// body of declared length cannot be ended early, so it has the grace period.) The default.
    #[default]
    EndStream,
}
