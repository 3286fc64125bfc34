//! Made-up events for tests: what a recorder would have kept, at times that the test chooses.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    ConnectionId, Recording,
    recorder::{Entry, Note},
};
use crate::{
    http::StatusCode,
    stop::{CloseReason, ListenerEnd, Phase, StopPolicy},
};

#[derive(Default)]
pub(super) struct Script {
    pub(super) servers: Vec<Arc<str>>,
    pub(super) entries: Vec<Entry>,
    pub(super) dropped: u64,
}

pub(super) fn id(number: usize) -> ConnectionId {
    ConnectionId { loop_number: 0, token: number }
}

pub(super) fn milliseconds(number: u64) -> Duration {
    Duration::from_millis(number)
}

impl Script {
    pub(super) fn of(servers: &[&str]) -> Script {
        Script { servers: servers.iter().map(|name| (*name).into()).collect(), ..Script::default() }
    }

    /// Something happens in the first server.
    pub(super) fn at(&mut self, at: u64, note: Note) -> &mut Script {
        self.on(0, at, note)
    }

    pub(super) fn on(&mut self, server: u32, at: u64, note: Note) -> &mut Script {
        self.entries.push(Entry { at: at * 1_000_000, server, note });
        self
    }

    pub(super) fn open(&mut self, at: u64, connection: usize) -> &mut Script {
        let port = 10_000 + u16::try_from(connection % 50_000).unwrap_or(0);
        let peer = ([127, 0, 0, 1], port).into();
        self.at(at, Note::ConnectionOpened { connection: id(connection), peer })
    }

    pub(super) fn close(&mut self, at: u64, connection: usize, reason: CloseReason) -> &mut Script {
        self.at(at, Note::ConnectionClosed { connection: id(connection), reason })
    }

    pub(super) fn read(&mut self, at: u64, connection: usize, request: u64, line: &str) -> &mut Script {
        self.at(at, Note::RequestRead { connection: id(connection), request, line: line.into() })
    }

    /// The steps of a request through the pool, one for each time: queued, started, finished and made, written.
    pub(super) fn handle(&mut self, connection: usize, request: u64, times: &[u64]) -> &mut Script {
        let connection = id(connection);
        let status = StatusCode::OK;
        let steps: [&[Note]; 4] = [
            &[Note::HandlerQueued { connection, request }],
            &[Note::HandlerStarted { connection, request }],
            &[
                Note::HandlerFinished { connection, request },
                Note::ResponseMade { connection, request, status },
            ],
            &[Note::ResponsesWritten { connection, through: request }],
        ];
        for (at, notes) in times.iter().zip(steps) {
            notes.iter().for_each(|note| _ = self.at(*at, note.clone()));
        }
        self
    }

    pub(super) fn refuse(
        &mut self,
        at: u64,
        connection: usize,
        request: u64,
        status: StatusCode,
    ) -> &mut Script {
        let connection = id(connection);
        self.at(at, Note::ResponseMade { connection, request, status });
        self.at(at, Note::ResponsesWritten { connection, through: request })
    }

    /// A stop is asked for, and the drain begins.
    pub(super) fn stop(&mut self, at: u64) -> &mut Script {
        self.at(at, Note::StopAsked { policy: Box::new(StopPolicy::default()) });
        self.at(at, Note::PhaseEntered { phase: Phase::Draining });
        self.at(at, Note::ListenerClosed { rescued: 0, end: ListenerEnd::Refused })
    }

    /// The recording of the events in the order of their times.
    pub(super) fn recording(&mut self, until: u64) -> Recording {
        self.entries.sort_by_key(|entry| entry.at);
        self.recording_from(0, until)
    }

    /// The recording without the first events, in the order in which the test wrote them.
    pub(super) fn recording_from(&self, first: usize, until: u64) -> Recording {
        let entries = self.entries[first..].iter();
        let dropped = self.dropped + first as u64;
        Recording::parse(SystemTime::UNIX_EPOCH, &self.servers, entries, dropped, milliseconds(until))
    }
}
