//! The faults, each as small as possible. The code asks for a fault by name where the fault takes effect.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server that passes everything.
    None,
    /// Closes the listener while connections wait in its accept queue.
    FullQueue,
    /// Waits until idle clients close their connections.
    WaitsForIdle,
    /// Has no handler for the signal.
    DiesAtOnce,
    /// Ignores the signal.
    NeverDies,
    /// Closes streams without their last chunk.
    CutsStreams,
    /// Closes a connection after a response that did not say `Connection: close`.
    ForgetsClose,
    /// Sends one half of the responses that end during a stop.
    AnswersHalf,
    /// Leaves a child behind.
    LeaksChild,
    /// Begins its stop at the second signal.
    NeedsTwoSignals,
    /// Reports that it listens before it does.
    ReadyTooEarly,
    /// Ends when a client has gone, like a process that SIGPIPE ends.
    SigPipe,
    /// Ends with status 1 after a clean stop.
    ExitsOne,
    /// Answers 500 to a plain request.
    AnswersError,
    /// Goes on without its port if the port is in use.
    IgnoresPort,
    /// Binds its port without `SO_REUSEADDR`.
    NoReuse,
    /// Waits without a limit until the client closes, after the last response of a connection.
    LingersForever,
    /// Waits without a limit for a client that does not read.
    WritesForever,
    /// Closes idle connections one after another, with a pause each.
    ClosesOneByOne,
    /// Waits without a limit for handlers.
    WaitsForHandlers,
    /// Ignores the second signal.
    IgnoresSecond,
    /// Closes its listener while it is being replaced.
    ReplacedWithGap,
}

impl Fault {
    pub(crate) fn parse(name: &str) -> Fault {
        match name {
            "none" => Fault::None,
            "full-queue" => Fault::FullQueue,
            "waits-for-idle" => Fault::WaitsForIdle,
            "dies-at-once" => Fault::DiesAtOnce,
            "never-dies" => Fault::NeverDies,
            "cuts-streams" => Fault::CutsStreams,
            "forgets-close" => Fault::ForgetsClose,
            "answers-half" => Fault::AnswersHalf,
            "leaks-child" => Fault::LeaksChild,
            "needs-two-signals" => Fault::NeedsTwoSignals,
            "ready-too-early" => Fault::ReadyTooEarly,
            "sigpipe" => Fault::SigPipe,
            "exits-1" => Fault::ExitsOne,
            "answers-500" => Fault::AnswersError,
            "ignores-port" => Fault::IgnoresPort,
            "no-reuse" => Fault::NoReuse,
            "lingers-forever" => Fault::LingersForever,
            "writes-forever" => Fault::WritesForever,
            "closes-one-by-one" => Fault::ClosesOneByOne,
            "waits-for-handlers" => Fault::WaitsForHandlers,
            "ignores-second" => Fault::IgnoresSecond,
            "replaced-with-gap" => Fault::ReplacedWithGap,
            _ => panic!("no such fault: {name}"),
        }
    }
}
