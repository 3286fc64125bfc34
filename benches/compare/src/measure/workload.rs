//! The workloads: the requests that the servers are measured with.

use super::BASE;
use crate::servers::{Program, Server};

#[derive(Debug, PartialEq, Eq)]
pub struct Workload {
    pub name: &'static str,
    pub title: &'static str,
    /// A note for the reader of the table.
    pub note: &'static str,
    pub(super) path: &'static str,
    /// The bytes of a POST. With 0, the request is a GET.
    pub(super) post: usize,
    pub(super) connections: usize,
    /// Requests that each connection sends at once.
    pub(super) depth: usize,
    /// Each request opens a connection.
    pub(super) closes: bool,
    /// Idle connections beside the active ones.
    pub(super) idle: usize,
    /// Whether a quick run includes the workload.
    pub is_quick: bool,
    /// The targets of softstop, if there are any: in processor time, and in requests a second.
    pub(super) processor_to_reach: &'static str,
    pub(super) rate_to_reach: &'static str,
}

const KEEP_ALIVE: Workload = Workload {
    name: "keep-alive-64",
    title: "Keep-alive, 64 connections",
    note: "",
    path: "/",
    post: 0,
    connections: 64,
    depth: 1,
    closes: false,
    idle: 0,
    is_quick: true,
    processor_to_reach: "",
    rate_to_reach: "",
};

pub const WORKLOADS: [Workload; 11] = [
    Workload {
        name: "keep-alive-1",
        title: "Keep-alive, 1 connection",
        connections: 1,
        is_quick: false,
        ..KEEP_ALIVE
    },
    Workload {
        processor_to_reach: "ahead, <= 1.15 x bare loop",
        rate_to_reach: "pool >= 0.9 x inline",
        ..KEEP_ALIVE
    },
    Workload {
        name: "keep-alive-512",
        title: "Keep-alive, 512 connections",
        connections: 512,
        is_quick: false,
        ..KEEP_ALIVE
    },
    Workload {
        name: "pipelined",
        title: "Pipelined 16 deep, 64 connections",
        note: "wrk's correction of latencies does not hold for requests that are sent together, so there are none.",
        depth: 16,
        rate_to_reach: "ahead, >= 0.9 x bare loop",
        ..KEEP_ALIVE
    },
    Workload {
        name: "new",
        title: "A connection per request, 64 at once",
        note: "may_minihttp is left out: it keeps a connection open whatever the client says.",
        closes: true,
        processor_to_reach: "<= 0.8 x best peer",
        ..KEEP_ALIVE
    },
    Workload { name: "kib", title: "1 KiB responses, 64 connections", path: "/kib", ..KEEP_ALIVE },
    Workload {
        name: "mib",
        title: "1 MiB responses, 16 connections",
        path: "/big",
        connections: 16,
        is_quick: false,
        ..KEEP_ALIVE
    },
    Workload {
        name: "post-kib",
        title: "POST of 1 KiB, echoed, 64 connections",
        path: "/echo",
        post: 1 << 10,
        ..KEEP_ALIVE
    },
    Workload {
        name: "post-mib",
        title: "POST of 1 MiB, echoed, 16 connections",
        path: "/echo",
        post: 1 << 20,
        connections: 16,
        is_quick: false,
        ..KEEP_ALIVE
    },
    Workload {
        name: "block",
        title: "A handler that blocks 5 ms, 512 connections",
        note: "Up to 512 threads for it each; but in Go and may_minihttp such a handler holds no thread.",
        path: "/block",
        connections: 512,
        ..KEEP_ALIVE
    },
    Workload {
        name: "idle-5000",
        title: "64 active connections beside 5,000 idle ones",
        idle: 5000,
        ..KEEP_ALIVE
    },
];

impl Workload {
    /// The workload with this name on the command line.
    ///
    /// # Errors
    ///
    /// If there is no workload with this name.
    pub fn named(name: &str) -> Result<&'static Workload, String> {
        WORKLOADS.iter().find(|workload| workload.name == name).ok_or_else(|| {
            let names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
            format!("no such workload; there are {}", names.join(", "))
        })
    }

    /// Whether the server can run the workload.
    #[must_use]
    pub fn suits(&self, server: &Server) -> bool {
        match server.program {
            // softstop's own program lacks these routes.
            Program::Softstop => false,
            // The bare loop always gives the same answer, and never closes.
            Program::Peer("peer-bare-loop") => self.path == "/" && !self.closes,
            Program::Peer("peer-may-minihttp") => !self.closes,
            // A handler on a loop must not block, so only the pool runs this workload.
            Program::Peer("peer-softstop") => self.path != "/block" || server.name != BASE,
            // nginx runs no handlers that block.
            Program::Nginx => self.path != "/block",
            Program::Peer(_) | Program::Go => true,
        }
    }

    /// The arguments that the server needs for the workload.
    pub(super) fn arguments(&self, server: &Server) -> &'static [&'static str] {
        match server.program {
            Program::Peer("peer-bare-loop") if self.depth == 16 => &["--batch", "16"],
            // A handler of tiny_http holds its thread. The other servers have as many threads for blocking work.
            Program::Peer("peer-tiny-http") if self.path == "/block" => &["--pool", "512"],
            _ => &[],
        }
    }
}
