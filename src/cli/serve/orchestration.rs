//! The options for orchestrators and balancers: readiness, the age of connections, and the admin server.

use std::time::Duration;

use clap::{Args, ValueEnum};

use softstop::StatusCode;

use crate::cli::arguments::duration;

/// The admin server without an address of the user's: the port is the one that other proxies use for theirs, and no other machine
/// reaches it.
const ADMIN: &str = "127.0.0.1:9901";

#[derive(Debug, Clone, Args)]
pub(crate) struct Orchestration {
    /// The status with which /readyz says no: when a stop has begun, or after `POST /cordon`.
    #[arg(long, value_name = "STATUS", default_value = "503", value_enum)]
    pub(crate) ready_status: NotReadyStatus,
    /// How old a kept-alive connection becomes. Then its next response says `Connection: close`, so that the client connects
    /// anew, perhaps to another server. For each connection, the age is up to a tenth shorter or longer. [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = age)]
    pub(crate) max_connection_age: Option<Duration>,
    /// Serve the admin routes on this address, or without one on 127.0.0.1:9901: POST /cordon, /uncordon and /drain, GET
    /// /status, /metrics, /healthz and /readyz. Everybody who reaches the address can stop the program. The admin server stops
    /// last, so that a stop can be watched through it. For that it takes a part of the cancel grace. [default: none]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = ADMIN)]
    pub(crate) admin: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NotReadyStatus {
    /// Service Unavailable: what every balancer takes for a no.
    #[value(name = "503")]
    ServiceUnavailable,
    /// Not Found: for HAProxy's `http-check disable-on-404`.
    #[value(name = "404")]
    NotFound,
}

impl From<NotReadyStatus> for StatusCode {
    fn from(status: NotReadyStatus) -> StatusCode {
        match status {
            NotReadyStatus::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            NotReadyStatus::NotFound => StatusCode::NOT_FOUND,
        }
    }
}

fn age(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be more than zero; without the option, there is no limit".to_owned()),
        age => Ok(age),
    }
}
