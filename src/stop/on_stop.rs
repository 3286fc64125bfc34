//! What a stop means for the requests of one route.

/// What a stop of the server means for the requests of a route: see [`Route::on_stop`](crate::routing::Route::on_stop).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnStop {
    /// They run on; if they have not ended when the grace period is over, their contexts are cancelled.
    Finish,
    /// Their contexts are cancelled as soon as the drain begins, and what no worker has begun with by then is answered
    /// 503: for work that is of no use to a client that has to go elsewhere anyway, or can be asked for again.
    Cancel,
    /// As [`OnStop::Finish`], but a streamed response is told to stop when the drain begins, and its body is ended properly,
    /// so that its client has a complete message. The default.
    #[default]
    EndStream,
}
