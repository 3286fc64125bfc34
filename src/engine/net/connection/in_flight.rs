//! What a connection that owes something is doing, for a thread that asks. The connection does not change.

use super::{Activity, Connection};
use crate::{engine::run::InFlight, http::ReadPhase, stop::Stuck};

impl Connection {
    /// What the connection is doing. Only for a connection that is in the midst of something.
    pub(crate) fn in_flight(&self) -> InFlight {
        let state = match &self.activity {
            Activity::Content { .. } => Stuck::Reading,
            Activity::Handling { .. } => Stuck::Waiting,
            Activity::Streaming(_) if self.output.is_empty() => Stuck::Streaming,
            Activity::Streaming(_) | Activity::Upgrading { .. } | Activity::Lingering { .. } => {
                Stuck::Writing
            }
            Activity::Receiving if !self.output.is_empty() => Stuck::Writing,
            Activity::Receiving if self.http.phase() == ReadPhase::InHead => Stuck::Reading,
            Activity::Receiving => Stuck::Waiting,
        };
        match self.exchange() {
            Some(exchange) => {
                InFlight { id: Some(exchange.id()), route: exchange.route, state, began: exchange.began }
            }
            None => InFlight { id: None, route: None, state, began: self.since },
        }
    }
}
