//! How long `serve` keeps connections for balancers.

use std::time::Duration;

use clap::Args;
use softstop::{ServerBuilder, Timeouts};

use crate::cli::arguments::duration;

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct KeepAlive {
    /// How long a kept-alive connection may be silent between two requests. A balancer must keep its idle connections for
    /// less time than that, or a request can meet a connection that the server is just closing. [default: 75s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    idle_timeout: Option<Duration>,
}

impl KeepAlive {
    pub(super) fn apply(&self, builder: ServerBuilder) -> ServerBuilder {
        match self.idle_timeout {
            Some(idle) => builder.timeouts(Timeouts::default().idle(idle)),
            None => builder,
        }
    }
}
