//! What a server tells readiness checks while it runs. A phase of a stop is final; a readiness can be taken back.

use std::fmt;

/// Whether a running server wants requests: see [`ServerHandle::set_ready`](crate::ServerHandle::set_ready).
///
/// ```text
///              set_ready(NotReady)
///   Ready  <========================>  NotReady        both serve every request
///              set_ready(Ready)
///      |                                  |
///      +------------ a stop --------------+--------->  the phases of the stop: never ready again in this run
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Readiness {
    /// Readiness checks are answered yes. A server begins with this.
    #[default]
    Ready,
    /// Readiness checks are answered no, so that load balancers send their requests elsewhere. The server still serves
    /// the requests that come. (Kubernetes calls such a machine cordoned.)
    NotReady,
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Readiness::Ready => "ready",
            Readiness::NotReady => "not ready",
        })
    }
}
